//! Derivative and batching rules of movement ops. All of them are linear in their operands.

use super::{BatchCx, JvpCx, Movement, RuleError, VjpCx};
use crate::{Axes, Builder, DType, Dim, Shape, TensorType, TypeError, Value};

/// Gives an operand the new leading axis if it has none yet.
pub(in crate::ops) fn with_batch_axis(
    b: &mut Builder,
    x: Value,
    batched: bool,
    size: &Dim,
) -> Result<Value, TypeError> {
    if batched {
        return Ok(x);
    }
    let shape = b.ty(x).shape.prepend(size);
    let axes: Axes = (1..shape.rank()).collect();
    b.broadcast(x, &shape, &axes)
}

/// The axes once another axis stands in front of them.
pub(in crate::ops) fn shifted(axes: &[usize]) -> Axes {
    axes.iter().map(|a| a + 1).collect()
}

fn prepended<T: Clone>(first: T, rest: &[T]) -> Vec<T> {
    std::iter::once(first).chain(rest.iter().cloned()).collect()
}

pub(super) fn vjp(op: &Movement, cx: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
    let Some(g) = cx.cotangents[0] else { return Ok(vec![None; cx.inputs.len()]) };
    let ty = cx.b.ty(cx.inputs[0]).clone();
    let dx = match op {
        Movement::Reshape { .. } => cx.b.reshape(g, ty.shape)?,
        Movement::Transpose { perm } => {
            let mut inverse = perm.clone();
            for (i, axis) in perm.iter().enumerate() {
                inverse[*axis] = i;
            }
            cx.b.transpose(g, &inverse)?
        }
        Movement::Broadcast { shape, axes } => {
            let new: Axes = (0..shape.rank()).filter(|i| !axes.contains(i)).collect();
            cx.b.sum(g, &new)?
        }
        Movement::Slice { start, stop, step } => slice_vjp(cx.b, g, &ty, start, stop, step)?,
        Movement::Pad { low, high, interior } => return pad_vjp(cx, g, low, high, interior),
        Movement::Concat { axis } => {
            let mut start = Dim::Const(0);
            let mut out = Vec::with_capacity(cx.inputs.len());
            for (x, needed) in cx.inputs.iter().zip(cx.needs) {
                let stop = &start + &cx.b.ty(*x).shape[*axis];
                out.push(needed.then(|| cx.b.slice_axis(g, *axis, &start, &stop)).transpose()?);
                start = stop;
            }
            return Ok(out);
        }
        Movement::Reverse { axes } => cx.b.reverse(g, axes)?,
    };
    Ok(vec![Some(dx)])
}

/// Puts the cotangent of a slice back where it was read, among zeros.
fn slice_vjp(
    b: &mut Builder,
    mut g: Value,
    ty: &TensorType,
    start: &Shape,
    stop: &Shape,
    step: &[usize],
) -> Result<Value, RuleError> {
    for axis in 0..ty.rank() {
        let (size, read) = (&ty.shape[axis], b.ty(g).shape[axis].clone());
        if *size == read {
            continue;
        }
        let after = if step[axis] == 1 {
            size - &stop[axis]
        } else {
            let span = &(&(&read - &Dim::Const(1)) * &Dim::from(step[axis])) + &Dim::Const(1);
            &(size - &start[axis]) - &span
        };
        g = match (&start[axis], &after) {
            _ if read.is(0) => b.full(&with_size(b.ty(g), axis, size), 0.0)?,
            (Dim::Const(low), Dim::Const(high)) => {
                let zero = b.scalar_like(g, 0.0);
                let mut pad = (vec![0; ty.rank()], vec![0; ty.rank()], vec![0; ty.rank()]);
                (pad.0[axis], pad.1[axis], pad.2[axis]) = (*low, *high, step[axis] - 1);
                b.pad(g, zero, &pad.0, &pad.1, &pad.2)?
            }
            // A pad takes numbers; blocks of zeros may have symbolic sizes.
            (before, after) => {
                if step[axis] > 1 {
                    let zero = b.scalar_like(g, 0.0);
                    let none = vec![0; ty.rank()];
                    let mut interior = vec![0; ty.rank()];
                    interior[axis] = step[axis] - 1;
                    g = b.pad(g, zero, &none, &none, &interior)?;
                }
                let before = b.full(&with_size(b.ty(g), axis, before), 0.0)?;
                let after = b.full(&with_size(b.ty(g), axis, after), 0.0)?;
                b.concat(&[before, g, after], axis)?
            }
        };
    }
    Ok(g)
}

fn with_size(ty: &TensorType, axis: usize, size: &Dim) -> TensorType {
    ty.with_shape(
        ty.shape.iter().enumerate().map(|(i, d)| if i == axis { size } else { d }).collect::<Shape>(),
    )
}

fn pad_vjp(
    cx: &mut VjpCx<'_>,
    g: Value,
    low: &[i64],
    high: &[i64],
    interior: &[usize],
) -> Result<Vec<Option<Value>>, RuleError> {
    let ty = cx.b.ty(cx.inputs[0]).clone();
    let zero = cx.b.scalar_like(g, 0.0);
    let mut out = vec![None, None];
    if cx.needs[0] {
        // Elements that a negative pad removed have a zero cotangent: put them back, then read what was kept.
        let removed = |edge: &[i64]| -> Vec<i64> { edge.iter().map(|n| (-n).max(0)).collect() };
        let mut whole = g;
        if low.iter().chain(high).any(|n| *n < 0) {
            whole = cx.b.pad(g, zero, &removed(low), &removed(high), &vec![0; ty.rank()])?;
        }
        let start: Shape = low.iter().map(|n| Dim::Const((*n).max(0))).collect();
        let stop: Shape =
            cx.b.ty(whole).shape.iter().zip(high).map(|(size, n)| size - &Dim::Const((*n).max(0))).collect();
        let step: Axes = interior.iter().map(|n| n + 1).collect();
        out[0] = Some(cx.b.push(Movement::Slice { start, stop, step }, &[whole])?);
    }
    if cx.needs[1] {
        let padding = padding_mask(cx.b, &ty, low, high, interior)?;
        let kept = cx.b.select(padding, g, zero)?;
        out[1] = Some(cx.b.sum_all(kept)?);
    }
    Ok(out)
}

/// True where the result of a pad holds the padding value.
fn padding_mask(
    b: &mut Builder,
    ty: &TensorType,
    low: &[i64],
    high: &[i64],
    interior: &[usize],
) -> Result<Value, TypeError> {
    let inside = b.full(&ty.with_dtype(DType::Bool), 0.0)?;
    let outside = b.scalar(DType::Bool, 1.0);
    b.pad(inside, outside, low, high, interior)
}

pub(super) fn jvp(op: &Movement, cx: &mut JvpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
    if cx.tangents.iter().all(Option::is_none) {
        return Ok(vec![None]);
    }
    let mut tangents = Vec::with_capacity(cx.inputs.len());
    for (x, t) in cx.inputs.iter().zip(cx.tangents) {
        tangents.push(t.map_or_else(|| cx.b.full_like(*x, 0.0), Ok)?);
    }
    Ok(vec![Some(cx.b.push(op.clone(), &tangents)?)])
}

pub(super) fn batch(op: &Movement, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
    let zero = Dim::Const(0);
    let op = match op {
        Movement::Reshape { shape } => Movement::Reshape { shape: shape.prepend(cx.size) },
        Movement::Transpose { perm } => Movement::Transpose { perm: prepended(0, &shifted(perm)).into() },
        Movement::Broadcast { shape, axes } => {
            Movement::Broadcast { shape: shape.prepend(cx.size), axes: prepended(0, &shifted(axes)).into() }
        }
        Movement::Slice { start, stop, step } => Movement::Slice {
            start: start.prepend(&zero),
            stop: stop.prepend(cx.size),
            step: prepended(1, step).into(),
        },
        Movement::Pad { low, high, interior } => return pad_batch(cx, low, high, interior),
        Movement::Concat { axis } => Movement::Concat { axis: axis + 1 },
        Movement::Reverse { axes } => Movement::Reverse { axes: shifted(axes) },
    };
    let mut inputs = Vec::with_capacity(cx.inputs.len());
    for (x, batched) in cx.inputs.iter().zip(cx.batched) {
        inputs.push(with_batch_axis(cx.b, *x, *batched, cx.size)?);
    }
    Ok(vec![(cx.b.push(op, &inputs)?, true)])
}

fn pad_batch(
    cx: &mut BatchCx<'_>,
    low: &[i64],
    high: &[i64],
    interior: &[usize],
) -> Result<Vec<(Value, bool)>, RuleError> {
    let (x, value) = (cx.inputs[0], cx.inputs[1]);
    let x = with_batch_axis(cx.b, x, cx.batched[0], cx.size)?;
    let (lows, highs, gaps) = (prepended(0, low), prepended(0, high), prepended(0, interior));
    if !cx.batched[1] {
        return Ok(vec![(cx.b.pad(x, value, &lows, &highs, &gaps)?, true)]);
    }
    let zero = cx.b.scalar_like(x, 0.0);
    let padded = cx.b.pad(x, zero, &lows, &highs, &gaps)?;
    let padding = padding_mask(cx.b, &cx.input_types[0], low, high, interior)?;
    let shape = cx.b.ty(padded).shape.clone();
    let value = cx.b.broadcast(value, &shape, &[0])?;
    Ok(vec![(cx.b.select(padding, value, padded)?, true)])
}
