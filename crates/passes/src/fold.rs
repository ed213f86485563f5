//! Constant folding: an op on constants is evaluated by the reference interpreter if every backend gives the same bits.
//!
//! That holds of movement, integers, comparisons, casts and the operations that IEEE 754 rounds correctly. Functions that
//! backends approximate (`exp`, `pow`, …) are folded for (repeated) scalars only: a model's hyperparameters. The definition of these
//! ops leaves their last bits open. Sums and products of floats are not folded, as their order is the backend's.
//! Broadcasts are not folded: a repeated scalar is better than a constant of its size. Sums of one repeated integer and extrema
//! of one repeated element are folded whatever their size: a mean counts its elements so.
//!
//! Before:
//!
//! ```text
//! graph(%0: f32[2] = input "x") {
//!   %1 = constant[value=f32[2]{1.0, 2.0}] : f32[2]
//!   %2 = constant[value=f32[2]{3.0, 0.0}] : f32[2]
//!   %3 = div %1, %2 : f32[2]
//!   %4 = add %0, %3 : f32[2]
//!   return "y" = %4
//! }
//! ```
//!
//! After:
//!
//! ```text
//! graph(%0: f32[2] = input "x") {
//!   %1 = constant[value=f32[2]{0.33333334, inf}] : f32[2]
//!   %2 = add %0, %1 : f32[2]
//!   return "y" = %2
//! }
//! ```

use crate::emit::{Emit, Values};
use smallvec::{SmallVec, smallvec};
use wootz_ir::ops::{Binary, EvalCx, InferCx, Movement, Op, Reduce, ReduceKind, ScatterKind, Source, Unary};
use wootz_ir::{HostTensor, Solver, TensorType, TypeError, Value};

/// Results of more bytes are not folded, unless they are smaller than the operands.
const MAX_BYTES: usize = 4096;

/// An op on constants → a constant.
pub(crate) fn rule(e: &mut Emit<'_, '_>, op: &Op, inputs: &[Value]) -> Result<Option<Values>, TypeError> {
    if inputs.is_empty() || !is_exact(e, op, inputs) {
        return Ok(None);
    }
    if let Some(folded) = evaluate(e, op, inputs, |e, v| e.constant(v).cloned())? {
        return Ok(Some(smallvec![e.emit(Source::Constant(folded), &[])?]));
    }
    if let Op::Reduce(reduce) = op {
        let Some(folded) = reduce_repeated(e, reduce, inputs[0]) else { return Ok(None) };
        let like = reduced_type(e.ty(inputs[0]), reduce);
        return Ok(Some(smallvec![e.full(folded, &like)?]));
    }
    // An elementwise op on repeated scalars is a repeated scalar.
    let elementwise =
        matches!(op, Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Ternary(_) | Op::Cast(_));
    if !elementwise || e.ty(inputs[0]).rank() == 0 {
        return Ok(None);
    }
    if let Some(folded) = evaluate(e, op, inputs, |e, v| e.splat(v))? {
        let like = e.ty(inputs[0]).clone();
        return Ok(Some(smallvec![e.full(folded, &like)?]));
    }
    // One on constants and repeated scalars is a constant.
    if !inputs.iter().any(|v| e.constant(*v).is_some()) {
        return Ok(None);
    }
    let Some(folded) = evaluate(e, op, inputs, |e, v| e.constant(v).cloned().or_else(|| filled(e, v)))?
    else {
        return Ok(None);
    };
    Ok(Some(smallvec![e.emit(Source::Constant(folded), &[])?]))
}

/// A repeated scalar with its elements side by side, if they are few.
fn filled(e: &Emit<'_, '_>, x: Value) -> Option<HostTensor> {
    let (element, dims) = (e.splat(x)?, e.ty(x).shape.concrete()?);
    let bytes = element.as_bytes().repeat(dims.iter().product::<usize>().min(MAX_BYTES));
    HostTensor::from_bytes(element.dtype(), &dims, &bytes).ok()
}

/// The element that a reduction gives everywhere, if its operand is one element repeated.
fn reduce_repeated(e: &Emit<'_, '_>, reduce: &Reduce, x: Value) -> Option<HostTensor> {
    let element = e.splat(x)?;
    let dims = e.ty(x).shape.concrete()?;
    let count: usize = reduce.axes.iter().map(|axis| dims[*axis]).product();
    match reduce.kind {
        ReduceKind::Max | ReduceKind::Min | ReduceKind::Any | ReduceKind::All => {
            (count > 0).then_some(element)
        }
        ReduceKind::Sum if element.dtype().is_int() => {
            let sum = element.to_i64()[0].wrapping_mul(count as i64);
            Some(HostTensor::from_i64(element.dtype(), &[], &[sum]))
        }
        ReduceKind::Sum | ReduceKind::Prod => None,
    }
}

fn reduced_type(x: &TensorType, reduce: &Reduce) -> TensorType {
    let kept = x.shape.iter().enumerate().filter(|(axis, _)| !reduce.axes.contains(axis));
    TensorType { dtype: x.dtype, shape: kept.map(|(_, dim)| dim.clone()).collect() }
}

/// The result of an op whose operands `read` knows.
fn evaluate(
    e: &Emit<'_, '_>,
    op: &Op,
    inputs: &[Value],
    read: impl Fn(&Emit<'_, '_>, Value) -> Option<HostTensor>,
) -> Result<Option<HostTensor>, TypeError> {
    let mut operands: SmallVec<[HostTensor; 3]> = SmallVec::new();
    for value in inputs {
        let Some(tensor) = read(e, *value) else { return Ok(None) };
        operands.push(tensor);
    }
    let types: Vec<TensorType> = operands.iter().map(HostTensor::ty).collect();
    let types: Vec<&TensorType> = types.iter().collect();
    let outputs = op.infer(&mut InferCx { op, inputs: &types, solver: &mut Solver::closed() })?;
    let total: usize = operands.iter().map(|t| t.as_bytes().len()).sum();
    let fits = |ty: &TensorType| ty.bytes().is_some_and(|n| n <= MAX_BYTES.max(total));
    if outputs.len() != 1 || !fits(&outputs[0]) {
        return Ok(None);
    }
    let operands: SmallVec<[&HostTensor; 3]> = operands.iter().collect();
    // An evaluation that fails is left to run time, where its error is reported.
    let results = op.eval(&EvalCx { inputs: &operands, outputs: &outputs }).unwrap_or_default();
    Ok(results.into_iter().next())
}

/// True if every backend gives the reference's bits for this op, or the operands are (repeated) scalars.
fn is_exact(e: &Emit<'_, '_>, op: &Op, inputs: &[Value]) -> bool {
    let ty = e.ty(inputs[0]);
    let integer = !ty.dtype.is_float();
    let scalars = || ty.rank() == 0 || inputs.iter().all(|v| e.repeated(*v).is_some());
    match op {
        Op::Unary(unary) => {
            use Unary::*;
            let exact =
                matches!(unary, Neg | Abs | Sign | Sqrt | Floor | Ceil | Round | Not | IsNan | IsFinite);
            exact || scalars()
        }
        Op::Binary(Binary::Pow | Binary::Atan2) => integer || scalars(),
        Op::Binary(_) | Op::Compare(_) | Op::Ternary(_) | Op::Cast(_) => true,
        Op::Reduce(reduce) => integer || !matches!(reduce.kind, ReduceKind::Sum | ReduceKind::Prod),
        Op::Movement(movement) => !matches!(movement, Movement::Broadcast { .. }),
        Op::Scatter(scatter) => integer || scatter.kind == ScatterKind::Set,
        Op::ArgReduce(_) | Op::Gather(_) | Op::Random(_) => true,
        Op::Dot(_) | Op::Segment(_) | Op::Cumsum(_) => integer,
        Op::Linalg(_) | Op::Source(_) | Op::Composite(_) | Op::Control(_) => false,
    }
}
