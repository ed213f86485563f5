//! One cluster → steps.

use super::cluster::{Cluster, ClusterKind};
use super::emit::Emitter;
use super::index::{Lin, Map, identity};
use super::{Lowering, PlanError, control};
use crate::{BufferId, CumsumStep, LinalgStep, ScatterStep, SegmentStep, SiteLabel, Step, StepKind};
use std::sync::Arc;
use wootz_ir::ops::{Cumsum, Linalg, Movement, Op, Scatter, Segment};
use wootz_ir::{Node, NodeId, Value};

impl Lowering<'_> {
    pub(super) fn cluster(
        &mut self,
        cluster: &Cluster,
        regions: &mut control::SubPlans,
    ) -> Result<(), PlanError> {
        match cluster.kind {
            ClusterKind::Dot(id) => self.dot_cluster(id, cluster),
            ClusterKind::Single(id) => self.single(id, cluster.prepared, regions),
            ClusterKind::Loops => {
                // A reduction in two steps starts a kernel: what comes before it has to be in memory.
                let mut start = 0;
                for (i, root) in cluster.roots.iter().enumerate() {
                    if self.is_split(*root) {
                        self.loops(cluster, &cluster.roots[start..i]);
                        self.reduce_chunks(*root, cluster);
                        start = i;
                    }
                }
                self.loops(cluster, &cluster.roots[start..]);
                Ok(())
            }
        }
    }

    /// One kernel for these roots of a cluster.
    fn loops(&mut self, cluster: &Cluster, roots: &[Value]) {
        let Some(last) = roots.last() else { return };
        let mut emitter = Emitter::new(self, cluster.grid.clone(), None);
        for root in roots {
            emitter.root(*root);
        }
        let (kernel, args) = emitter.finish();
        let site = self.region.defining_node(*last).map(|n| n.site.clone()).unwrap_or_default();
        let kind = StepKind::Kernel { kernel: Arc::new(kernel), args };
        self.push_step(Step { kind, site: SiteLabel(site) }, cluster.prepared);
    }

    pub(super) fn push_step(&mut self, step: Step, prepared: bool) {
        if prepared { self.prepare.push(step) } else { self.steps.push(step) }
    }

    pub(super) fn push(&mut self, kind: StepKind, id: NodeId, prepared: bool) {
        let step = Step { kind, site: SiteLabel(self.region.node(id).site.clone()) };
        self.push_step(step, prepared);
    }

    fn single(
        &mut self,
        id: NodeId,
        prepared: bool,
        regions: &mut control::SubPlans,
    ) -> Result<(), PlanError> {
        let region = self.region;
        let node = region.node(id);
        match &node.op {
            Op::Movement(Movement::Concat { axis }) => self.concat(id, node, *axis, prepared),
            Op::Scatter(op) => self.scatter(id, node, op, prepared),
            Op::Segment(op) => self.segment(id, node, op, prepared),
            Op::Cumsum(op) => self.cumsum(id, node, *op, prepared),
            Op::Linalg(op) => self.linalg(id, node, *op, prepared),
            Op::Control(op) => self.control(id, node, op, regions)?,
            other => unreachable!("{} is fused", other.name()),
        }
        Ok(())
    }

    /// One kernel an operand, each writing its part of the result.
    fn concat(&mut self, id: NodeId, node: &Node, axis: usize, prepared: bool) {
        let value = node.output();
        let buffer = self.buffer(value);
        let shape = self.shape(value).clone();
        let mut start = 0;
        for operand in &node.inputs {
            let grid = self.shape(*operand).clone();
            let mut map: Map = identity(grid.len());
            map[axis].add_affine(&Lin::constant(start), 1);
            start += grid[axis] as i64;
            if grid.contains(&0) {
                continue;
            }
            let mut emitter = Emitter::new(self, grid, None);
            emitter.copy_into(*operand, buffer, &shape, &map);
            let (kernel, args) = emitter.finish();
            self.push(StepKind::Kernel { kernel: Arc::new(kernel), args }, id, prepared);
        }
    }

    fn scatter(&mut self, id: NodeId, node: &Node, op: &Scatter, prepared: bool) {
        let [operand, indices, updates] = [0, 1, 2].map(|i| node.inputs[i]);
        let out = self.buffer(node.output());
        let from = self.buffer(operand);
        self.copy(from, out, id, prepared);
        let dims = self.shape(operand).clone();
        let positions = self.shape(indices).clone();
        let step = ScatterStep {
            kind: op.kind,
            dtype: self.region.ty(operand).dtype,
            index_dtype: self.region.ty(indices).dtype,
            batch: dims[..op.batch].iter().product(),
            indexed: dims[op.batch..op.batch + op.indexed].to_vec(),
            count: positions[op.batch..positions.len() - 1].iter().product(),
            slice: dims[op.batch + op.indexed..].iter().product(),
            indices: self.buffer(indices),
            updates: self.buffer(updates),
            out,
        };
        self.push(StepKind::Scatter(Box::new(step)), id, prepared);
    }

    fn segment(&mut self, id: NodeId, node: &Node, op: &Segment, prepared: bool) {
        let [data, ids] = [0, 1].map(|i| node.inputs[i]);
        let dims = self.shape(data).clone();
        let step = SegmentStep {
            kind: op.kind,
            dtype: self.region.ty(data).dtype,
            index_dtype: self.region.ty(ids).dtype,
            batch: dims[..op.batch].iter().product(),
            rows: dims[op.batch],
            segments: self.shape(node.output())[op.batch],
            inner: dims[op.batch + 1..].iter().product(),
            data: self.buffer(data),
            ids: self.buffer(ids),
            out: self.buffer(node.output()),
        };
        self.push(StepKind::Segment(Box::new(step)), id, prepared);
    }

    fn cumsum(&mut self, id: NodeId, node: &Node, op: Cumsum, prepared: bool) {
        let dims = self.shape(node.output()).clone();
        let step = CumsumStep {
            dtype: self.region.ty(node.output()).dtype,
            outer: dims[..op.axis].iter().product(),
            count: dims[op.axis],
            inner: dims[op.axis + 1..].iter().product(),
            reverse: op.reverse,
            exclusive: op.exclusive,
            data: self.buffer(node.inputs[0]),
            out: self.buffer(node.output()),
        };
        self.push(StepKind::Cumsum(Box::new(step)), id, prepared);
    }

    fn linalg(&mut self, id: NodeId, node: &Node, op: Linalg, prepared: bool) {
        let dims = self.shape(node.output()).clone();
        let (batch, matrix) = dims.split_at(dims.len() - 2);
        let step = LinalgStep {
            op,
            dtype: self.region.ty(node.output()).dtype,
            batch: batch.iter().product(),
            n: matrix[0],
            columns: matrix[1],
            inputs: node.inputs.iter().map(|v| self.buffer(*v)).collect(),
            out: self.buffer(node.output()),
        };
        self.push(StepKind::Linalg(Box::new(step)), id, prepared);
    }

    pub(super) fn copy(&mut self, from: BufferId, to: BufferId, id: NodeId, prepared: bool) {
        if from != to {
            let bytes = self.buffers[to.0 as usize].bytes;
            self.push(StepKind::Copy { from, to, bytes }, id, prepared);
        }
    }
}
