//! Recognition: primitives that spell out the body of a composite the target claims become the composite. The body is the
//! composite's meaning, so nothing else changes; it is simplified before it is compared, as the graph has been.
//!
//! Before (the target claims `relu`):
//!
//! ```text
//! graph(%0: f32[2] = input "x") {
//!   %1 = constant[value=f32[]{0.0}] : f32[]
//!   %2 = broadcast[shape=[2], axes=[]] %1 : f32[2]
//!   %3 = max %2, %0 : f32[2]
//!   return "y" = %3
//! }
//! ```
//!
//! After:
//!
//! ```text
//! graph(%0: f32[2] = input "x") {
//!   %1 = relu %0 : f32[2]
//!   return "y" = %1
//! }
//! ```

use crate::emit::{Emit, Rule, Values, Walk};
use crate::{expand, simplify};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::sync::Arc;
use wootz_ir::ops::{Binary, Composite, Op, Ternary};
use wootz_ir::{Def, Region, Target, TensorType, TypeError, Value};

/// Simplified bodies by composite and operand type.
pub(crate) type Patterns = HashMap<(Composite, TensorType), Arc<Region>>;

const RULES: [Rule; 1] = [rule];

pub(crate) fn run(region: &Arc<Region>, target: &Target) -> Result<Arc<Region>, TypeError> {
    Walk::new(target, &RULES).with_cse().region(region)
}

fn rule(e: &mut Emit<'_, '_>, op: &Op, x: &[Value]) -> Result<Option<Values>, TypeError> {
    let Some(first) = x.first() else { return Ok(None) };
    // Every composite looked for gives a result of its operand's type, and so does its last op.
    let ty = e.ty(*x.last().unwrap_or(first)).clone();
    for composite in candidates(op, ty.rank()) {
        if !e.walk.target.claims.contains(&composite.kind()) || !ty.dtype.is_float() {
            continue;
        }
        let pattern = pattern(e.walk, &composite, &ty)?;
        let mut bound = None;
        if matches_root(e, &pattern, op, x, &mut bound)
            && let Some(operand) = bound
        {
            return e.emit_all(&composite.into(), &[operand]).map(Some);
        }
    }
    Ok(None)
}

/// Composites whose body may end in this op.
fn candidates(op: &Op, rank: usize) -> SmallVec<[Composite; 4]> {
    match op {
        Op::Binary(Binary::Max) => SmallVec::from_iter([Composite::Relu]),
        Op::Binary(Binary::Mul) => {
            SmallVec::from_iter([Composite::Silu, Composite::Gelu, Composite::GeluTanh])
        }
        Op::Binary(Binary::Add) => SmallVec::from_iter([Composite::Softplus]),
        Op::Binary(Binary::Sub) => (0..rank).map(|axis| Composite::LogSoftmax { axis }).collect(),
        Op::Binary(Binary::Div) => {
            let softmax = (0..rank).map(|axis| Composite::Softmax { axis });
            softmax.chain([Composite::Sigmoid]).collect()
        }
        Op::Ternary(Ternary::Select) => SmallVec::from_iter([Composite::Sigmoid]),
        _ => SmallVec::new(),
    }
}

fn pattern(walk: &mut Walk<'_>, composite: &Composite, ty: &TensorType) -> Result<Arc<Region>, TypeError> {
    let key = (composite.clone(), ty.clone());
    if let Some(pattern) = walk.patterns.get(&key) {
        return Ok(pattern.clone());
    }
    let body = Arc::new(composite.body(std::slice::from_ref(ty))?);
    let pattern = simplify::run(&expand::run(&body, walk.target)?, walk.target)?;
    walk.patterns.insert(key, pattern.clone());
    Ok(pattern)
}

/// Whether an op on these operands is what gives the pattern's result; binds the pattern's parameter.
fn matches_root(e: &Emit<'_, '_>, pattern: &Region, op: &Op, x: &[Value], bound: &mut Option<Value>) -> bool {
    match pattern.defining_node(pattern.results()[0]) {
        Some(root) => root.op == *op && matches_operands(e, pattern, op, &root.inputs, x, bound),
        None => false,
    }
}

fn matches_operands(
    e: &Emit<'_, '_>,
    pattern: &Region,
    op: &Op,
    expected: &[Value],
    found: &[Value],
    bound: &mut Option<Value>,
) -> bool {
    let saved = *bound;
    let mut all = |found: &mut dyn Iterator<Item = &Value>| {
        *bound = saved;
        expected.iter().zip(found).all(|(p, v)| matches_value(e, pattern, *p, *v, bound))
    };
    expected.len() == found.len()
        && (all(&mut found.iter())
            || matches!(op, Op::Binary(b) if b.is_commutative()) && all(&mut found.iter().rev()))
}

fn matches_value(
    e: &Emit<'_, '_>,
    pattern: &Region,
    expected: Value,
    found: Value,
    bound: &mut Option<Value>,
) -> bool {
    match pattern.def(expected) {
        Def::Param(_) => *bound.get_or_insert(found) == found && pattern.ty(expected) == e.ty(found),
        Def::Node(id, _) => {
            let node = pattern.node(id);
            match e.def(found) {
                Some((op, inputs)) => {
                    node.op == *op && matches_operands(e, pattern, op, &node.inputs, inputs, bound)
                }
                None => false,
            }
        }
    }
}
