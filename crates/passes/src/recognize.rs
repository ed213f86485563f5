//! Recognition: primitives that spell out the body of a composite the target claims become the composite. The body is the
//! composite's meaning, so nothing else changes; it is brought into the canonical form that the graph has before it is compared.
//! A normalisation takes the weight it is multiplied by and the bias it is added to as its operands.
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
use crate::{canonical, expand, simplify};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::mem::discriminant;
use std::sync::Arc;
use wootz_ir::ops::{Binary, Composite, Movement, Op, Ternary, Unary};
use wootz_ir::{DType, Def, F64, HostTensor, Region, Target, TensorType, TypeError, Value};

/// Simplified bodies by composite and operand type.
pub(crate) type Patterns = HashMap<(Composite, TensorType), Arc<Region>>;

const RULES: [Rule; 2] = [rule, affine];

pub(crate) fn run(region: &Arc<Region>, target: &Target) -> Result<Arc<Region>, TypeError> {
    if target.claims.is_empty() {
        return Ok(region.clone());
    }
    Walk::new(target, &RULES).with_cse().region(region)
}

fn rule(e: &mut Emit<'_, '_>, op: &Op, x: &[Value]) -> Result<Option<Values>, TypeError> {
    // Every composite looked for gives a result of its operand's type, and so does its last op.
    let Some(last) = x.last().copied() else { return Ok(None) };
    if !e.ty(last).dtype.is_float() {
        return Ok(None);
    }
    for composite in candidates(e, op, x, e.ty(last).rank()) {
        if !e.walk.target.claims.contains(&composite.kind()) {
            continue;
        }
        let ty = e.ty(last).clone();
        if let Some(outline) = outline(&composite, &ty) {
            let pattern = pattern(e.walk, &composite, &outline)?;
            if !matches_root(e, &pattern, Detail::Outline, op, x, &mut None) {
                continue;
            }
        }
        let pattern = pattern(e.walk, &composite, &ty)?;
        let mut bound = None;
        if matches_root(e, &pattern, Detail::All, op, x, &mut bound)
            && let Some(operand) = bound
        {
            return e.emit_all(&composite.into(), &[operand]).map(Some);
        }
    }
    Ok(None)
}

/// Composites whose body may end in this op.
fn candidates(e: &Emit<'_, '_>, op: &Op, x: &[Value], rank: usize) -> SmallVec<[Composite; 4]> {
    match op {
        Op::Binary(Binary::Max) => SmallVec::from_iter([Composite::Relu]),
        Op::Binary(Binary::Mul) => {
            let activations = [Composite::Silu, Composite::Gelu, Composite::GeluTanh];
            let eps = x.iter().find_map(|v| added_under_root(e, *v));
            let norms = (1..=rank).flat_map(|normalized| eps.map(|eps| normalisations(normalized, eps)));
            activations.into_iter().chain(norms.flatten()).collect()
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

/// Normalisations of this many trailing axes, without weight and bias.
fn normalisations(normalized: usize, eps: F64) -> [Composite; 2] {
    let (weight, bias) = (false, false);
    [Composite::LayerNorm { normalized, eps, weight, bias }, Composite::RmsNorm { normalized, eps, weight }]
}

/// The number e of a value 1/√(v + e) repeated.
fn added_under_root(e: &Emit<'_, '_>, mut value: Value) -> Option<F64> {
    loop {
        match e.def(value)? {
            (Op::Movement(Movement::Broadcast { .. } | Movement::Reshape { .. }), x) => value = x[0],
            (Op::Unary(Unary::Rsqrt), x) => {
                let (Op::Binary(Binary::Add), x) = e.def(x[0])? else { return None };
                return x.iter().find_map(|v| e.splat(*v)).map(|t| shortest(&t));
            }
            _ => return None,
        }
    }
}

/// The number with the fewest digits that is the tensor's element in its dtype: 1e-5, not the double next to the f32.
fn shortest(element: &HostTensor) -> F64 {
    let wide = element.to_f64()[0];
    let narrow = wide as f32;
    let exact = element.dtype() == DType::F32;
    F64(if exact { narrow.to_string().parse().unwrap_or(wide) } else { wide })
}

/// A normalisation times a weight repeated along the leading axes, or such a one plus a bias.
fn affine(e: &mut Emit<'_, '_>, op: &Op, x: &[Value]) -> Result<Option<Values>, TypeError> {
    if !matches!(op, Op::Binary(Binary::Mul | Binary::Add)) {
        return Ok(None);
    }
    for (norm, scale) in [(x[0], x[1]), (x[1], x[0])] {
        let Some((Op::Composite(composite), operands)) = e.def(norm) else { continue };
        let (joined, normalized) = match (op, composite) {
            (
                Op::Binary(Binary::Mul),
                Composite::LayerNorm { normalized, eps, weight: false, bias: false },
            ) => {
                let (normalized, eps) = (*normalized, *eps);
                (Composite::LayerNorm { normalized, eps, weight: true, bias: false }, normalized)
            }
            (Op::Binary(Binary::Mul), Composite::RmsNorm { normalized, eps, weight: false }) => {
                (Composite::RmsNorm { normalized: *normalized, eps: *eps, weight: true }, *normalized)
            }
            (Op::Binary(Binary::Add), Composite::LayerNorm { normalized, eps, weight, bias: false }) => {
                let (normalized, eps, weight) = (*normalized, *eps, *weight);
                (Composite::LayerNorm { normalized, eps, weight, bias: true }, normalized)
            }
            _ => continue,
        };
        let Some(own) = trailing(e, scale, normalized) else { continue };
        let operands: SmallVec<[Value; 3]> = operands.iter().copied().chain([own]).collect();
        // In 16 bits the composite rounds once, the ops written out each time.
        if e.ty(own).dtype.compute() == e.ty(own).dtype {
            return e.emit_all(&joined.into(), &operands).map(Some);
        }
    }
    Ok(None)
}

/// What a value repeats along all axes but its last `count`, if it does.
fn trailing(e: &Emit<'_, '_>, value: Value, count: usize) -> Option<Value> {
    let rank = e.ty(value).rank();
    if rank == count {
        return Some(value);
    }
    match e.def(value)? {
        (Op::Movement(Movement::Broadcast { axes, .. }), x)
            if axes.iter().copied().eq(rank - count..rank)
                && e.ty(x[0]).shape[..] == e.ty(value).shape[rank - count..] =>
        {
            Some(x[0])
        }
        _ => None,
    }
}

fn pattern(walk: &mut Walk<'_>, composite: &Composite, ty: &TensorType) -> Result<Arc<Region>, TypeError> {
    let key = (composite.clone(), ty.clone());
    if let Some(pattern) = walk.patterns.get(&key) {
        return Ok(pattern.clone());
    }
    let body = Arc::new(composite.body(std::slice::from_ref(ty))?);
    let simple = simplify::run(&expand::run(&body, walk.target)?, walk.target)?;
    let pattern = canonical::run(&simple, walk.target)?;
    walk.patterns.insert(key, pattern.clone());
    Ok(pattern)
}

/// The type on which a composite's pattern is tried first, if its body does not depend on sizes: patterns are built for each
/// type, and most of what may end in a composite's last op is no composite.
fn outline(composite: &Composite, ty: &TensorType) -> Option<TensorType> {
    let elementwise = matches!(
        composite,
        Composite::Relu
            | Composite::Silu
            | Composite::Gelu
            | Composite::GeluTanh
            | Composite::Softplus
            | Composite::Sigmoid
    );
    // Sizes of 0 and 1 have rules of their own.
    let general = ty.shape.iter().all(|d| !d.is(0) && !d.is(1));
    (elementwise && general).then(|| TensorType::new(ty.dtype, vec![2; ty.rank()].as_slice()))
}

/// What of a pattern must agree.
#[derive(Clone, Copy, PartialEq)]
enum Detail {
    /// Ops but for the sizes in them.
    Outline,
    All,
}

impl Detail {
    fn agrees(self, expected: &Op, found: &Op) -> bool {
        match (self, expected, found) {
            (Detail::Outline, Op::Movement(x), Op::Movement(y)) => discriminant(x) == discriminant(y),
            _ => expected == found,
        }
    }
}

/// Whether an op on these operands is what gives the pattern's result; binds the pattern's parameter.
fn matches_root(
    e: &Emit<'_, '_>,
    pattern: &Region,
    detail: Detail,
    op: &Op,
    x: &[Value],
    bound: &mut Option<Value>,
) -> bool {
    match pattern.defining_node(pattern.results()[0]) {
        Some(root) => {
            detail.agrees(&root.op, op) && matches_operands(e, pattern, detail, op, &root.inputs, x, bound)
        }
        None => false,
    }
}

fn matches_operands(
    e: &Emit<'_, '_>,
    pattern: &Region,
    detail: Detail,
    op: &Op,
    expected: &[Value],
    found: &[Value],
    bound: &mut Option<Value>,
) -> bool {
    let saved = *bound;
    let mut all = |found: &mut dyn Iterator<Item = &Value>| {
        *bound = saved;
        expected.iter().zip(found).all(|(p, v)| matches_value(e, pattern, detail, *p, *v, bound))
    };
    expected.len() == found.len()
        && (all(&mut found.iter())
            || matches!(op, Op::Binary(b) if b.is_commutative()) && all(&mut found.iter().rev()))
}

fn matches_value(
    e: &Emit<'_, '_>,
    pattern: &Region,
    detail: Detail,
    expected: Value,
    found: Value,
    bound: &mut Option<Value>,
) -> bool {
    match pattern.def(expected) {
        Def::Param(_) => {
            *bound.get_or_insert(found) == found
                && (detail == Detail::Outline || pattern.ty(expected) == e.ty(found))
        }
        Def::Node(id, _) => {
            let node = pattern.node(id);
            match e.def(found) {
                Some((op, inputs)) => {
                    detail.agrees(&node.op, op)
                        && matches_operands(e, pattern, detail, op, &node.inputs, inputs, bound)
                }
                None => false,
            }
        }
    }
}
