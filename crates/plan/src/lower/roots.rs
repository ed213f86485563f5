//! Which values get a step of their own.
//!
//! A *root* is computed by a kernel, contraction or other step and may be stored; every other value is recomputed wherever
//! it is used (its cost is counted), read from a parameter or constant, or is a reshape of something stored (an alias).

use super::{PlanError, Signature};
use wootz_ir::ops::{Binary, CompositeKind, Movement, Op, Source, Unary};
use wootz_ir::{Def, Dims, HostTensor, Node, NodeId, Region, Value};

/// A value used several times is recomputed each time if it costs no more than this many simple operations.
const CHEAP: u32 = 2;
/// An expression of this many ops one inside the other is cut by a root, so that walking it needs a bounded stack.
const DEEP: u32 = 200;

/// How a value comes into being.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// A parameter of the region.
    Param,
    /// A constant with a buffer.
    Constant,
    /// Computed by a step.
    Root,
    /// A reshape of this stored value: the same buffer.
    Alias(Value),
    /// Computed where it is used.
    Inline,
}

/// The decisions for one region.
pub(super) struct Analysis {
    kinds: Vec<Kind>,
    prepared: Vec<bool>,
    /// For each element of each value that is computed: operations from what is stored.
    costs: Vec<u32>,
    /// For each result: whether it may be written into the buffer of the parameter it takes over. Set by clustering.
    pub(super) in_place: Vec<bool>,
}

impl Analysis {
    /// True if the value is computed by a step.
    pub(super) fn is_root(&self, value: Value) -> bool {
        self.kinds[value.index()] == Kind::Root
    }

    /// True if the value depends on rarely changing parameters alone and is computed when they change.
    pub(super) fn is_prepared(&self, value: Value) -> bool {
        self.prepared[value.index()]
    }

    /// Operations for an element of a root, from what is stored.
    pub(super) fn cost(&self, root: Value) -> u32 {
        self.costs[root.index()]
    }

    /// True if reading the value means reading a buffer.
    pub(super) fn is_stored(&self, value: Value) -> bool {
        self.kinds[value.index()] != Kind::Inline
    }

    /// The value whose buffer holds this one: itself, or what it is a reshape of.
    pub(super) fn storage(&self, value: Value) -> Value {
        match self.kinds[value.index()] {
            Kind::Alias(of) => of,
            _ => value,
        }
    }

    /// The contents of a constant with a buffer.
    pub(super) fn constant<'r>(&self, region: &'r Region, value: Value) -> Option<&'r HostTensor> {
        match (self.kinds[value.index()], region.defining_node(value).map(|n| &n.op)) {
            (Kind::Constant, Some(Op::Source(Source::Constant(tensor)))) => Some(tensor),
            _ => None,
        }
    }
}

/// The element of a constant all of whose elements have the same bits.
pub(super) fn splat(tensor: &HostTensor) -> Option<&[u8]> {
    let size = tensor.dtype().size();
    let mut elements = tensor.as_bytes().chunks_exact(size);
    let first = elements.next()?;
    elements.all(|e| e == first).then_some(first)
}

pub(super) fn analyse(
    region: &Region,
    shapes: &[Dims],
    signature: &Signature,
) -> Result<Analysis, PlanError> {
    let uses = count_uses(region);
    let mut must_store = vec![false; region.values()];
    for result in region.results() {
        must_store[result.index()] = true;
    }
    for node in region.nodes() {
        mark_operands(region, shapes, node, &mut must_store);
    }
    let (param_only, neutral) = param_only(region, signature);
    let hoisted = hoisted(region, &param_only);

    let mut kinds: Vec<Kind> = region.params().map(|_| Kind::Param).collect();
    let mut costs = vec![0u32; kinds.len()];
    let mut own_costs = costs.clone();
    let mut depths = vec![0u32; kinds.len()];
    for node in region.nodes() {
        if let Op::Composite(composite) = &node.op
            && !CLAIMS.contains(&composite.kind())
        {
            return Err(PlanError::Unexpanded { op: node.op.name(), site: node.site.clone() });
        }
        for value in node.outputs() {
            let i = value.index();
            let cost = inline_cost(node, &costs);
            let depth = 1 + node.inputs.iter().map(|v| depths[v.index()]).max().unwrap_or(0);
            let kind = match &node.op {
                Op::Source(Source::Constant(tensor)) if splat(tensor).is_some() && !must_store[i] => {
                    Kind::Inline
                }
                Op::Source(Source::Constant(_)) => Kind::Constant,
                Op::Movement(Movement::Reshape { .. }) if kinds[node.inputs[0].index()] != Kind::Inline => {
                    Kind::Alias(match kinds[node.inputs[0].index()] {
                        Kind::Alias(of) => of,
                        _ => node.inputs[0],
                    })
                }
                op if owns_step(op) => Kind::Root,
                _ if must_store[i] || hoisted[i] || depth > DEEP => Kind::Root,
                _ if uses[i] > 1 && cost > CHEAP => Kind::Root,
                _ => Kind::Inline,
            };
            let inline = kind == Kind::Inline;
            costs.push(if inline { cost } else { 0 });
            own_costs.push(cost);
            depths.push(if inline { depth } else { 0 });
            kinds.push(kind);
        }
    }
    let mut prepared: Vec<bool> = (0..kinds.len()).map(|i| kinds[i] == Kind::Root && param_only[i]).collect();
    prepare_sources(region, &kinds, &neutral, &mut prepared);
    Ok(Analysis { kinds, prepared, costs: own_costs, in_place: vec![false; region.results().len()] })
}

/// The composites that lowering writes itself, elementwise ones: what a target of this plan claims.
pub const CLAIMS: &[CompositeKind] = &[CompositeKind::GeluTanh, CompositeKind::Sigmoid];

/// Ops that are always a step of their own or the reduction of a kernel.
fn owns_step(op: &Op) -> bool {
    match op {
        Op::Reduce(_)
        | Op::ArgReduce(_)
        | Op::Dot(_)
        | Op::Scatter(_)
        | Op::Segment(_)
        | Op::Cumsum(_)
        | Op::Linalg(_)
        | Op::Control(_)
        | Op::Movement(Movement::Concat { .. }) => true,
        Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Ternary(_)
        | Op::Cast(_)
        | Op::Movement(_)
        | Op::Gather(_)
        | Op::Source(_)
        | Op::Random(_)
        | Op::Composite(_) => false,
    }
}

fn count_uses(region: &Region) -> Vec<u32> {
    let mut uses = vec![0; region.values()];
    for value in region.nodes().iter().flat_map(|n| &n.inputs).chain(region.results()) {
        uses[value.index()] += 1;
    }
    uses
}

/// Marks operands that must lie in memory: of steps that read buffers, and of ops that would read an expensive operand
/// many times.
fn mark_operands(region: &Region, shapes: &[Dims], node: &Node, must_store: &mut [bool]) {
    match &node.op {
        Op::Scatter(_) | Op::Segment(_) | Op::Cumsum(_) | Op::Linalg(_) | Op::Control(_) => {
            for v in &node.inputs {
                must_store[v.index()] = true;
            }
        }
        Op::Dot(_) => {
            for v in &node.inputs {
                must_store[super::gemm::view_base(region, shapes, *v).index()] = true;
            }
        }
        Op::Gather(_) => {
            let operand = gathered_from(region, shapes, node);
            mark_unless_trivial(region, operand, must_store);
        }
        Op::Movement(Movement::Broadcast { .. }) => {
            let grows = shapes[node.output().index()].iter().product::<usize>()
                > shapes[node.inputs[0].index()].iter().product::<usize>();
            if grows && is_expensive(region, node.inputs[0], 4) {
                must_store[node.inputs[0].index()] = true;
            }
        }
        // Joining axes is free on a buffer and costs index arithmetic on an expression.
        Op::Movement(Movement::Reshape { .. }) => {
            let axes = |dims: &Dims| dims.iter().filter(|n| **n != 1).count();
            let joins = axes(&shapes[node.output().index()]) < axes(&shapes[node.inputs[0].index()]);
            if joins {
                mark_unless_trivial(region, node.inputs[0], must_store);
            }
        }
        _ => {}
    }
}

/// What a gather reads. Transposing what was computed takes as long as a few reads of each element in the order there is.
fn gathered_from(region: &Region, shapes: &[Dims], gather: &Node) -> Value {
    const READS: usize = 4;
    let size = |v: Value| shapes[v.index()].iter().product::<usize>();
    let operand = gather.inputs[0];
    let mut base = operand;
    while let Some(node) = region.defining_node(base)
        && let Op::Movement(Movement::Transpose { .. }) = node.op
    {
        base = node.inputs[0];
    }
    let is_computed = region.defining_node(base).is_some();
    if is_computed && size(gather.output()) <= READS * size(operand) { base } else { operand }
}

fn mark_unless_trivial(region: &Region, value: Value, must_store: &mut [bool]) {
    let trivial = match region.def(value) {
        Def::Param(_) => true,
        Def::Node(id, _) => {
            matches!(region.node(id).op, Op::Source(_) | Op::Movement(Movement::Broadcast { .. }))
        }
    };
    if !trivial {
        must_store[value.index()] = true;
    }
}

/// True if the expression of a value holds an op costing more than a few simple ones, looking `depth` ops deep.
fn is_expensive(region: &Region, value: Value, depth: u32) -> bool {
    let Some(node) = region.defining_node(value) else { return false };
    if owns_step(&node.op) {
        return false;
    }
    op_cost(&node.op) > CHEAP
        || (depth == 0 && op_cost(&node.op) > 0)
        || (depth > 0 && node.inputs.iter().any(|v| is_expensive(region, *v, depth - 1)))
}

fn inline_cost(node: &Node, costs: &[u32]) -> u32 {
    node.inputs.iter().fold(op_cost(&node.op), |sum, v| sum.saturating_add(costs[v.index()]))
}

/// The cost of an op for one element, in simple operations.
fn op_cost(op: &Op) -> u32 {
    match op {
        Op::Unary(u) => match u {
            Unary::StopGradient => 0,
            Unary::Neg | Unary::Abs | Unary::Not | Unary::Sign | Unary::IsNan | Unary::IsFinite => 1,
            Unary::Floor | Unary::Ceil | Unary::Round => 1,
            Unary::Sqrt | Unary::Rsqrt => 4,
            _ => 12,
        },
        Op::Binary(b) => match b {
            Binary::Pow | Binary::Atan2 => 24,
            Binary::Div | Binary::Rem | Binary::FloorDiv => 4,
            _ => 1,
        },
        Op::Compare(_) | Op::Cast(_) | Op::Ternary(_) => 1,
        Op::Movement(Movement::Pad { .. }) => 3,
        Op::Gather(_) => 6,
        Op::Random(_) => 100,
        Op::Composite(_) => 18,
        _ => 0,
    }
}

/// Which values depend on rarely changing parameters alone (and on at least one), and which on nothing but constants.
fn param_only(region: &Region, signature: &Signature) -> (Vec<bool>, Vec<bool>) {
    let changing = |i: usize| signature.aliases.contains(&Some(i));
    let mut only: Vec<bool> = signature
        .params
        .iter()
        .enumerate()
        .map(|(i, p)| *p && signature.allow_prepare && !changing(i))
        .collect();
    // Neutral values (constants) neither make nor break it.
    let mut neutral = vec![false; only.len()];
    for node in region.nodes() {
        let fixed = node.inputs.iter().all(|v| only[v.index()] || neutral[v.index()]);
        let any = node.inputs.iter().any(|v| only[v.index()]);
        let hoistable = !matches!(&node.op, Op::Control(_));
        for _ in node.outputs() {
            only.push(fixed && any && hoistable);
            neutral.push(fixed && !any && hoistable);
        }
    }
    (only, neutral)
}

/// Marks the roots computed from constants that marked roots read: the prepare part computes these as well.
fn prepare_sources(region: &Region, kinds: &[Kind], neutral: &[bool], prepared: &mut [bool]) {
    let mut read: Vec<bool> = prepared.to_vec();
    for node in region.nodes().iter().rev() {
        if !node.outputs().any(|v| read[v.index()]) {
            continue;
        }
        for operand in &node.inputs {
            let i = operand.index();
            read[i] |= kinds[i] != Kind::Param;
            prepared[i] |= kinds[i] == Kind::Root && neutral[i];
        }
    }
}

/// Values worth computing once: computed from parameters alone and used together with something else.
fn hoisted(region: &Region, param_only: &[bool]) -> Vec<bool> {
    let mut hoisted = vec![false; region.values()];
    for node in region.nodes() {
        if node.outputs().any(|v| param_only[v.index()]) {
            continue;
        }
        for operand in &node.inputs {
            if param_only[operand.index()]
                && let Some(value) = computed(region, *operand)
            {
                hoisted[value.index()] = true;
            }
        }
    }
    hoisted
}

/// What a value is a rearrangement of, if that is computed: movements of parameters cost nothing where they are used.
fn computed(region: &Region, value: Value) -> Option<Value> {
    let node = region.defining_node(value)?;
    match &node.op {
        Op::Movement(_) => computed(region, node.inputs[0]),
        op => (op_cost(op) > 0).then_some(value),
    }
}

/// The node that defines a value.
pub(super) fn node_id(region: &Region, value: Value) -> Option<NodeId> {
    match region.def(value) {
        Def::Param(_) => None,
        Def::Node(id, _) => Some(id),
    }
}
