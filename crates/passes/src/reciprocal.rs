//! Rows divided by their sums: a softmax divides once a row and multiplies its elements, which the definition of a softmax
//! leaves open. An element may differ from its quotient by an ulp. Short rows are left alone.
//!
//! Before, for a target that does not claim the composite:
//!
//! ```text
//! %1 = softmax[axis=1] %0 : f32[2, 64]
//! ```
//!
//! After, with the exponentials `%e` and their sums `%s` as in its body:
//!
//! ```text
//! %1 = constant[value=f32[]{1.0}] : f32[]
//! %2 = broadcast[shape=[2], axes=[]] %1 : f32[2]
//! %3 = div %2, %s : f32[2]
//! %4 = broadcast[shape=[2, 64], axes=[0]] %3 : f32[2, 64]
//! %5 = mul %e, %4 : f32[2, 64]
//! ```

use crate::emit::{Emit, Values};
use smallvec::{SmallVec, smallvec};
use wootz_ir::ops::{Binary, Composite, Movement, Op};
use wootz_ir::{HostTensor, TensorType, TypeError, Value};

/// Rows of fewer elements are divided as they are.
const LONG: usize = 32;

/// The rule, for targets that run fused kernels.
pub(crate) fn rule(e: &mut Emit<'_, '_>, op: &Op, inputs: &[Value]) -> Result<Option<Values>, TypeError> {
    let Op::Composite(composite @ Composite::Softmax { axis }) = op else { return Ok(None) };
    let long = e.ty(inputs[0]).shape[*axis].as_const().is_some_and(|n| n >= LONG);
    if !long || e.walk.target.claims.contains(&composite.kind()) {
        return Ok(None);
    }
    let types: Vec<TensorType> = inputs.iter().map(|v| e.ty(*v).clone()).collect();
    let body = composite.body(&types)?;
    let results = e.inline(&body, inputs)?;
    // A sum of 16-bit floats is converted at the end.
    let (quotient, narrowing) = match e.def(results[0]) {
        Some((cast @ Op::Cast(_), x)) => (x[0], Some(cast.clone())),
        _ => (results[0], None),
    };
    let Some(product) = by_reciprocal(e, quotient)? else { return Ok(Some(results)) };
    let result = match narrowing {
        Some(cast) => e.emit(cast, &[product])?,
        None => product,
    };
    Ok(Some(smallvec![result]))
}

/// x · (1/s) for x / s with `s` repeated along an axis.
fn by_reciprocal(e: &mut Emit<'_, '_>, quotient: Value) -> Result<Option<Value>, TypeError> {
    let Some((Op::Binary(Binary::Div), &[x, repeated])) = e.def(quotient) else { return Ok(None) };
    let Some((Op::Movement(movement @ Movement::Broadcast { .. }), &[divisor])) = e.def(repeated) else {
        return Ok(None);
    };
    let movement = movement.clone();
    let ty = e.ty(divisor).clone();
    let one = e.full(HostTensor::scalar(ty.dtype, 1.0), &ty)?;
    let reciprocal = e.emit(Binary::Div, &[one, divisor])?;
    let operands: SmallVec<[Value; 2]> = smallvec![x, e.emit(movement, &[reciprocal])?];
    e.emit(Binary::Mul, &operands).map(Some)
}
