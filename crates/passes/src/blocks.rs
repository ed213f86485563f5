//! Reductions of tensors that fit in no cache, block by block: a sum or an extreme over an axis of rows becomes one over blocks
//! of rows and one of the blocks' results; a variance becomes the variances of blocks, which are read twice while they are in
//! the cache, and the variance of their means. Memory is read once and in order, every thread finds work, and a partial result
//! takes in few terms. Reference for the variance: Chan, Golub and LeVeque, *Updating formulae and a pairwise algorithm for
//! computing sample variances*, 1979.
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
use wootz_ir::ops::{Binary, Composite, Movement, Op, Reduce, ReduceKind};
use wootz_ir::{DType, Dims, HostTensor, Shape, TensorType, TypeError, Value};

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
            let Some(blocks) = blocks(e.ty(inputs[0]), axes, Reading::Twice) else { return Ok(None) };
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
        Reading::Twice if inner.is_empty() => (ELEMENTS, 1 << 16),
        Reading::Twice => (ROWS_TWICE, 256),
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
