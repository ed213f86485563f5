//! Reductions of tensors that fit in no cache, block by block: a sum or an extreme over an axis of rows becomes one over blocks
//! of rows and one of the blocks' results. Memory is read once and in order, every thread finds work, and a partial result
//! takes in few terms. Rows that lie in memory are taken four at a time, so that partial results, which lie in a cache, are
//! updated a fourth as often.
//!
//! A variance of f32 becomes, of each block, Σd and Σd², where d are distances from a mean: of a block of elements, from its own;
//! of a block of rows, from that of every sixteenth. All blocks together are made in f64. No mean of k rows is farther from the
//! mean of n than √(n/k) standard deviations, so that Σd² − (Σd)²/n enlarges the sums' errors 17 times at most, and as a rule
//! not at all. A variance of f64 becomes the variances of blocks, which are read twice while they are in the cache, and the
//! variance of their means. Reference: Chan, Golub and LeVeque, *Algorithms for computing the sample variance*, 1983.
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
use smallvec::{SmallVec, smallvec};
use std::ops::{Range, RangeInclusive};
use wootz_ir::ops::{Binary, Cast, Composite, Movement, Op, Reduce, ReduceKind};
use wootz_ir::{DType, Dim, Dims, HostTensor, Shape, TypeError, Value};

/// Operands of fewer bytes stay in a cache between their first reading and their last.
const LARGE: usize = 4 << 20;
/// Operands of fewer bytes stay in the last cache: rows of them may be read twice.
const LARGEST: usize = 32 << 20;
/// Rows of a block.
const ROWS: RangeInclusive<usize> = 32..=512;
/// The same where a block is read twice.
const ROWS_TWICE: RangeInclusive<usize> = 16..=64;
/// Rows that are combined before they are taken into a partial result.
const TOGETHER: usize = 4;
/// Elements of a block without rows.
const ELEMENTS: RangeInclusive<usize> = 1024..=4096;
/// Of how many rows of a block one goes into the mean that distances are measured from.
const SAMPLED: usize = 16;

/// How often a block is read.
enum Reading {
    Once,
    /// Once, for sums of distances and of their squares.
    Moments,
    Twice,
}

/// The rule, for targets whose caches are known.
pub(crate) fn rule(e: &mut Emit<'_, '_>, op: &Op, inputs: &[Value]) -> Result<Option<Values>, TypeError> {
    let value = match op {
        Op::Reduce(Reduce { kind, axes }) => {
            let Some(blocks) = blocks(e, inputs[0], axes, Reading::Once) else { return Ok(None) };
            reduced(e, *kind, inputs[0], &blocks)?
        }
        Op::Composite(Composite::Variance { axes, correction }) => {
            let moments = e.ty(inputs[0]).dtype == DType::F32;
            let reading = if moments { Reading::Moments } else { Reading::Twice };
            let Some(blocks) = blocks(e, inputs[0], axes, reading) else { return Ok(None) };
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
    /// Whether four rows of a block are taken at a time.
    together: bool,
    /// The result's sizes.
    result: Shape,
}

/// The blocks of an operand that is reduced over neighbouring axes, if it is worth while.
fn blocks(e: &Emit<'_, '_>, x: Value, axes: &[usize], reading: Reading) -> Option<Blocks> {
    let ty = e.ty(x);
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
        Reading::Once | Reading::Moments if !inner.is_empty() => (ROWS, 256),
        Reading::Twice if !inner.is_empty() => (ROWS_TWICE, 256),
        // Of rows that are read twice while they are in a cache, nothing is won by reading them once.
        Reading::Moments if elements * ty.dtype.size() >= LARGEST => (ELEMENTS, *ELEMENTS.start()),
        Reading::Once | Reading::Moments | Reading::Twice => (ELEMENTS, 1 << 16),
    };
    if count < least {
        return None;
    }
    // A block's own reduction must not be taken for one that is worth while: it would be cut for ever.
    let whole = |step: usize, longest: usize| {
        let mut lengths = lengths.clone().rev().filter(|len| *len <= longest);
        lengths.find(|len| count.is_multiple_of(*len) && len.is_multiple_of(step))
    };
    let has_rows = !inner.is_empty();
    let four = (has_rows && is_stored(e, x)).then(|| whole(TOGETHER, TOGETHER * (least - 1))).flatten();
    let len = four.or_else(|| whole(1, if has_rows { least - 1 } else { usize::MAX }))?;
    let count = count / len;
    let shape = outer.iter().cloned().chain([count.into(), len.into()]).chain(inner.iter().cloned());
    let (shape, result) = (shape.collect(), ty.shape.without(axes));
    Some(Blocks { shape, axis: first, count, len, together: four.is_some(), result })
}

fn reduced(e: &mut Emit<'_, '_>, kind: ReduceKind, x: Value, of: &Blocks) -> Result<Value, TypeError> {
    let rows = rows(e, x, of)?;
    let rows = together(e, kind, rows)?;
    let of_blocks = reduce(e, kind, rows, of.axis + 1)?;
    let all = reduce(e, kind, of_blocks, of.axis)?;
    reshape(e, all, &of.result)
}

/// The operand as `[outer.., count, len, inner..]`; of rows that lie in memory every fourth, from the first four on.
fn rows(e: &mut Emit<'_, '_>, x: Value, of: &Blocks) -> Result<SmallVec<[Value; TOGETHER]>, TypeError> {
    if !of.together {
        return Ok(smallvec![reshape(e, x, &of.shape)?]);
    }
    let with = |dims: &[usize]| -> Shape {
        let dims = dims.iter().map(|n| Dim::from(*n));
        of.shape[..=of.axis]
            .iter()
            .cloned()
            .chain(dims)
            .chain(of.shape[of.axis + 2..].iter().cloned())
            .collect()
    };
    let (groups, single) = (with(&[of.len / TOGETHER, TOGETHER]), with(&[of.len / TOGETHER]));
    let x = reshape(e, x, &groups)?;
    (0..TOGETHER)
        .map(|row| {
            let every = slice(e, x, of.axis + 2, row..row + 1, 1)?;
            reshape(e, every, &single)
        })
        .collect()
}

/// Whether a value lies in memory, and is not computed where it is read.
fn is_stored(e: &Emit<'_, '_>, x: Value) -> bool {
    !matches!(
        e.def(x),
        Some((
            Op::Unary(_)
                | Op::Binary(_)
                | Op::Compare(_)
                | Op::Ternary(_)
                | Op::Cast(_)
                | Op::Movement(_)
                | Op::Gather(_)
                | Op::Source(_)
                | Op::Random(_)
                | Op::Composite(_),
            _
        ))
    )
}

/// Combines pairwise.
fn together(
    e: &mut Emit<'_, '_>,
    kind: ReduceKind,
    mut parts: SmallVec<[Value; TOGETHER]>,
) -> Result<Value, TypeError> {
    let op: Op = match kind {
        ReduceKind::Sum => Binary::Add.into(),
        ReduceKind::Prod => Binary::Mul.into(),
        ReduceKind::Max => Binary::Max.into(),
        ReduceKind::Min => Binary::Min.into(),
        ReduceKind::Any => Binary::Or.into(),
        ReduceKind::All => Binary::And.into(),
    };
    while parts.len() > 1 {
        let half = parts.len() / 2;
        for i in 0..half {
            parts[i] = e.emit(op.clone(), &[parts[2 * i], parts[2 * i + 1]])?;
        }
        parts.truncate(half);
    }
    Ok(parts[0])
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

/// From Σd and Σd² of each block in f32, d being distances from the mean of its elements, or of every sixteenth of its rows.
fn variance_by_moments(
    e: &mut Emit<'_, '_>,
    x: Value,
    of: &Blocks,
    correction: usize,
) -> Result<Value, TypeError> {
    let dtype = e.ty(x).dtype;
    let rows = rows(e, x, of)?;
    let x = reshape(e, x, &of.shape)?;
    // A block of elements lies in the first cache, where all of it is as good as read; rows from all over a block cost no more
    // than its first.
    let step = if of.axis + 2 < of.shape.rank() { SAMPLED } else { 1 };
    let sample = if step == 1 { x } else { slice(e, x, of.axis + 1, 0..of.len, step)? };
    let sample = scaled(e, sample, Binary::Mul, 1.0 / of.len.div_ceil(step) as f64)?;
    let sample = reduce(e, ReduceKind::Sum, sample, of.axis + 1)?;
    let (mut distances, mut squares) = (SmallVec::new(), SmallVec::new());
    for rows in rows {
        let from = repeated(e, sample, rows, of.axis + 1)?;
        let distance = e.emit(Binary::Sub, &[rows, from])?;
        distances.push(distance);
        squares.push(e.emit(Binary::Mul, &[distance, distance])?);
    }
    let mut of_block = |parts| {
        let all = together(e, ReduceKind::Sum, parts)?;
        let sum = reduce(e, ReduceKind::Sum, all, of.axis + 1)?;
        e.emit(Cast { dtype: DType::F64 }, &[sum])
    };
    let [sums, squares] = [of_block(distances)?, of_block(squares)?];
    let sample = e.emit(Cast { dtype: DType::F64 }, &[sample])?;
    // Blocks measure from the first block's sample: Σ(d + c) = Σd + nc, Σ(d + c)² = Σd² + c(2Σd + nc).
    let first = slice(e, sample, of.axis, 0..1, 1)?;
    let first = reshape(e, first, &of.shape.without(&[of.axis, of.axis + 1]))?;
    let first = repeated(e, first, sample, of.axis)?;
    let shift = e.emit(Binary::Sub, &[sample, first])?;
    let shifts = scaled(e, shift, Binary::Mul, of.len as f64)?;
    let shifted = e.emit(Binary::Add, &[sums, shifts])?;
    let twice = e.emit(Binary::Add, &[sums, shifted])?;
    let twice = e.emit(Binary::Mul, &[shift, twice])?;
    let squares = e.emit(Binary::Add, &[squares, twice])?;
    let [sum, squares] =
        [reduce(e, ReduceKind::Sum, shifted, of.axis)?, reduce(e, ReduceKind::Sum, squares, of.axis)?];
    let count = of.count * of.len;
    let mean = scaled(e, sum, Binary::Div, count as f64)?;
    let excess = e.emit(Binary::Mul, &[sum, mean])?;
    let total = e.emit(Binary::Sub, &[squares, excess])?;
    let total = scaled(e, total, Binary::Max, 0.0)?;
    let variance = scaled(e, total, Binary::Div, count.saturating_sub(correction) as f64)?;
    let variance = e.emit(Cast { dtype }, &[variance])?;
    reshape(e, variance, &of.result)
}

/// Positions of an axis.
fn slice(
    e: &mut Emit<'_, '_>,
    x: Value,
    axis: usize,
    positions: Range<usize>,
    step: usize,
) -> Result<Value, TypeError> {
    let shape = e.ty(x).shape.clone();
    let at = |position: usize, other: &dyn Fn(&Dim) -> Dim| -> Shape {
        let size = |(i, dim): (usize, &Dim)| if i == axis { Dim::from(position) } else { other(dim) };
        shape.iter().enumerate().map(size).collect()
    };
    let (start, stop) = (at(positions.start, &|_| Dim::from(0)), at(positions.end, &Dim::clone));
    let step = (0..shape.rank()).map(|i| if i == axis { step } else { 1 }).collect();
    e.emit(Movement::Slice { start, stop, step }, &[x])
}

/// A value with the axes of another but one, repeated along that one.
fn repeated(e: &mut Emit<'_, '_>, x: Value, like: Value, axis: usize) -> Result<Value, TypeError> {
    let mut like = e.ty(like).clone();
    like.dtype = e.ty(x).dtype;
    let axes: Vec<usize> = (0..like.shape.rank()).filter(|a| *a != axis).collect();
    e.broadcast(x, &like, &axes)
}

/// Σ (x − mean)² along an axis.
fn squares(e: &mut Emit<'_, '_>, x: Value, mean: Value, axis: usize) -> Result<Value, TypeError> {
    let mean = repeated(e, mean, x, axis)?;
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
