//! Contractions: transposes of operands are folded into the dimension numbers, a transpose of the result that only swaps the
//! operands' sides into their order. (Products commute to the bit; the order of the sum is the backend's in either form.)
//!
//! Before:
//!
//! ```text
//! graph(%0: f32[4, 8] = input "x", %1: f32[16, 8] = param "w") {
//!   %2 = transpose[perm=[1, 0]] %1 : f32[8, 16]
//!   %3 = dot[lhs_batch=[], rhs_batch=[], lhs_contract=[1], rhs_contract=[0]] %0, %2 : f32[4, 16]
//!   return "y" = %3
//! }
//! ```
//!
//! After:
//!
//! ```text
//! graph(%0: f32[4, 8] = input "x", %1: f32[16, 8] = param "w") {
//!   %2 = dot[lhs_batch=[], rhs_batch=[], lhs_contract=[1], rhs_contract=[1]] %0, %1 : f32[4, 16]
//!   return "y" = %2
//! }
//! ```

use crate::emit::{Emit, Rule, Values, Walk};
use std::sync::Arc;
use wootz_ir::ops::{Dot, Movement, Op};
use wootz_ir::{Axes, Region, Target, TypeError, Value};

const RULES: [Rule; 2] = [operands, result];

pub(crate) fn run(region: &Arc<Region>, target: &Target) -> Result<Arc<Region>, TypeError> {
    Walk::new(target, &RULES).with_cse().only(|op| matches!(op, Op::Dot(_))).region(region)
}

/// The permutation and what it is applied to, if a transpose gives `x`.
fn transposed<'e>(e: &'e Emit<'_, '_>, x: Value) -> Option<(&'e Axes, Value)> {
    match e.def(x)? {
        (Op::Movement(Movement::Transpose { perm }), operands) => Some((perm, operands[0])),
        _ => None,
    }
}

/// dot(transpose(x), y) → dot(x, y), and the same on the other side, if the free axes keep their order.
fn operands(e: &mut Emit<'_, '_>, op: &Op, x: &[Value]) -> Result<Option<Values>, TypeError> {
    let Op::Dot(dot) = op else { return Ok(None) };
    let through = |perm: &Axes, axes: &Axes| -> Axes { axes.iter().map(|a| perm[*a]).collect() };
    if let Some((perm, inner)) = transposed(e, x[0])
        && through(perm, &dot.lhs_free(perm.len())).is_sorted()
    {
        let dot = Dot {
            lhs_batch: through(perm, &dot.lhs_batch),
            lhs_contract: through(perm, &dot.lhs_contract),
            ..dot.clone()
        };
        return e.emit_all(&dot.into(), &[inner, x[1]]).map(Some);
    }
    if let Some((perm, inner)) = transposed(e, x[1])
        && through(perm, &dot.rhs_free(perm.len())).is_sorted()
    {
        let dot = Dot {
            rhs_batch: through(perm, &dot.rhs_batch),
            rhs_contract: through(perm, &dot.rhs_contract),
            ..dot.clone()
        };
        return e.emit_all(&dot.into(), &[x[0], inner]).map(Some);
    }
    Ok(None)
}

/// transpose(dot(x, y)) → dot(y, x), if the transpose puts the free axes of y before those of x and nothing else.
fn result(e: &mut Emit<'_, '_>, op: &Op, x: &[Value]) -> Result<Option<Values>, TypeError> {
    let Op::Movement(Movement::Transpose { perm }) = op else { return Ok(None) };
    let Some((Op::Dot(dot), operands)) = e.def(x[0]) else { return Ok(None) };
    let (lhs, rhs) = (operands[0], operands[1]);
    let batch = dot.lhs_batch.len();
    let split = batch + dot.lhs_free(e.ty(lhs).rank()).len();
    let swapped = (0..batch).chain(split..perm.len()).chain(batch..split);
    if !perm.iter().copied().eq(swapped) {
        return Ok(None);
    }
    let dot = Dot {
        lhs_batch: dot.rhs_batch.clone(),
        rhs_batch: dot.lhs_batch.clone(),
        lhs_contract: dot.rhs_contract.clone(),
        rhs_contract: dot.lhs_contract.clone(),
    };
    e.emit_all(&dot.into(), &[rhs, lhs]).map(Some)
}
