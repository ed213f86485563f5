//! What the rules of elementwise ops share.

#[cfg(test)]
mod tests;

use super::rules::{BatchCx, JvpCx, VjpCx, spread};
use super::{Op, RuleError};
use crate::{Builder, TypeError, Value};

/// Multiplies a (co)tangent by ∂result/∂operand i; `None` where that is zero. An elementwise op's Jacobian is diagonal,
/// so that one function serves both modes.
pub(super) type Derivative<'a> = &'a dyn Fn(&mut Builder, usize, Value) -> Result<Option<Value>, RuleError>;

/// Reverse mode of an elementwise op.
pub(super) fn vjp(cx: &mut VjpCx<'_>, derivative: Derivative<'_>) -> Result<Vec<Option<Value>>, RuleError> {
    let Some(cotangent) = cx.cotangents[0] else { return Ok(vec![None; cx.inputs.len()]) };
    (0..cx.inputs.len())
        .map(|i| {
            let wanted = cx.needs[i] && cx.b.ty(cx.inputs[i]).dtype.is_float();
            if wanted { derivative(cx.b, i, cotangent) } else { Ok(None) }
        })
        .collect()
}

/// Forward mode of an elementwise op.
pub(super) fn jvp(cx: &mut JvpCx<'_>, derivative: Derivative<'_>) -> Result<Vec<Option<Value>>, RuleError> {
    let mut sum = None;
    for (i, tangent) in cx.tangents.iter().enumerate() {
        let Some(tangent) = *tangent else { continue };
        if !cx.b.ty(cx.inputs[i]).dtype.is_float() {
            continue;
        }
        if let Some(term) = derivative(cx.b, i, tangent)? {
            sum = Some(match sum {
                Some(sum) => cx.b.add(sum, term)?,
                None => term,
            });
        }
    }
    Ok(vec![sum])
}

/// Batching of an op that takes leading axes as they come: operands without the new axis are repeated along it.
pub(super) fn batch(cx: &mut BatchCx<'_>, op: Op) -> Result<Vec<(Value, bool)>, RuleError> {
    let inputs = batched_operands(cx)?;
    Ok(vec![(cx.b.push(op, &inputs)?, true)])
}

/// The operands, all with the new leading axis.
pub(super) fn batched_operands(cx: &mut BatchCx<'_>) -> Result<Vec<Value>, TypeError> {
    let mut out = cx.inputs.to_vec();
    for (value, batched) in out.iter_mut().zip(cx.batched) {
        if !batched {
            *value = spread(cx.b, *value, cx.size)?;
        }
    }
    Ok(out)
}
