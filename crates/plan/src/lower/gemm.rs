//! Contractions: operands as strided matrices, right operands that change rarely packed in advance, elementwise consumers as
//! epilogues.

use super::cluster::Cluster;
use super::emit::Emitter;
use super::index::{Map, identity, reshape_groups, strides};
use super::tidy;
use super::{Lowering, PlanError};
use crate::{BufferId, Epilogue, GemmStep, Matrix, Place, Rhs, Step, StepKind};
use smallvec::SmallVec;
use wootz_ir::ops::{Dot, Movement, Op};
use wootz_ir::{DType, Dims, Node, NodeId, Region, Value};

/// A value as a strided view of another.
struct View {
    base: Value,
    offset: i64,
    /// One stride for each axis of the value.
    strides: SmallVec<[i64; 4]>,
}

/// Follows movement ops that only change strides.
fn view(region: &Region, shapes: &[Dims], value: Value) -> View {
    let dims = &shapes[value.index()];
    let own = || View { base: value, offset: 0, strides: strides(dims) };
    let Some(node) = region.defining_node(value) else { return own() };
    let Op::Movement(op) = &node.op else { return own() };
    let inner = || view(region, shapes, node.inputs[0]);
    match op {
        Movement::Transpose { perm } => {
            let inner = inner();
            View { strides: perm.iter().map(|p| inner.strides[*p]).collect(), ..inner }
        }
        Movement::Slice { start, step, .. } => {
            let (mut inner, start) = (inner(), start.concrete().unwrap_or_default());
            for (axis, stride) in inner.strides.iter_mut().enumerate() {
                inner.offset += start[axis] as i64 * *stride;
                *stride *= step[axis] as i64;
            }
            inner
        }
        Movement::Reshape { .. } => {
            let inner = inner();
            let from = &shapes[node.inputs[0].index()];
            restride(from, dims, &inner.strides).map_or_else(own, |strides| View { strides, ..inner })
        }
        Movement::Broadcast { .. }
        | Movement::Pad { .. }
        | Movement::Concat { .. }
        | Movement::Reverse { .. } => own(),
    }
}

/// Strides of a reshape of a strided value, if there are any.
fn restride(from: &Dims, to: &Dims, old: &[i64]) -> Option<SmallVec<[i64; 4]>> {
    let mut out: SmallVec<[i64; 4]> = SmallVec::from_elem(0, to.len());
    for (outs, ins) in reshape_groups(from, to)? {
        let axes: SmallVec<[(usize, i64); 4]> = outs.iter().map(|i| (from[*i], old[*i])).collect();
        let (_, mut stride) = join(&axes)?;
        for i in ins.into_iter().rev() {
            out[i] = stride;
            stride *= to[i] as i64;
        }
    }
    Some(out)
}

/// One (size, stride) for several axes traversed row-major, if there is one.
fn join(axes: &[(usize, i64)]) -> Option<(usize, i64)> {
    let mut joined: Option<(usize, i64)> = None;
    for (size, stride) in axes.iter().filter(|(size, _)| *size != 1).rev() {
        joined = Some(match joined {
            None => (*size, *stride),
            Some((inner, step)) if *stride == step * inner as i64 => (inner * size, step),
            Some(_) => return None,
        });
    }
    Some(joined.unwrap_or((1, 0)))
}

/// How the matrices of a batch lie.
#[derive(Default)]
struct Batch {
    stride: usize,
    group: usize,
    group_stride: usize,
}

/// The batch of these (size, stride) axes, if it has at most two levels.
fn batch(axes: &[(usize, i64)]) -> Option<Batch> {
    if let Some((_, stride)) = join(axes) {
        return Some(Batch { stride: stride as usize, ..Batch::default() });
    }
    (1..axes.len()).find_map(|at| {
        let ((_, group_stride), (group, stride)) = (join(&axes[..at])?, join(&axes[at..])?);
        Some(Batch { stride: stride as usize, group, group_stride: group_stride as usize })
    })
}

/// The value whose buffer a contraction reads for an operand.
pub(super) fn view_base(region: &Region, shapes: &[Dims], value: Value) -> Value {
    view(region, shapes, value).base
}

impl Lowering<'_> {
    /// Lowers a contraction and the roots that follow it elementwise.
    pub(super) fn dot_cluster(&mut self, id: NodeId, cluster: &Cluster) -> Result<(), PlanError> {
        let region = self.region;
        let node = region.node(id);
        let Op::Dot(dot) = &node.op else { unreachable!("the cluster was formed around a dot") };
        let value = node.output();
        let mut gemm = self.product(node, dot, cluster.prepared);
        let groups = self.groups(node, dot);
        if cluster.roots.is_empty() {
            gemm.out = Some(self.buffer(value));
            self.push(StepKind::Gemm(Box::new(gemm)), id, cluster.prepared);
            return Ok(());
        }
        let mut emitter = Emitter::new(self, cluster.grid.clone(), Some(value));
        emitter.store_tile(value);
        for root in &cluster.roots {
            emitter.root(*root);
        }
        let (kernel, args) = emitter.finish();
        match tidy::regroup(&kernel, &groups) {
            Some(kernel) => {
                gemm.epilogue = Some(Epilogue { kernel: std::sync::Arc::new(kernel), args });
                self.push(StepKind::Gemm(Box::new(gemm)), id, cluster.prepared);
            }
            // Some operand's axes cannot be walked as [batch, m, n]: a kernel of its own after the product.
            None => {
                gemm.out = Some(self.buffer(value));
                self.push(StepKind::Gemm(Box::new(gemm)), id, cluster.prepared);
                let mut emitter = Emitter::new(self, cluster.grid.clone(), None);
                for root in &cluster.roots {
                    emitter.root(*root);
                }
                let (kernel, args) = emitter.finish();
                self.push(
                    StepKind::Kernel { kernel: std::sync::Arc::new(kernel), args },
                    id,
                    cluster.prepared,
                );
            }
        }
        Ok(())
    }

    /// How many axes of the result are batch, rows and columns.
    fn groups(&self, node: &Node, dot: &Dot) -> [usize; 3] {
        let rank = |i: usize| self.shape(node.inputs[i]).len();
        [dot.lhs_batch.len(), dot.lhs_free(rank(0)).len(), dot.rhs_free(rank(1)).len()]
    }

    fn product(&mut self, node: &Node, dot: &Dot, prepared: bool) -> GemmStep {
        let (lhs, rhs) = (node.inputs[0], node.inputs[1]);
        let dtype = self.region.ty(lhs).dtype;
        let sizes =
            |l: &Self, v: Value, axes: &[usize]| axes.iter().map(|a| l.shape(v)[*a]).product::<usize>();
        let lhs_free = dot.lhs_free(self.shape(lhs).len());
        let rhs_free = dot.rhs_free(self.shape(rhs).len());
        let batch = sizes(self, lhs, &dot.lhs_batch);
        let (m, n, k) =
            (sizes(self, lhs, &lhs_free), sizes(self, rhs, &rhs_free), sizes(self, lhs, &dot.lhs_contract));
        // The order of the contracted axes is free; take the left operand's memory order for both.
        let mut order: Vec<usize> = (0..dot.lhs_contract.len()).collect();
        let by = view(self.region, &self.shapes, lhs).strides;
        order.sort_by_key(|i| std::cmp::Reverse(by[dot.lhs_contract[*i]]));
        let pick = |axes: &[usize]| -> Vec<usize> { order.iter().map(|i| axes[*i]).collect() };
        let left = self.matrix(lhs, [&dot.lhs_batch, &lhs_free, &pick(&dot.lhs_contract)], prepared);
        let right = self.matrix(rhs, [&dot.rhs_batch, &pick(&dot.rhs_contract), &rhs_free], prepared);
        let rhs = match self.packed(&right, batch, k, n, dtype, prepared) {
            Some(buffer) => Rhs::Packed(buffer),
            None => Rhs::Matrix(right),
        };
        GemmStep { dtype, batch, m, n, k, lhs: left, rhs, out: None, epilogue: None }
    }

    /// An operand as a batch of strided matrices; copied into that form if it has none.
    fn matrix(&mut self, value: Value, groups: [&[usize]; 3], prepared: bool) -> Matrix {
        let view = view(self.region, &self.shapes, value);
        let shape = self.shape(value).clone();
        let axes = groups.map(|axes| -> SmallVec<[(usize, i64); 4]> {
            axes.iter().map(|a| (shape[*a], view.strides[*a])).collect()
        });
        if let (Some(batch), Some((_, row)), Some((_, col))) =
            (batch(&axes[0]), join(&axes[1]), join(&axes[2]))
        {
            return Matrix {
                buffer: self.buffer(view.base),
                offset: view.offset as usize,
                batch: batch.stride,
                group: batch.group,
                group_stride: batch.group_stride,
                row: row as usize,
                col: col as usize,
            };
        }
        // A contiguous copy in the order batch, rows, columns.
        let order: Vec<usize> = groups.iter().flat_map(|g| g.iter().copied()).collect();
        let dims: Dims = order.iter().map(|a| shape[*a]).collect();
        let ty = self.region.ty(value);
        let bytes = dims.iter().product::<usize>() * ty.dtype.size();
        let place = if prepared { self.new_prepared(bytes) } else { Place::Arena(0) };
        let buffer = self.raw_buffer(ty.dtype, bytes, place);
        let mut emitter = Emitter::new(self, shape, None);
        let own = identity(order.len());
        let map: Map = order.iter().map(|a| own[*a].clone()).collect();
        emitter.copy_into(value, buffer, &dims, &map);
        let (kernel, args) = emitter.finish();
        let step = Step {
            kind: StepKind::Kernel { kernel: std::sync::Arc::new(kernel), args },
            site: Default::default(),
        };
        if prepared {
            self.prepare.push(step)
        } else {
            self.steps.push(step)
        }
        let size = |g: &[usize]| g.iter().map(|a| dims_of(&order, &dims, *a)).product::<usize>();
        let (rows, cols) = (size(groups[1]), size(groups[2]));
        let (group, group_stride) = (0, 0);
        Matrix { buffer, offset: 0, batch: rows * cols, group, group_stride, row: cols, col: 1 }
    }

    /// The packed form of a right operand that changes rarely, made by the prepare part.
    fn packed(
        &mut self,
        rhs: &Matrix,
        batch: usize,
        k: usize,
        n: usize,
        dtype: DType,
        prepared: bool,
    ) -> Option<BufferId> {
        let place = self.buffers[rhs.buffer.0 as usize].place;
        let rare = match place {
            Place::Prepared(_) => true,
            Place::Input(i) => self.rare.get(i).copied().unwrap_or(false),
            _ => false,
        };
        let compute = dtype.compute();
        if !rare || prepared || batch != 1 || !dtype.is_float() || self.target.panel == 0 || k == 0 || n == 0
        {
            return None;
        }
        let key = (rhs.clone(), k, n);
        if let Some(buffer) = self.packs.get(&key) {
            return Some(*buffer);
        }
        let columns = self.target.panel / compute.size();
        let bytes = n.div_ceil(columns) * self.target.panel * k;
        let place = self.new_prepared(bytes);
        let out = self.raw_buffer(compute, bytes, place);
        let kind = StepKind::PackRhs { k, n, rhs: rhs.clone(), out };
        self.prepare.push(Step { kind, site: Default::default() });
        self.packs.insert(key, out);
        Some(out)
    }

    pub(super) fn new_prepared(&mut self, bytes: usize) -> Place {
        self.prepared.push(bytes);
        Place::Prepared(self.prepared.len() - 1)
    }
}

fn dims_of(order: &[usize], dims: &Dims, axis: usize) -> usize {
    order.iter().position(|a| *a == axis).map_or(1, |i| dims[i])
}
