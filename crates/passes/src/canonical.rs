//! Canonical forms for fusion: elementwise ops move in front of the reshapes, transposes and broadcasts of their operands, so
//! that chains stand together and work is done on the smaller tensor; constants are right operands, other operands of
//! commutative ops stand in the order of their definition. The rules of `simplify` apply as well.
//!
//! Before:
//!
//! ```text
//! graph(%0: f32[3] = input "x") {
//!   %1 = broadcast[shape=[2, 3], axes=[1]] %0 : f32[2, 3]
//!   %2 = constant[value=f32[]{2.0}] : f32[]
//!   %3 = broadcast[shape=[2, 3], axes=[]] %2 : f32[2, 3]
//!   %4 = mul %3, %1 : f32[2, 3]
//!   %5 = exp %4 : f32[2, 3]
//!   return "y" = %5
//! }
//! ```
//!
//! After:
//!
//! ```text
//! graph(%0: f32[3] = input "x") {
//!   %1 = constant[value=f32[]{2.0}] : f32[]
//!   %2 = broadcast[shape=[3], axes=[]] %1 : f32[3]
//!   %3 = mul %0, %2 : f32[3]
//!   %4 = exp %3 : f32[3]
//!   %5 = broadcast[shape=[2, 3], axes=[1]] %4 : f32[2, 3]
//!   return "y" = %5
//! }
//! ```

use crate::emit::{Emit, Rule, Values, Walk};
use crate::{algebra, fold};
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;
use wootz_ir::ops::{Compare, Movement, Op};
use wootz_ir::{Region, Target, TensorType, TypeError, Value};

/// The rules of this pass, in the order they are tried.
const RULES: [Rule; 6] = [fold::rule, algebra::arithmetic, algebra::movement, algebra::control, order, sink];

pub(crate) fn run(region: &Arc<Region>, target: &Target) -> Result<Arc<Region>, TypeError> {
    Walk::new(target, &RULES).with_cse().region(region)
}

/// Operands of commutative ops in canonical order.
fn order(e: &mut Emit<'_, '_>, op: &Op, x: &[Value]) -> Result<Option<Values>, TypeError> {
    let swapped: Op = match op {
        Op::Binary(binary) if binary.is_commutative() => op.clone(),
        Op::Compare(Compare::Eq | Compare::Ne) => op.clone(),
        Op::Compare(Compare::Lt) => Compare::Gt.into(),
        Op::Compare(Compare::Le) => Compare::Ge.into(),
        Op::Compare(Compare::Gt) => Compare::Lt.into(),
        Op::Compare(Compare::Ge) => Compare::Le.into(),
        _ => return Ok(None),
    };
    let known = |v: Value| e.repeated(v).is_some() || e.constant(v).is_some();
    let rank = |v: Value| (known(v), v.index());
    if rank(x[0]) <= rank(x[1]) {
        return Ok(None);
    }
    e.emit_all(&swapped, &[x[1], x[0]]).map(Some)
}

/// An elementwise op on operands that are all moved in the same way (or are repeated scalars): the op first, then the move.
fn sink(e: &mut Emit<'_, '_>, op: &Op, x: &[Value]) -> Result<Option<Values>, TypeError> {
    if !matches!(op, Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Ternary(_) | Op::Cast(_)) {
        return Ok(None);
    }
    let mut common: Option<(Movement, TensorType)> = None;
    let mut inner: SmallVec<[Option<Value>; 3]> = SmallVec::new();
    for value in x {
        if e.repeated(*value).is_some() {
            inner.push(None);
            continue;
        }
        let Some((Op::Movement(movement), operands)) = e.def(*value) else { return Ok(None) };
        let moves = matches!(
            movement,
            Movement::Reshape { .. } | Movement::Transpose { .. } | Movement::Broadcast { .. }
        );
        let from = e.ty(operands[0]);
        let same = common.as_ref().is_none_or(|(m, ty)| m == movement && ty.shape == from.shape);
        if !moves || !same {
            return Ok(None);
        }
        inner.push(Some(operands[0]));
        common = Some((movement.clone(), from.clone()));
    }
    let Some((movement, like)) = common else { return Ok(None) };
    let mut operands: SmallVec<[Value; 3]> = SmallVec::new();
    for (value, inner) in x.iter().zip(inner) {
        operands.push(match (inner, e.splat(*value)) {
            (Some(inner), _) => inner,
            (None, Some(scalar)) => e.full(scalar, &like)?,
            (None, None) => return Ok(None),
        });
    }
    let result = e.emit(op.clone(), &operands)?;
    Ok(Some(smallvec![e.emit(movement, &[result])?]))
}
