//! Random ops that choose: by index, by condition, by segment, by iteration. What they choose by are constants, so that
//! rounding cannot change a choice.

use super::dims_of;
use crate::numbers::Numbers;
use wootz_ir::ops::{Control, Cumsum, ScatterKind, SegmentKind};
use wootz_ir::{Builder, DType, HostTensor, TypeError, Value};

/// Indices in `[-2, size + 2)`: some are out of bounds, some occur twice.
fn indices(b: &mut Builder, numbers: &mut Numbers, size: usize) -> Value {
    let dtype = *numbers.pick(&[DType::I64, DType::I32]);
    let dims: &[usize] = if numbers.below(2) == 0 { &[3, 1] } else { &[2, 2, 1] };
    let count: usize = dims.iter().product();
    let values: Vec<i64> = (0..count).map(|_| numbers.below(size + 4) as i64 - 2).collect();
    b.constant(HostTensor::from_i64(dtype, dims, &values))
}

/// Rows of x by index.
pub(super) fn gather(b: &mut Builder, numbers: &mut Numbers, x: Value) -> Result<Value, TypeError> {
    let size = dims_of(b, x)[0];
    let at = indices(b, numbers, size);
    b.gather(x, at, 0, 1)
}

/// x with rows that are replaced or added to.
pub(super) fn scatter(b: &mut Builder, numbers: &mut Numbers, x: Value) -> Result<Value, TypeError> {
    let size = dims_of(b, x)[0];
    let at = indices(b, numbers, size);
    let rows = b.gather(x, at, 0, 1)?;
    let updates = b.sin(rows)?;
    let kind = *numbers.pick(&[ScatterKind::Set, ScatterKind::Add]);
    b.scatter(kind, x, at, updates, 0, 1)
}

/// Rows combined by ascending ids, of which some lie outside; empty segments of sums are 0.
pub(super) fn segment(b: &mut Builder, numbers: &mut Numbers, x: Value) -> Result<Value, TypeError> {
    let rows = dims_of(b, x)[0];
    let mut ids: Vec<i64> = (0..rows).map(|_| numbers.below(6) as i64 - 1).collect();
    ids.sort_unstable();
    let ids = b.constant(HostTensor::from_i64(DType::I64, &[rows], &ids));
    let sums = b.segment(SegmentKind::Sum, x, ids, 0, 4usize.into())?;
    b.mul_scalar(sums, 1.0 / rows.max(1) as f64)
}

/// Running sums.
pub(super) fn cumsum(b: &mut Builder, numbers: &mut Numbers, x: Value) -> Result<Value, TypeError> {
    let dims = dims_of(b, x);
    let axis = numbers.below(dims.len());
    let (reverse, exclusive) = (numbers.below(2) == 0, numbers.below(2) == 0);
    let sums = b.push(Cumsum { axis, reverse, exclusive }, &[x])?;
    b.mul_scalar(sums, 1.0 / dims[axis].max(1) as f64)
}

/// x or −x, by a constant condition.
pub(super) fn select(b: &mut Builder, numbers: &mut Numbers, x: Value) -> Result<Value, TypeError> {
    let condition = numbers.tensor(DType::Bool, &dims_of(b, x));
    let condition = b.constant(condition);
    let other = b.neg(x)?;
    b.select(condition, x, other)
}

/// x between −0.7 and 0.6.
pub(super) fn clamp(b: &mut Builder, x: Value) -> Result<Value, TypeError> {
    let (low, high) = (b.full_like(x, -0.7)?, b.full_like(x, 0.6)?);
    b.clamp(low, x, high)
}

/// A recurrence over the rows of x; its result is the rows of the state.
pub(super) fn scan(b: &mut Builder, numbers: &mut Numbers, x: Value) -> Result<Value, TypeError> {
    let dims = dims_of(b, x);
    let row = wootz_ir::TensorType::new(b.ty(x).dtype, &dims[1..]);
    let factor = 0.25 + numbers.below(3) as f64 / 4.0;
    let body = b.subregion(&[row.clone(), row.clone()], |b, p| {
        let decayed = b.mul_scalar(p[0], factor)?;
        let sum = b.add(decayed, p[1])?;
        let state = b.tanh(sum)?;
        Ok::<_, TypeError>(vec![state, state])
    })?;
    let start = b.full(&row, 0.5)?;
    let reverse = numbers.below(2) == 0;
    let op = Control::Scan { body, carries: 1, xs: 1, length: dims[0].into(), reverse };
    Ok(b.push_multi(op, &[start, x])?[1])
}
