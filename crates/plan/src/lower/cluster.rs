//! Which roots share a loop nest.
//!
//! Roots are taken in an order that respects data and in-place updates; each joins the cluster of its latest operand if it
//! reads that cluster's values only at its own grid point (producer → consumer), else a later cluster over the same grid that
//! reads the same buffers (siblings, such as the moments and parameter of one optimizer update), else it starts a new one.

use super::Signature;
use super::roots::{Analysis, node_id};
use super::schedule::{Updates, schedule};
use hashbrown::HashMap;
use smallvec::SmallVec;
use wootz_ir::ops::{Movement, Op};
use wootz_ir::{Dims, NodeId, Region, Value};

/// Roots computed together.
pub(super) struct Cluster {
    /// What kind of step it becomes.
    pub(super) kind: ClusterKind,
    /// The independent loops.
    pub(super) grid: Dims,
    /// The roots, in order. For a contraction without its own result.
    pub(super) roots: Vec<Value>,
    /// Whether it belongs to the prepare part.
    pub(super) prepared: bool,
    /// Operations in the bodies of its loops.
    cost: u32,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum ClusterKind {
    /// A fused kernel.
    Loops,
    /// A contraction; the roots are its epilogue.
    Dot(NodeId),
    /// A step that is not fused.
    Single(NodeId),
}

/// A stored value an expression reads, and which loop each of its axes follows (`None`: something else than one loop).
pub(super) struct Read {
    pub(super) value: Value,
    /// Whether it is read under its own shape, not as a reshape of it.
    plain: bool,
    axes: SmallVec<[Option<usize>; 4]>,
}

/// How many clusters back siblings are looked for.
const WINDOW: usize = 24;
/// A cluster whose grid has fewer points takes in looped consumers only if they are small.
pub(super) const PARALLEL_POINTS: usize = 8;
const SMALL: usize = 1 << 14;
/// Operations from which on a cluster is full: larger kernels compile slowly, and their code leaves the instruction cache.
const FULL: u32 = 1000;

/// The clusters in the order they run, and which results may be written into the buffer of the parameter they take over.
pub(super) fn form(
    region: &Region,
    shapes: &[Dims],
    analysis: &Analysis,
    signature: &Signature,
) -> (Vec<Cluster>, Vec<bool>) {
    let mut former =
        Former { region, shapes, analysis, clusters: Vec::new(), of: HashMap::new(), reads: HashMap::new() };
    let (order, updates) = schedule(&mut former, signature);
    for node in order {
        former.place(node, &updates);
    }
    let in_place = region
        .results()
        .iter()
        .zip(&signature.aliases)
        .map(|(result, alias)| alias.is_some() && updates.contains_key(&analysis.storage(*result)));
    (former.clusters, in_place.collect())
}

pub(super) struct Former<'r> {
    pub(super) region: &'r Region,
    shapes: &'r [Dims],
    pub(super) analysis: &'r Analysis,
    clusters: Vec<Cluster>,
    /// The cluster of each root.
    of: HashMap<Value, usize>,
    reads: HashMap<NodeId, Vec<Value>>,
}

impl Former<'_> {
    /// The stored values a root's node reads.
    pub(super) fn reads_of(&mut self, id: NodeId) -> Vec<Value> {
        if let Some(reads) = self.reads.get(&id) {
            return reads.clone();
        }
        let mut values: Vec<Value> =
            reads(self.region, self.shapes, self.analysis, id).into_iter().map(|r| r.value).collect();
        values.sort_unstable();
        values.dedup();
        self.reads.insert(id, values.clone());
        values
    }

    fn place(&mut self, id: NodeId, updates: &Updates) {
        let region = self.region;
        let node = region.node(id);
        let roots: Vec<Value> = node.outputs().filter(|v| self.analysis.is_root(*v)).collect();
        // A stored constant: read, but never computed.
        if roots.is_empty() {
            return;
        }
        let prepared = roots.iter().all(|v| self.analysis.is_prepared(*v));
        let kind = match &node.op {
            Op::Dot(_) => ClusterKind::Dot(id),
            Op::Scatter(_)
            | Op::Segment(_)
            | Op::Cumsum(_)
            | Op::Linalg(_)
            | Op::Control(_)
            | Op::Movement(Movement::Concat { .. }) => ClusterKind::Single(id),
            _ => ClusterKind::Loops,
        };
        let at = match kind {
            ClusterKind::Loops => self.join(id, roots[0], prepared, updates),
            _ => None,
        };
        let at = at.unwrap_or_else(|| {
            let grid = self.shapes[roots[0].index()].clone();
            self.clusters.push(Cluster { kind, grid, roots: Vec::new(), prepared, cost: 0 });
            self.clusters.len() - 1
        });
        for root in roots {
            self.clusters[at].cost = self.clusters[at].cost.saturating_add(self.analysis.cost(root));
            if kind == ClusterKind::Loops {
                self.clusters[at].roots.push(root);
            }
            self.of.insert(root, at);
        }
    }

    /// The cluster a fused root can join.
    fn join(&mut self, id: NodeId, root: Value, prepared: bool, updates: &Updates) -> Option<usize> {
        let reads = reads(self.region, self.shapes, self.analysis, id);
        let position = |of: &HashMap<Value, usize>, v: &Value| of.get(v).copied();
        let latest = reads.iter().filter_map(|r| position(&self.of, &r.value)).max();
        let after = updates
            .get(&root)
            .into_iter()
            .flat_map(|u| &u.readers)
            .filter_map(|v| position(&self.of, v))
            .max();
        let earliest = latest.max(after);
        let from = earliest.unwrap_or(0);
        let newest = self.clusters.len();
        let lowest = from.max(newest.saturating_sub(WINDOW));
        let vertical = latest.filter(|c| Some(*c) >= after);
        let siblings = (lowest..newest).rev().filter(|c| Some(*c) != vertical);
        vertical.into_iter().chain(siblings).find(|c| {
            let sibling = self.clusters[*c].kind == ClusterKind::Loops;
            let related = Some(*c) == vertical || (sibling && self.shares_reads(*c, &reads));
            let room = self.clusters[*c].cost.saturating_add(self.analysis.cost(root)) <= FULL;
            related
                && room
                && self.clusters[*c].prepared == prepared
                && self.fits(*c, id, root, &reads, updates)
        })
    }

    /// True if a cluster already reads one of these stored values.
    fn shares_reads(&mut self, cluster: usize, reads: &[Read]) -> bool {
        let roots = self.clusters[cluster].roots.clone();
        roots.into_iter().filter_map(|r| node_id(self.region, r)).any(|id| {
            let theirs = self.reads_of(id);
            reads.iter().any(|r| theirs.contains(&r.value))
        })
    }

    /// True if a root can be computed in a cluster's loops.
    fn fits(&self, cluster: usize, id: NodeId, root: Value, reads: &[Read], updates: &Updates) -> bool {
        let target = &self.clusters[cluster];
        let shape = &self.shapes[root.index()];
        let node = self.region.node(id);
        let reduces = matches!(node.op, Op::Reduce(_) | Op::ArgReduce(_));
        let points: usize = target.grid.iter().product();
        match target.kind {
            ClusterKind::Single(_) => return false,
            ClusterKind::Dot(_) => {
                if reduces || *shape != target.grid || points == 0 {
                    return false;
                }
            }
            ClusterKind::Loops if reduces => {
                if *shape != target.grid {
                    return false;
                }
            }
            ClusterKind::Loops => {
                if shape.len() < target.grid.len() || shape[..target.grid.len()] != target.grid[..] {
                    return false;
                }
                let looped = shape.len() > target.grid.len();
                let elements: usize = shape.iter().product();
                if looped && points < PARALLEL_POINTS && elements > SMALL {
                    return false;
                }
            }
        }
        let rank = target.grid.len();
        let own_point = |r: &Read| {
            let leading =
                r.axes.len() >= rank && r.axes[..rank].iter().enumerate().all(|(i, a)| *a == Some(i));
            r.plain && leading && self.shapes[r.value.index()][..rank] == target.grid[..]
        };
        // What the cluster computes may be read only at the own grid point.
        let inside = |v: Value| self.of.get(&v) == Some(&cluster);
        reads.iter().filter(|r| inside(r.value)).all(own_point)
            && self.updates_in_order(cluster, root, updates)
    }

    /// True if, with `root` in the cluster, every in-place update of the cluster still comes after what reads the old values:
    /// nothing in the cluster reads them, or only elementwise code at the own grid point, which loads before it stores.
    fn updates_in_order(&self, cluster: usize, root: Value, updates: &Updates) -> bool {
        let target = &self.clusters[cluster];
        let inside = |v: Value| v == root || self.of.get(&v) == Some(&cluster);
        let elementwise = |v: Value| {
            let fused = region_op(self.region, v)
                .is_some_and(|op| !matches!(op, Op::Reduce(_) | Op::ArgReduce(_) | Op::Dot(_)));
            fused && self.shapes[v.index()] == target.grid
        };
        let at_own_point = |reader: Value, param: Value| {
            let id = node_id(self.region, reader);
            let reads = id.map(|id| reads(self.region, self.shapes, self.analysis, id)).unwrap_or_default();
            let point = |r: &Read| {
                r.axes.len() == target.grid.len() && r.axes.iter().enumerate().all(|(i, a)| *a == Some(i))
            };
            reads.iter().filter(|r| r.value == param).all(point)
        };
        let mut relevant = updates.iter().filter(|(value, _)| inside(**value));
        relevant.all(|(_, update)| {
            let mut readers = update.readers.iter().filter(|v| inside(**v)).peekable();
            readers.peek().is_none()
                || (target.roots.iter().chain([&root]).all(|r| elementwise(*r))
                    && readers.all(|r| elementwise(*r) && at_own_point(*r, update.param)))
        })
    }

    /// True if a node may write its result over `param`, which it may read only at the element being written.
    pub(super) fn overwrites_safely(&self, id: NodeId, param: Value) -> bool {
        let node = self.region.node(id);
        match &node.op {
            Op::Scatter(_) => node.inputs[1..].iter().all(|v| self.analysis.storage(*v) != param),
            Op::Dot(_)
            | Op::Segment(_)
            | Op::Cumsum(_)
            | Op::Linalg(_)
            | Op::Control(_)
            | Op::Reduce(_)
            | Op::ArgReduce(_) => {
                reads(self.region, self.shapes, self.analysis, id).iter().all(|r| r.value != param)
            }
            _ => reads(self.region, self.shapes, self.analysis, id)
                .iter()
                .filter(|r| r.value == param)
                .all(|r| r.axes.iter().enumerate().all(|(i, a)| *a == Some(i))),
        }
    }
}

fn region_op(region: &Region, value: Value) -> Option<&Op> {
    region.defining_node(value).map(|n| &n.op)
}

/// What the root's node reads.
pub(super) fn reads_of_root(region: &Region, shapes: &[Dims], analysis: &Analysis, root: Value) -> Vec<Read> {
    node_id(region, root).map(|id| reads(region, shapes, analysis, id)).unwrap_or_default()
}

impl Read {
    /// True if axis i follows loop i, for every axis.
    pub(super) fn follows_every_loop(&self) -> bool {
        self.axes.iter().enumerate().all(|(i, a)| *a == Some(i))
    }
}

/// The stored values that a root's node reads, through the expressions computed in place.
fn reads(region: &Region, shapes: &[Dims], analysis: &Analysis, id: NodeId) -> Vec<Read> {
    let node = region.node(id);
    let mut out = Vec::new();
    // Loops of a reduction: first the axes that stay, in order, then those reduced.
    let loops: SmallVec<[Option<usize>; 4]> = match &node.op {
        Op::Reduce(_) | Op::ArgReduce(_) => {
            let rank = shapes[node.inputs[0].index()].len();
            let reduced: SmallVec<[usize; 4]> = match &node.op {
                Op::Reduce(r) => r.axes.iter().copied().collect(),
                Op::ArgReduce(a) => [a.axis].into_iter().collect(),
                _ => SmallVec::new(),
            };
            let kept = rank - reduced.len();
            let (mut next, mut next_reduced) = (0, kept);
            let follow = |axis: usize| {
                let counter = if reduced.contains(&axis) { &mut next_reduced } else { &mut next };
                *counter += 1;
                Some(*counter - 1)
            };
            (0..rank).map(follow).collect()
        }
        _ => (0..shapes[node.outputs().next().map_or(0, |v| v.index())].len()).map(Some).collect(),
    };
    match &node.op {
        Op::Reduce(_) | Op::ArgReduce(_) => walk(region, shapes, analysis, node.inputs[0], &loops, &mut out),
        Op::Dot(_)
        | Op::Scatter(_)
        | Op::Segment(_)
        | Op::Cumsum(_)
        | Op::Linalg(_)
        | Op::Control(_)
        | Op::Movement(Movement::Concat { .. }) => {
            for v in &node.inputs {
                let anything: SmallVec<[Option<usize>; 4]> = shapes[v.index()].iter().map(|_| None).collect();
                walk(region, shapes, analysis, *v, &anything, &mut out);
                // A contraction reads what its operand is a view of, even where the view itself is stored too.
                if matches!(node.op, Op::Dot(_)) {
                    let base = super::gemm::view_base(region, shapes, *v);
                    let axes: SmallVec<[Option<usize>; 4]> =
                        shapes[base.index()].iter().map(|_| None).collect();
                    walk(region, shapes, analysis, base, &axes, &mut out);
                }
            }
        }
        _ => operands(region, shapes, analysis, id, &loops, &mut out),
    }
    out
}

fn walk(
    region: &Region,
    shapes: &[Dims],
    analysis: &Analysis,
    value: Value,
    axes: &[Option<usize>],
    out: &mut Vec<Read>,
) {
    if analysis.is_stored(value) {
        let storage = analysis.storage(value);
        let plain = shapes[storage.index()] == shapes[value.index()];
        let axes = if plain { axes.into() } else { shapes[storage.index()].iter().map(|_| None).collect() };
        out.push(Read { value: storage, plain, axes });
    } else if let Some(id) = node_id(region, value) {
        operands(region, shapes, analysis, id, axes, out);
    }
}

/// Follows the operands of an elementwise or movement op whose result is read along `axes`.
fn operands(
    region: &Region,
    shapes: &[Dims],
    analysis: &Analysis,
    id: NodeId,
    axes: &[Option<usize>],
    out: &mut Vec<Read>,
) {
    let node = region.node(id);
    let mut go = |v: Value, axes: &[Option<usize>]| walk(region, shapes, analysis, v, axes, out);
    let unknown =
        |v: Value| -> SmallVec<[Option<usize>; 4]> { shapes[v.index()].iter().map(|_| None).collect() };
    match &node.op {
        Op::Movement(Movement::Transpose { perm }) => {
            let mut inner = unknown(node.inputs[0]);
            for (i, p) in perm.iter().enumerate() {
                inner[*p] = axes[i];
            }
            go(node.inputs[0], &inner);
        }
        Op::Movement(Movement::Broadcast { axes: to, .. }) => {
            let inner: SmallVec<[Option<usize>; 4]> = to.iter().map(|a| axes[*a]).collect();
            go(node.inputs[0], &inner);
        }
        Op::Movement(Movement::Reshape { .. }) => {
            let (from, to) = (&shapes[node.inputs[0].index()], &shapes[node.output().index()]);
            let mut inner = unknown(node.inputs[0]);
            // Axes of size 1 that come or go leave the others as they are.
            let real = |dims: &Dims| -> Vec<usize> { (0..dims.len()).filter(|i| dims[*i] != 1).collect() };
            let (a, b) = (real(from), real(to));
            if a.len() == b.len() && a.iter().zip(&b).all(|(i, j)| from[*i] == to[*j]) {
                for (i, j) in a.iter().zip(&b) {
                    inner[*i] = axes[*j];
                }
            }
            go(node.inputs[0], &inner);
        }
        Op::Movement(_) | Op::Gather(_) | Op::Random(_) => {
            for v in &node.inputs {
                go(*v, &unknown(*v));
            }
        }
        _ => {
            for v in &node.inputs {
                go(*v, axes);
            }
        }
    }
}
