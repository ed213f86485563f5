//! Elementwise ops, casts, reductions.

use crate::emit::{Emit, Values};
use smallvec::smallvec;
use wootz_ir::ops::{Binary, Cast, Movement, Op, Reduce, ReduceKind, Ternary, Unary};
use wootz_ir::{DType, HostTensor, TypeError, Value};

/// Rules of arithmetic.
pub(crate) fn rule(e: &mut Emit<'_, '_>, op: &Op, x: &[Value]) -> Result<Option<Values>, TypeError> {
    let value = match op {
        Op::Unary(op) => unary(e, *op, x[0])?,
        Op::Binary(op) => binary(e, *op, x[0], x[1])?,
        Op::Ternary(Ternary::Select) => select(e, x)?,
        Op::Cast(Cast { dtype }) => cast(e, *dtype, x[0])?,
        Op::Reduce(op) => reduce(e, op, x[0])?,
        _ => None,
    };
    Ok(value.map(|v| smallvec![v]))
}

/// The operand of `op` if that is what gives `x`.
fn under(e: &Emit<'_, '_>, op: Unary, x: Value) -> Option<Value> {
    match e.def(x)? {
        (Op::Unary(inner), operands) if *inner == op => Some(operands[0]),
        _ => None,
    }
}

fn unary(e: &mut Emit<'_, '_>, op: Unary, x: Value) -> Result<Option<Value>, TypeError> {
    Ok(match op {
        Unary::StopGradient if !e.walk.target.differentiable => Some(x),
        Unary::Neg | Unary::Not => under(e, op, x),
        Unary::Abs => match under(e, Unary::Neg, x) {
            Some(inner) => Some(e.emit(Unary::Abs, &[inner])?),
            None => under(e, Unary::Abs, x).map(|_| x),
        },
        Unary::Floor | Unary::Ceil | Unary::Round => {
            let integral = [Unary::Floor, Unary::Ceil, Unary::Round];
            integral.into_iter().any(|inner| under(e, inner, x).is_some()).then_some(x)
        }
        _ => None,
    })
}

fn binary(e: &mut Emit<'_, '_>, op: Binary, x: Value, y: Value) -> Result<Option<Value>, TypeError> {
    let float = e.ty(x).dtype.is_float();
    // The number that changes nothing: −0 in sums, as −0 + 0 is 0.
    let (zero, one) = (if float { -0.0 } else { 0.0 }, 1.0);
    Ok(match op {
        Binary::Add if e.is_splat(y, zero) => Some(x),
        Binary::Add if e.is_splat(x, zero) => Some(y),
        Binary::Sub if e.is_splat(y, 0.0) => Some(x),
        Binary::Mul | Binary::Div | Binary::Pow if e.is_splat(y, one) => Some(x),
        Binary::Mul if e.is_splat(x, one) => Some(y),
        Binary::Add => match (under(e, Unary::Neg, x), under(e, Unary::Neg, y)) {
            (_, Some(y)) => Some(e.emit(Binary::Sub, &[x, y])?),
            (Some(x), _) => Some(e.emit(Binary::Sub, &[y, x])?),
            _ => None,
        },
        Binary::Sub => match under(e, Unary::Neg, y) {
            Some(y) => Some(e.emit(Binary::Add, &[x, y])?),
            None => None,
        },
        Binary::Mul => match (under(e, Unary::Neg, x), under(e, Unary::Neg, y)) {
            (Some(x), Some(y)) => Some(e.emit(Binary::Mul, &[x, y])?),
            _ => None,
        },
        Binary::Div => match e.splat(y).and_then(exact_inverse) {
            Some(inverse) => {
                let like = e.ty(y).clone();
                let inverse = e.full(inverse, &like)?;
                Some(e.emit(Binary::Mul, &[x, inverse])?)
            }
            None => None,
        },
        Binary::Pow if e.is_splat(y, 2.0) => Some(e.emit(Binary::Mul, &[x, x])?),
        Binary::Min | Binary::Max | Binary::And | Binary::Or if x == y => Some(x),
        _ => None,
    })
}

/// 1/c if c and 1/c are normal powers of two: then x/c and x·(1/c) round the same number.
fn exact_inverse(c: HostTensor) -> Option<HostTensor> {
    if !c.dtype().is_float() {
        return None;
    }
    let value = c.to_f64()[0];
    let power_of_two = value.is_normal() && value.to_bits() & ((1 << 52) - 1) == 0;
    // Exponents that are normal in the dtype, on both sides of zero.
    let limit = match c.dtype() {
        DType::F16 => 14,
        DType::BF16 | DType::F32 => 126,
        _ => 1022,
    };
    let fits = value.abs().log2().abs() <= f64::from(limit);
    (power_of_two && fits).then(|| HostTensor::scalar(c.dtype(), 1.0 / value))
}

fn select(e: &mut Emit<'_, '_>, x: &[Value]) -> Result<Option<Value>, TypeError> {
    let [condition, then, otherwise] = *x else { return Ok(None) };
    if then == otherwise || e.is_splat(condition, 1.0) {
        return Ok(Some(then));
    }
    if e.is_splat(condition, 0.0) {
        return Ok(Some(otherwise));
    }
    match under(e, Unary::Not, condition) {
        Some(condition) => e.emit(Ternary::Select, &[condition, otherwise, then]).map(Some),
        None => Ok(None),
    }
}

fn cast(e: &mut Emit<'_, '_>, to: DType, x: Value) -> Result<Option<Value>, TypeError> {
    if e.ty(x).dtype == to {
        return Ok(Some(x));
    }
    let Some((Op::Cast(Cast { dtype: via }), operands)) = e.def(x) else { return Ok(None) };
    let (via, inner) = (*via, operands[0]);
    let from = e.ty(inner).dtype;
    // A float on the way to an integer saturates where an integer would wrap.
    let wraps = !from.is_float() && via.is_float() && to.is_int();
    if !holds(via, from) || (wraps && !holds(to, from)) {
        return Ok(None);
    }
    if from == to { Ok(Some(inner)) } else { e.emit(Cast { dtype: to }, &[inner]).map(Some) }
}

/// True if `wide` represents every value of `narrow`.
fn holds(wide: DType, narrow: DType) -> bool {
    use DType::*;
    wide == narrow
        || match narrow {
            Bool => true,
            U8 => wide != Bool,
            U32 => matches!(wide, I64 | F64),
            I32 => matches!(wide, I64 | F64),
            F16 | BF16 => matches!(wide, F32 | F64),
            F32 => wide == F64,
            I64 | F64 => false,
        }
}

fn reduce(e: &mut Emit<'_, '_>, op: &Reduce, x: Value) -> Result<Option<Value>, TypeError> {
    if op.axes.is_empty() {
        return Ok(Some(x));
    }
    let ty = e.ty(x);
    // A sum of one −0 may be 0.
    let sums = matches!(op.kind, ReduceKind::Sum | ReduceKind::Prod) && ty.dtype.is_float();
    if sums || !op.axes.iter().all(|a| ty.shape[*a].is(1)) {
        return Ok(None);
    }
    let shape = ty.shape.without(&op.axes);
    e.emit(Movement::Reshape { shape }, &[x]).map(Some)
}
