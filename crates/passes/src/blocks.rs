//! Reductions of tensors that fit in no cache, block by block: a sum or an extreme over an axis of rows becomes one over blocks
//! of rows and one of the blocks' results. Memory is read once and in order, every thread finds work, and a partial result
//! takes in few terms.
//!
//! A variance of f32 over the innermost axes becomes Σd and Σd² in f64, where d are distances from a sample: (Σd² − (Σd)²/n)/n is off by n roundings
//! of f64 at most, since no sample of n is farther from the mean than √n standard deviations. Any other becomes the variances
//! of blocks, which are read twice while they are in the cache, and the variance of their means. Reference: Chan, Golub and
//! LeVeque, *Algorithms for computing the sample variance*, 1983.
//!
//! Before:
//!
//! ```text
//! %1 = reduce_sum[axes=[0]] %0 : f32[4096]
//! ```
//!
//! After, for `%0: f32[4096, 4096]`:
//!
//! ```text
//! %1 = reshape[shape=[32, 128, 4096]] %0 : f32[32, 128, 4096]
//! %2 = reduce_sum[axes=[1]] %1 : f32[32, 4096]
//! %3 = reduce_sum[axes=[0]] %2 : f32[4096]
//! ```

use crate::emit::{Emit, Values};
use smallvec::smallvec;
use wootz_ir::ops::{Binary, Cast, Composite, Movement, Op, Reduce, ReduceKind};
use wootz_ir::{DType, Dim, Dims, HostTensor, Shape, TensorType, TypeError, Value};

/// Operands of fewer bytes stay in a cache between their first reading and their last.
const LARGE: usize = 4 << 20;
/// Rows of a block.
const ROWS: std::ops::RangeInclusive<usize> = 32..=128;
/// The same where a block is read twice.
const ROWS_TWICE: std::ops::RangeInclusive<usize> = 16..=64;
/// Elements of a block without rows.
const ELEMENTS: std::ops::RangeInclusive<usize> = 1024..=4096;

/// How often a block is read.
enum Reading {
    Once,
    /// Once, for sums over the innermost axes.
    Moments,
    Twice,
}

/// The rule, for targets whose caches are known.
pub(crate) fn rule(e: &mut Emit<'_, '_>, op: &Op, inputs: &[Value]) -> Result<Option<Values>, TypeError> {
    let value = match op {
        Op::Reduce(Reduce { kind, axes }) => {
            let Some(blocks) = blocks(e.ty(inputs[0]), axes, Reading::Once) else { return Ok(None) };
            reduced(e, *kind, inputs[0], &blocks)?
        }
        Op::Composite(Composite::Variance { axes, correction }) => {
            let ty = e.ty(inputs[0]);
            let moments =
                ty.dtype == DType::F32 && axes.last().is_some_and(|axis| axis + 1 == ty.shape.rank());
            let reading = if moments { Reading::Moments } else { Reading::Twice };
            let Some(blocks) = blocks(ty, axes, reading) else { return Ok(None) };
            let variance = if moments { variance_by_moments } else { variance };
            variance(e, inputs[0], &blocks, *correction)?
        }
        _ => return Ok(None),
    };
    Ok(Some(smallvec![value]))
}

/// An operand as `[outer.., count, len, inner..]`, of which `count` and `len` are reduced.
struct Blocks {
    shape: Shape,
    /// The axis of `count`; that of `len` follows it.
    axis: usize,
    count: usize,
    len: usize,
    /// The result's sizes.
    result: Shape,
}

/// The blocks of an operand that is reduced over neighbouring axes, if it is worth while.
fn blocks(ty: &TensorType, axes: &[usize], reading: Reading) -> Option<Blocks> {
    let sizes: Dims = ty.shape.iter().map(|d| d.as_const()).collect::<Option<_>>()?;
    let (first, last) = (*axes.first()?, *axes.last()?);
    let elements: usize = sizes.iter().product();
    let float = matches!(ty.dtype, DType::F32 | DType::F64);
    if !float || last - first + 1 != axes.len() || elements * ty.dtype.size() < LARGE {
        return None;
    }
    let count: usize = sizes[first..=last].iter().product();
    let (outer, inner) = (&ty.shape[..first], &ty.shape[last + 1..]);
    let (lengths, least) = match reading {
        Reading::Once if inner.is_empty() => return None,
        Reading::Once => (ROWS, 256),
        Reading::Twice if !inner.is_empty() => (ROWS_TWICE, 256),
        Reading::Moments | Reading::Twice => (ELEMENTS, 1 << 16),
    };
    if count < least {
        return None;
    }
    let len = lengths.rev().find(|len| count.is_multiple_of(*len))?;
    let count = count / len;
    let shape = outer.iter().cloned().chain([count.into(), len.into()]).chain(inner.iter().cloned());
    Some(Blocks { shape: shape.collect(), axis: first, count, len, result: ty.shape.without(axes) })
}

fn reduced(e: &mut Emit<'_, '_>, kind: ReduceKind, x: Value, of: &Blocks) -> Result<Value, TypeError> {
    let x = reshape(e, x, &of.shape)?;
    let of_blocks = reduce(e, kind, x, of.axis + 1)?;
    let all = reduce(e, kind, of_blocks, of.axis)?;
    reshape(e, all, &of.result)
}

fn variance(e: &mut Emit<'_, '_>, x: Value, of: &Blocks, correction: usize) -> Result<Value, TypeError> {
    let x = reshape(e, x, &of.shape)?;
    // Means of blocks, and the squares' sums around them.
    let means = mean(e, x, of.axis + 1, of.len)?;
    let within = squares(e, x, means, of.axis + 1)?;
    let within = reduce(e, ReduceKind::Sum, within, of.axis)?;
    // The same of the means.
    let middle = mean(e, means, of.axis, of.count)?;
    let between = squares(e, means, middle, of.axis)?;
    let between = scaled(e, between, Binary::Mul, of.len as f64)?;
    let total = e.emit(Binary::Add, &[within, between])?;
    let divisor = (of.count * of.len).saturating_sub(correction);
    let variance = scaled(e, total, Binary::Div, divisor as f64)?;
    reshape(e, variance, &of.result)
}

/// From Σd and Σd² in f64, d being distances from a sample.
fn variance_by_moments(
    e: &mut Emit<'_, '_>,
    x: Value,
    of: &Blocks,
    correction: usize,
) -> Result<Value, TypeError> {
    let dtype = e.ty(x).dtype;
    let x = reshape(e, x, &of.shape)?;
    let sample = sample(e, x, of)?;
    let x = e.emit(Cast { dtype: DType::F64 }, &[x])?;
    let like = e.ty(x).clone();
    let axes: Vec<usize> = (0..like.shape.rank()).filter(|a| *a != of.axis && *a != of.axis + 1).collect();
    let sample = e.broadcast(sample, &like, &axes)?;
    let distance = e.emit(Binary::Sub, &[x, sample])?;
    let square = e.emit(Binary::Mul, &[distance, distance])?;
    let [mut sum, mut squares] = [distance, square];
    for axis in [of.axis + 1, of.axis] {
        (sum, squares) = (reduce(e, ReduceKind::Sum, sum, axis)?, reduce(e, ReduceKind::Sum, squares, axis)?);
    }
    let count = of.count * of.len;
    let mean = scaled(e, sum, Binary::Div, count as f64)?;
    let excess = e.emit(Binary::Mul, &[sum, mean])?;
    let total = e.emit(Binary::Sub, &[squares, excess])?;
    let variance = scaled(e, total, Binary::Div, count.saturating_sub(correction) as f64)?;
    let variance = e.emit(Cast { dtype }, &[variance])?;
    reshape(e, variance, &of.result)
}

/// One of the elements that each result reduces, as f64: the greatest of the first few. A reduction lies in a buffer, so that
/// the distances from it are not worth one of their own.
fn sample(e: &mut Emit<'_, '_>, x: Value, of: &Blocks) -> Result<Value, TypeError> {
    const FEW: usize = 4;
    let size = |(axis, dim): (usize, &Dim)| match axis {
        axis if axis == of.axis => Dim::from(1),
        axis if axis == of.axis + 1 => Dim::from(FEW),
        _ => dim.clone(),
    };
    let stop: Shape = of.shape.iter().enumerate().map(size).collect();
    let start: Shape = (0..stop.rank()).map(|_| Dim::from(0)).collect();
    let step = (0..stop.rank()).map(|_| 1).collect();
    let block = stop.without(&[of.axis]);
    let slice = e.emit(Movement::Slice { start, stop, step }, &[x])?;
    let slice = reshape(e, slice, &block)?;
    let slice = e.emit(Cast { dtype: DType::F64 }, &[slice])?;
    reduce(e, ReduceKind::Max, slice, of.axis)
}

/// Σ (x − mean)² along an axis.
fn squares(e: &mut Emit<'_, '_>, x: Value, mean: Value, axis: usize) -> Result<Value, TypeError> {
    let like = e.ty(x).clone();
    let axes: Vec<usize> = (0..like.shape.rank()).filter(|a| *a != axis).collect();
    let mean = e.broadcast(mean, &like, &axes)?;
    let centred = e.emit(Binary::Sub, &[x, mean])?;
    let square = e.emit(Binary::Mul, &[centred, centred])?;
    reduce(e, ReduceKind::Sum, square, axis)
}

fn mean(e: &mut Emit<'_, '_>, x: Value, axis: usize, count: usize) -> Result<Value, TypeError> {
    let sum = reduce(e, ReduceKind::Sum, x, axis)?;
    scaled(e, sum, Binary::Div, count as f64)
}

fn reduce(e: &mut Emit<'_, '_>, kind: ReduceKind, x: Value, axis: usize) -> Result<Value, TypeError> {
    e.emit(Reduce { kind, axes: [axis].into_iter().collect() }, &[x])
}

fn scaled(e: &mut Emit<'_, '_>, x: Value, op: Binary, by: f64) -> Result<Value, TypeError> {
    let ty = e.ty(x).clone();
    let by = e.full(HostTensor::scalar(ty.dtype, by), &ty)?;
    e.emit(op, &[x, by])
}

fn reshape(e: &mut Emit<'_, '_>, x: Value, shape: &Shape) -> Result<Value, TypeError> {
    match e.ty(x).shape == *shape {
        true => Ok(x),
        false => e.emit(Movement::Reshape { shape: shape.clone() }, &[x]),
    }
}
