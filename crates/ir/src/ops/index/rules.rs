//! Derivative and batching rules of gather, scatter and segment reductions.

use super::super::movement::rules::with_batch_axis;
use super::{BatchCx, Gather, JvpCx, RuleError, Scatter, ScatterKind, Segment, SegmentKind, VjpCx};
use crate::ops::ReduceKind;
use crate::rows::transposed_gather;
use crate::{Axes, Builder, DType, Dim, HostTensor, Shape, TypeError, Value};

type Built = Result<Value, TypeError>;
type Derivatives = Result<Vec<Option<Value>>, RuleError>;

/// The largest index of each of these sizes, as a vector of `dtype`.
fn last_indices(b: &mut Builder, sizes: &[Dim], dtype: DType) -> Built {
    let known: Option<Vec<i64>> = sizes.iter().map(|d| d.as_const().map(|n| n as i64 - 1)).collect();
    if let Some(known) = known {
        return Ok(b.constant(HostTensor::from_i64(dtype, &[known.len()], &known)));
    }
    let mut parts = Vec::with_capacity(sizes.len());
    for size in sizes {
        let all = b.iota(dtype, [size.clone()], 0)?;
        let last = b.max(all, &[0])?;
        parts.push(b.reshape(last, [1usize])?);
    }
    b.concat(&parts, 0)
}

/// Index vectors with every coordinate moved into bounds.
pub(in crate::ops) fn clamp_indices(b: &mut Builder, indices: Value, sizes: &[Dim]) -> Built {
    let high = last_indices(b, sizes, b.ty(indices).dtype)?;
    let low = b.scalar_like(indices, 0.0);
    b.clamp(low, indices, high)
}

/// True for index vectors that are in bounds; the shape of `indices` without its last axis.
fn in_bounds(b: &mut Builder, indices: Value, sizes: &[Dim]) -> Built {
    let high = last_indices(b, sizes, b.ty(indices).dtype)?;
    let low = b.scalar_like(indices, 0.0);
    let (above, below) = (b.ge(indices, low)?, b.le(indices, high)?);
    let inside = b.and(above, below)?;
    let last = b.ty(indices).rank() - 1;
    b.reduce(ReduceKind::All, inside, &[last])
}

/// x where the mask over its leading axes is true, 0 elsewhere.
fn masked(b: &mut Builder, mask: Value, x: Value) -> Built {
    let shape = b.ty(x).shape.clone();
    let leading: Axes = (0..b.ty(mask).rank()).collect();
    let mask = b.broadcast(mask, &shape, &leading)?;
    let zero = b.scalar_like(x, 0.0);
    b.select(mask, x, zero)
}

fn indexed_sizes(b: &Builder, operand: Value, batch: usize, indexed: usize) -> Vec<Dim> {
    b.ty(operand).shape[batch..batch + indexed].to_vec()
}

pub(super) fn gather_vjp(op: &Gather, cx: &mut VjpCx<'_>) -> Derivatives {
    let (Some(g), true) = (cx.cotangents[0], cx.needs[0]) else { return Ok(vec![None, None]) };
    let (operand, indices) = (cx.inputs[0], cx.inputs[1]);
    let sizes = indexed_sizes(cx.b, operand, op.batch, op.indexed);
    // Where it is known what is read, a dense sum a row takes the place of a scatter.
    if let (0, [rows]) = (op.batch, sizes.as_slice())
        && let Some(rows) = rows.as_const()
        && let Some(dx) = transposed_gather(cx.b, indices, rows, g)?
    {
        return Ok(vec![Some(dx), None]);
    }
    let indices = clamp_indices(cx.b, indices, &sizes)?;
    let zeros = cx.b.full_like(operand, 0.0)?;
    let dx = cx.b.scatter(ScatterKind::Add, zeros, indices, g, op.batch, op.indexed)?;
    Ok(vec![Some(dx), None])
}

pub(super) fn gather_jvp(op: &Gather, cx: &mut JvpCx<'_>) -> Derivatives {
    let tangent = cx.tangents[0].map(|t| cx.b.gather(t, cx.inputs[1], op.batch, op.indexed));
    Ok(vec![tangent.transpose()?])
}

pub(super) fn gather_batch(op: &Gather, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
    let (operand, indices) = (cx.inputs[0], cx.inputs[1]);
    let out = match (op.batch, cx.batched[0], cx.batched[1]) {
        // The new axis is one more free axis of the indices.
        (0, false, true) => cx.b.gather(operand, indices, 0, op.indexed)?,
        // The new axis becomes the first of a slice.
        (0, true, false) => {
            let operand = cx.b.move_axis(operand, 0, op.indexed)?;
            let out = cx.b.gather(operand, indices, 0, op.indexed)?;
            cx.b.move_axis(out, cx.input_types[1].rank() - 1, 0)?
        }
        _ => {
            let operand = with_batch_axis(cx.b, operand, cx.batched[0], cx.size)?;
            let indices = with_batch_axis(cx.b, indices, cx.batched[1], cx.size)?;
            cx.b.gather(operand, indices, op.batch + 1, op.indexed)?
        }
    };
    Ok(vec![(out, true)])
}

pub(super) fn scatter_vjp(op: &Scatter, cx: &mut VjpCx<'_>) -> Derivatives {
    let Some(g) = cx.cotangents[0] else { return Ok(vec![None; 3]) };
    let (operand, indices, updates) = (cx.inputs[0], cx.inputs[1], cx.inputs[2]);
    let sizes = indexed_sizes(cx.b, operand, op.batch, op.indexed);
    let mut out = vec![None; 3];
    if cx.needs[0] {
        out[0] = Some(match op.kind {
            ScatterKind::Add => g,
            ScatterKind::Set => {
                let zeros = cx.b.full_like(updates, 0.0)?;
                cx.b.scatter(ScatterKind::Set, g, indices, zeros, op.batch, op.indexed)?
            }
        });
    }
    // Nothing can be written along an empty axis.
    if cx.needs[2] && !sizes.iter().any(|d| d.is(0)) {
        let read = cx.b.gather(g, indices, op.batch, op.indexed)?;
        let written = match op.kind {
            ScatterKind::Add => in_bounds(cx.b, indices, &sizes)?,
            ScatterKind::Set => winners(cx.b, operand, indices, op.batch, op.indexed)?,
        };
        out[2] = Some(masked(cx.b, written, read)?);
    }
    Ok(out)
}

/// True for the updates of a `scatter_set` that are in its result: in bounds and the last to their place. Numbers the
/// updates, scatters the numbers, and sees which come back; a dropped update's number is found nowhere.
fn winners(b: &mut Builder, operand: Value, indices: Value, batch: usize, indexed: usize) -> Built {
    let vectors: Shape = b.ty(indices).shape.split_last().into_iter().flat_map(|(_, rest)| rest).collect();
    let places: Shape = b.ty(operand).shape[..batch + indexed].iter().collect();
    let numbers = b.iota(DType::I64, [vectors.elements()], 0)?;
    let numbers = b.reshape(numbers, vectors)?;
    let none = b.full(&crate::TensorType::new(DType::I64, places), -1.0)?;
    let last = b.scatter(ScatterKind::Set, none, indices, numbers, batch, indexed)?;
    let last = b.gather(last, indices, batch, indexed)?;
    b.eq(last, numbers)
}

pub(super) fn scatter_jvp(op: &Scatter, cx: &mut JvpCx<'_>) -> Derivatives {
    if cx.tangents[0].is_none() && cx.tangents[2].is_none() {
        return Ok(vec![None]);
    }
    let operand = cx.tangents[0].map_or_else(|| cx.b.full_like(cx.inputs[0], 0.0), Ok)?;
    let updates = cx.tangents[2].map_or_else(|| cx.b.full_like(cx.inputs[2], 0.0), Ok)?;
    Ok(vec![Some(cx.b.push(*op, &[operand, cx.inputs[1], updates])?)])
}

pub(super) fn scatter_batch(op: &Scatter, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
    let mut inputs = Vec::with_capacity(3);
    for (x, batched) in cx.inputs.iter().zip(cx.batched) {
        inputs.push(with_batch_axis(cx.b, *x, *batched, cx.size)?);
    }
    Ok(vec![(cx.b.push(Scatter { batch: op.batch + 1, ..*op }, &inputs)?, true)])
}

/// A segment op's ids as index vectors, and the rows of `x` (one a segment) that they name; 0 for rows without a segment.
struct Rows {
    indices: Value,
    inside: Value,
    batch: usize,
}

impl Rows {
    fn new(b: &mut Builder, op: &Segment, ids: Value) -> Result<Rows, TypeError> {
        let indices = b.expand_axis(ids, op.batch + 1)?;
        let inside = in_bounds(b, indices, std::slice::from_ref(&op.segments))?;
        Ok(Rows { indices, inside, batch: op.batch })
    }

    fn read(&self, b: &mut Builder, x: Value) -> Built {
        let rows = b.gather(x, self.indices, self.batch, 1)?;
        masked(b, self.inside, rows)
    }
}

/// For each of `count` rows the product of the rows of its segment before it (`direction` 1) or after it (−1), by doubling
/// windows. Nothing is divided, so zeros are no trouble and higher derivatives are exact.
fn product_of_earlier(
    b: &mut Builder,
    data: Value,
    ids: Value,
    axis: usize,
    count: usize,
    direction: i64,
) -> Built {
    let one = b.scalar_like(data, 1.0);
    let no_id = b.scalar_like(ids, 0.0);
    let shape = b.ty(data).shape.clone();
    let leading: Axes = (0..=axis).collect();
    // x some rows later, `fill` where there is no row; and only the rows of the same segment.
    let shifted = |b: &mut Builder, x: Value, fill: Value, by: i64| {
        let rank = b.ty(x).rank();
        let (mut low, mut high) = (vec![0; rank], vec![0; rank]);
        (low[axis], high[axis]) = (by, -by);
        b.pad(x, fill, &low, &high, &vec![0; rank])
    };
    let earlier = |b: &mut Builder, x: Value, by: i64| {
        let (x, their_ids) = (shifted(b, x, one, by)?, shifted(b, ids, no_id, by)?);
        let same = b.eq(ids, their_ids)?;
        let same = b.broadcast(same, &shape, &leading)?;
        b.select(same, x, one)
    };
    if count == 0 {
        return b.full_like(data, 1.0);
    }
    let mut product = earlier(b, data, direction)?;
    let mut window = 1;
    while window < count {
        let rest = earlier(b, product, direction * window as i64)?;
        product = b.mul(product, rest)?;
        window *= 2;
    }
    Ok(product)
}

/// The derivative of a segment's result by each of its rows, elementwise; `None` for a sum, whose derivative is 1.
///
/// Equal largest (smallest) elements share the derivative; for a product it is the product of the segment's other rows.
fn weights(
    b: &mut Builder,
    op: &Segment,
    data: Value,
    ids: Value,
    out: Value,
    rows: &Rows,
    mode: &'static str,
) -> Result<Option<Value>, RuleError> {
    let segment = |b: &mut Builder, kind, x| b.segment(kind, x, ids, op.batch, op.segments.clone());
    let one = b.scalar_like(data, 1.0);
    let dtype = b.ty(data).dtype;
    Ok(match op.kind {
        SegmentKind::Sum => None,
        SegmentKind::Max | SegmentKind::Min => {
            let extreme = b.gather(out, rows.indices, rows.batch, 1)?;
            let tied = b.eq(data, extreme)?;
            let tied = b.cast(tied, dtype)?;
            let tied = masked(b, rows.inside, tied)?;
            let count = segment(b, SegmentKind::Sum, tied)?;
            let count = b.maximum(count, one)?;
            let count = b.gather(count, rows.indices, rows.batch, 1)?;
            Some(b.div(tied, count)?)
        }
        SegmentKind::Prod => {
            let Some(count) = b.ty(data).shape[op.batch].as_const() else {
                return Err(RuleError::NotDifferentiable {
                    op: op.kind.name(),
                    mode,
                    reason: "the number of rows is not a number; specialise the graph first",
                    site: b.site().clone(),
                });
            };
            let before = product_of_earlier(b, data, ids, op.batch, count, 1)?;
            let after = product_of_earlier(b, data, ids, op.batch, count, -1)?;
            Some(b.mul(before, after)?)
        }
    })
}

pub(super) fn segment_vjp(op: &Segment, cx: &mut VjpCx<'_>) -> Derivatives {
    let (Some(g), true) = (cx.cotangents[0], cx.needs[0]) else { return Ok(vec![None, None]) };
    if op.segments.is(0) {
        return Ok(vec![None, None]);
    }
    let rows = Rows::new(cx.b, op, cx.inputs[1])?;
    let g = rows.read(cx.b, g)?;
    let dx = match weights(cx.b, op, cx.inputs[0], cx.inputs[1], cx.outputs[0], &rows, "reverse")? {
        Some(weights) => cx.b.mul(g, weights)?,
        None => g,
    };
    Ok(vec![Some(dx), None])
}

pub(super) fn segment_jvp(op: &Segment, cx: &mut JvpCx<'_>) -> Derivatives {
    let Some(t) = cx.tangents[0] else { return Ok(vec![None]) };
    if op.segments.is(0) {
        return Ok(vec![None]);
    }
    let ids = cx.inputs[1];
    let rows = Rows::new(cx.b, op, ids)?;
    let t = match weights(cx.b, op, cx.inputs[0], ids, cx.outputs[0], &rows, "forward")? {
        Some(weights) => cx.b.mul(t, weights)?,
        None => t,
    };
    Ok(vec![Some(cx.b.segment(SegmentKind::Sum, t, ids, op.batch, op.segments.clone())?)])
}

pub(super) fn segment_batch(op: &Segment, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
    let (data, ids) = (cx.inputs[0], cx.inputs[1]);
    let out = if cx.batched[1] {
        let data = with_batch_axis(cx.b, data, cx.batched[0], cx.size)?;
        cx.b.segment(op.kind, data, ids, op.batch + 1, op.segments.clone())?
    } else {
        // The ids serve every row: the new axis goes behind the rows.
        let data = cx.b.move_axis(data, 0, op.batch + 1)?;
        let out = cx.b.segment(op.kind, data, ids, op.batch, op.segments.clone())?;
        cx.b.move_axis(out, op.batch + 1, 0)?
    };
    Ok(vec![(out, true)])
}
