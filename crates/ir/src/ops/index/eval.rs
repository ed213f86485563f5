//! Reference evaluation of gather, scatter and segment reductions.

use super::{EvalCx, EvalError, Gather, Scatter, ScatterKind, Segment, SegmentKind};
use crate::{DType, HostTensor};

/// Where index vectors point.
struct Places {
    /// The vectors' entries, one after another.
    entries: Vec<i64>,
    /// Sizes of the indexed axes.
    sizes: Vec<usize>,
    /// How many vectors there are, and how many for each batch index.
    count: usize,
    per_batch: usize,
    /// Elements of a slice.
    slice: usize,
}

impl Places {
    fn new(operand: &HostTensor, indices: &HostTensor, batch: usize, indexed: usize) -> Places {
        let vectors = &indices.dims()[..indices.dims().len() - 1];
        Places {
            entries: indices.to_i64(),
            sizes: operand.dims()[batch..batch + indexed].to_vec(),
            count: vectors.iter().product(),
            per_batch: vectors[batch..].iter().product(),
            slice: operand.dims()[batch + indexed..].iter().product(),
        }
    }

    fn vector(&self, n: usize) -> &[i64] {
        &self.entries[n * self.sizes.len()..][..self.sizes.len()]
    }

    fn in_bounds(&self, n: usize) -> bool {
        self.vector(n).iter().zip(&self.sizes).all(|(i, size)| usize::try_from(*i).is_ok_and(|i| i < *size))
    }

    /// The operand's first element of the slice that vector n points at, each coordinate clamped. No axis may be empty.
    fn start(&self, n: usize) -> usize {
        let batch = n / self.per_batch;
        let place =
            self.vector(n).iter().zip(&self.sizes).fold(batch, |place, (i, size)| {
                place * size + usize::try_from(*i).unwrap_or(0).min(size - 1)
            });
        place * self.slice
    }
}

pub(super) fn gather(op: &Gather, cx: &EvalCx<'_>) -> Result<HostTensor, EvalError> {
    let operand = cx.inputs[0];
    let mut out = HostTensor::zeros(operand.dtype(), &cx.out_dims(0))?;
    if out.is_empty() {
        return Ok(out);
    }
    let places = Places::new(operand, cx.inputs[1], op.batch, op.indexed);
    let size = operand.dtype().size();
    for (n, slice) in out.bytes_mut().chunks_exact_mut(places.slice * size).enumerate() {
        slice.copy_from_slice(&operand.as_bytes()[places.start(n) * size..][..places.slice * size]);
    }
    Ok(out)
}

pub(super) fn scatter(op: &Scatter, cx: &EvalCx<'_>) -> Result<HostTensor, EvalError> {
    let (operand, updates) = (cx.inputs[0], cx.inputs[2]);
    let places = Places::new(operand, cx.inputs[1], op.batch, op.indexed);
    let mut out = operand.clone();
    if out.is_empty() || updates.is_empty() {
        return Ok(out);
    }
    // (position in the result, position in the updates), in row-major order of the updates.
    let moves = (0..places.count).filter(|n| places.in_bounds(*n)).flat_map(|n| {
        let (to, from) = (places.start(n), n * places.slice);
        (0..places.slice).map(move |i| (to + i, from + i))
    });
    let dtype = operand.dtype();
    match op.kind {
        ScatterKind::Set => {
            let size = dtype.size();
            let bytes = out.bytes_mut();
            for (to, from) in moves {
                bytes[to * size..][..size].copy_from_slice(&updates.as_bytes()[from * size..][..size]);
            }
            Ok(out)
        }
        ScatterKind::Add if dtype.is_float() => {
            let (mut sums, added) = (operand.to_f64(), updates.to_f64());
            moves.for_each(|(to, from)| sums[to] += added[from]);
            Ok(HostTensor::from_f64(dtype, operand.dims(), &sums))
        }
        ScatterKind::Add => {
            let (mut sums, added) = (operand.to_i64(), updates.to_i64());
            moves.for_each(|(to, from)| sums[to] = sums[to].wrapping_add(added[from]));
            Ok(HostTensor::from_i64(dtype, operand.dims(), &sums))
        }
    }
}

pub(super) fn segment(op: &Segment, cx: &EvalCx<'_>) -> Result<HostTensor, EvalError> {
    let (data, ids) = (cx.inputs[0], cx.inputs[1].to_i64());
    let (dtype, dims) = (data.dtype(), cx.out_dims(0));
    let out = HostTensor::zeros(dtype, &dims)?;
    let (rows, segments) = (data.dims()[op.batch], dims[op.batch]);
    let slice: usize = data.dims()[op.batch + 1..].iter().product();
    let moves = ids.iter().enumerate().filter_map(|(n, id)| {
        let id = usize::try_from(*id).ok().filter(|id| *id < segments)?;
        Some(((n / rows * segments + id) * slice, n * slice))
    });
    let moves = moves.flat_map(|(to, from)| (0..slice).map(move |i| (to + i, from + i)));
    if dtype.is_float() {
        let values = data.to_f64();
        let (empty, combine): (f64, fn(f64, f64) -> f64) = match op.kind {
            SegmentKind::Sum => (0.0, |a, b| a + b),
            SegmentKind::Prod => (1.0, |a, b| a * b),
            SegmentKind::Max => (f64::NEG_INFINITY, |a, b| if b > a || b.is_nan() { b } else { a }),
            SegmentKind::Min => (f64::INFINITY, |a, b| if b < a || b.is_nan() { b } else { a }),
        };
        let mut result = vec![empty; out.len()];
        moves.for_each(|(to, from)| result[to] = combine(result[to], values[from]));
        return Ok(HostTensor::from_f64(dtype, &dims, &result));
    }
    let values = data.to_i64();
    let (lowest, highest) = range(dtype);
    let (empty, combine): (i64, fn(i64, i64) -> i64) = match op.kind {
        SegmentKind::Sum => (0, i64::wrapping_add),
        SegmentKind::Prod => (1, i64::wrapping_mul),
        SegmentKind::Max => (lowest, i64::max),
        SegmentKind::Min => (highest, i64::min),
    };
    let mut result = vec![empty; out.len()];
    moves.for_each(|(to, from)| result[to] = combine(result[to], values[from]));
    Ok(HostTensor::from_i64(dtype, &dims, &result))
}

/// The smallest and the largest value of an integer dtype.
fn range(dtype: DType) -> (i64, i64) {
    match dtype {
        DType::U8 => (0, i64::from(u8::MAX)),
        DType::U32 => (0, i64::from(u32::MAX)),
        DType::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    }
}
