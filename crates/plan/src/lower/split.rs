//! Large reductions to few results, in two steps: partial results of chunks, which are then combined. All threads take part and
//! rounding errors grow with the chunk's length only. The chunks are a function of the shape alone.

use super::Lowering;
use super::cluster::{Cluster, PARALLEL_POINTS};
use super::emit::Emitter;
use super::index::{Lin, Map, identity};
use crate::kernel::{AccKind, LANES};
use crate::{BufferId, Place, SiteLabel, Step, StepKind};
use std::sync::Arc;
use wootz_ir::ops::{Op, ReduceKind};
use wootz_ir::{DType, Dims, Value};

/// Points wanted of the first step.
const POINTS: usize = 64;
/// Elements a chunk has at least.
const CHUNK: usize = 4096;

/// Partial results of a reduction, `[grid.., count]`.
#[derive(Copy, Clone)]
pub(super) struct Partial {
    pub(super) buffer: BufferId,
    /// Of an arg-reduction: where in the operand each partial result stands.
    pub(super) positions: Option<BufferId>,
    pub(super) count: usize,
}

/// Equal pieces of one axis of a reduction's operand.
pub(super) struct Chunks {
    /// The axis.
    pub(super) axis: usize,
    /// Where the first piece starts, and its position among the partial results.
    pub(super) start: usize,
    pub(super) first: usize,
    /// How many pieces there are and how long each is.
    pub(super) count: usize,
    pub(super) len: usize,
}

/// How the values of a reduction are combined.
pub(super) fn acc_kind(kind: ReduceKind) -> AccKind {
    match kind {
        ReduceKind::Sum => AccKind::Sum,
        ReduceKind::Prod => AccKind::Prod,
        ReduceKind::Max => AccKind::Max,
        ReduceKind::Min => AccKind::Min,
        ReduceKind::Any => AccKind::Any,
        ReduceKind::All => AccKind::All,
    }
}

/// The axes and the kind of a reduction of the graph.
pub(super) fn reduction(op: &Op) -> Option<(Vec<usize>, AccKind)> {
    match op {
        Op::Reduce(reduce) => Some((reduce.axes.to_vec(), acc_kind(reduce.kind))),
        Op::ArgReduce(arg) => Some((vec![arg.axis], if arg.max { AccKind::ArgMax } else { AccKind::ArgMin })),
        _ => None,
    }
}

/// The axis to cut and the length of a piece, if the reduction of `shape` over `axes` is worth two steps.
fn pieces(shape: &Dims, axes: &[usize]) -> Option<(usize, usize)> {
    let reduced: usize = axes.iter().map(|a| shape[*a]).product();
    let points = shape.iter().product::<usize>().checked_div(reduced)?;
    if points == 0 || points >= PARALLEL_POINTS {
        return None;
    }
    let wanted = (POINTS / points).min(reduced / CHUNK);
    let axis = axes.iter().copied().find(|a| shape[*a] >= wanted);
    let axis = axis.or_else(|| axes.iter().copied().max_by_key(|a| shape[*a]))?;
    let size = shape[axis];
    if wanted < 2 || size < 2 {
        return None;
    }
    // Equal pieces need no kernel for the rest, and vectors of pieces that begin on cache lines lie in one line each.
    let even = || (wanted.div_ceil(2).max(2)..=wanted).rev().filter(|n| size.is_multiple_of(*n));
    let aligned = even().find(|n| axis + 1 != shape.len() || (size / n).is_multiple_of(LANES));
    Some((axis, size.div_ceil(aligned.or_else(|| even().next()).unwrap_or(wanted))))
}

impl Lowering<'_> {
    /// True if the root is a reduction in two steps.
    pub(super) fn is_split(&self, root: Value) -> bool {
        self.region.defining_node(root).is_some_and(|node| {
            reduction(&node.op).is_some_and(|(axes, _)| pieces(self.shape(node.inputs[0]), &axes).is_some())
        })
    }

    /// The first step of a reduction that [`is_split`](Self::is_split): kernels that write partial results.
    pub(super) fn reduce_chunks(&mut self, root: Value, cluster: &Cluster) {
        let region = self.region;
        let Some(node) = region.defining_node(root) else { return };
        let Some((axes, kind)) = reduction(&node.op) else { return };
        let operand = node.inputs[0];
        let shape = self.shape(operand);
        let Some((axis, len)) = pieces(shape, &axes) else { return };
        let total = shape[axis];
        let (full, rest) = (total / len, total % len);
        let count = full + usize::from(rest > 0);
        let dtype = region.ty(operand).dtype.compute();
        let points: usize = cluster.grid.iter().product();
        let mut partial_buffer = |dtype: DType| {
            let bytes = points * count * dtype.size();
            let place = if cluster.prepared { self.new_prepared(bytes) } else { Place::Arena(0) };
            self.raw_buffer(dtype, bytes, place)
        };
        let buffer = partial_buffer(dtype);
        let arg = matches!(kind, AccKind::ArgMax | AccKind::ArgMin);
        let positions = arg.then(|| partial_buffer(DType::I64));
        let partial = Partial { buffer, positions, count };
        let whole = Chunks { axis, start: 0, first: 0, count: full, len };
        let tail = Chunks { axis, start: full * len, first: full, count: 1, len: rest };
        for chunks in [whole, tail].iter().filter(|c| c.len > 0) {
            let grid: Dims = cluster.grid.iter().copied().chain([chunks.count]).collect();
            let mut emitter = Emitter::new(self, grid, None);
            emitter.partial(operand, &axes, kind, chunks, partial);
            let (kernel, args) = emitter.finish();
            let kind = StepKind::Kernel { kernel: Arc::new(kernel), args };
            self.push_step(Step { kind, site: SiteLabel(node.site.clone()) }, cluster.prepared);
        }
        self.partials.insert(root, partial);
    }
}

impl Emitter<'_, '_> {
    /// Reduces each of the chunks.
    fn partial(&mut self, operand: Value, axes: &[usize], kind: AccKind, chunks: &Chunks, to: Partial) {
        let shape = self.lowering.shape(operand).clone();
        let loops = axes.iter().map(|a| if *a == chunks.axis { chunks.len } else { shape[*a] });
        self.set_loops(loops.collect());
        let rank = self.kernel.grid.len();
        let chunk = rank - 1;
        let (mut kept, mut reduced) = (0, rank);
        let mut map = Map::new();
        for axis in 0..shape.len() {
            let counter = if axes.contains(&axis) { &mut reduced } else { &mut kept };
            let mut lin = Lin::axis(*counter);
            *counter += 1;
            if axis == chunks.axis {
                lin.add_affine(&Lin::axis(chunk), chunks.len as i64);
                lin.offset += chunks.start as i64;
            }
            map.push(lin);
        }
        let value = self.value(operand, &map, None);
        let best = match kind {
            AccKind::ArgMax => AccKind::Max,
            AccKind::ArgMin => AccKind::Min,
            other => other,
        };
        let out = self.accumulate(best, value);
        let position = to.positions.map(|_| self.accumulate(kind, value));
        let mut at = identity(rank);
        at[chunk].offset += chunks.first as i64;
        let shape: Dims = self.kernel.grid[..chunk].iter().copied().chain([to.count]).collect();
        self.store_after(to.buffer, &shape, &at, out);
        if let (Some(buffer), Some(position)) = (to.positions, position) {
            let mut start = Lin::computed(position);
            start.add_affine(&Lin::axis(chunk), chunks.len as i64);
            start.offset += chunks.start as i64;
            let position = self.index_reg(&start);
            self.store_at(buffer, &shape, &at, position);
        }
    }
}
