//! Normalisation over trailing axes: type rules, bodies and derivatives.

use super::body::{restore_axes, wide};
use super::{Composite, VjpCx};
use crate::ops::{InferCx, Types};
use crate::{Axes, Builder, DType, F64, TypeError, Value};
use smallvec::smallvec;

type Built = Result<Value, TypeError>;

/// The result has the type of x; weight and bias have the shape of the normalised axes.
pub(super) fn infer(cx: &mut InferCx<'_>, normalized: usize, scales: usize) -> Result<Types, TypeError> {
    cx.arity(1 + scales)?;
    cx.dtype(0, DType::is_float, "a float")?;
    let x = cx.ty(0);
    trailing(cx, normalized)?;
    for operand in 1..=scales {
        cx.same_dtype(0, operand)?;
        let own = &cx.ty(operand).shape;
        if own.rank() != normalized {
            return Err(cx.attribute("weight and bias must have the shape of the normalised axes".into()));
        }
        for (a, b) in own.iter().zip(&x.shape[x.rank() - normalized..]) {
            cx.same("weight and bias must have the shape of the normalised axes", a, b)?;
        }
    }
    Ok(smallvec![x.clone()])
}

/// Operand, cotangent → the operand's cotangent, all of one type.
pub(super) fn infer_grad(cx: &mut InferCx<'_>, normalized: usize) -> Result<Types, TypeError> {
    cx.arity(2)?;
    cx.dtype(0, DType::is_float, "a float")?;
    cx.same_dtype(0, 1)?;
    cx.same_shape(0, 1)?;
    trailing(cx, normalized)?;
    Ok(smallvec![cx.ty(0).clone()])
}

fn trailing(cx: &InferCx<'_>, normalized: usize) -> Result<(), TypeError> {
    let rank = cx.ty(0).rank();
    if (1..=rank).contains(&normalized) {
        return Ok(());
    }
    Err(cx.attribute(format!("{normalized} trailing axes cannot be normalised in a tensor of rank {rank}")))
}

/// The last `normalized` axes of x.
fn axes(b: &Builder, x: Value, normalized: usize) -> Axes {
    let rank = b.ty(x).rank();
    (rank - normalized..rank).collect()
}

/// The mean over the last axes, repeated.
fn mean(b: &mut Builder, x: Value, axes: &Axes) -> Built {
    let mean = b.composite(Composite::Mean { axes: axes.clone() }, &[x])?;
    restore_axes(b, mean, x, axes)
}

/// 1/√(mean x² + eps), repeated.
fn scale(b: &mut Builder, x: Value, axes: &Axes, eps: F64) -> Built {
    let square = b.mul(x, x)?;
    let power = b.composite(Composite::Mean { axes: axes.clone() }, &[square])?;
    let power = b.add_scalar(power, eps.0)?;
    let scale = b.rsqrt(power)?;
    restore_axes(b, scale, x, axes)
}

/// A parameter of the normalised axes at least in f32, repeated to the shape of x.
fn parameter(b: &mut Builder, parameter: Value, x: Value, axes: &[usize]) -> Built {
    let (shape, parameter) = (b.ty(x).shape.clone(), wide(b, parameter)?);
    b.broadcast(parameter, &shape, axes)
}

/// Two passes: the variance is the mean square of what is left when the mean is taken off.
pub(super) fn layer_norm(
    b: &mut Builder,
    x: Value,
    normalized: usize,
    eps: F64,
    weight: Option<Value>,
    bias: Option<Value>,
) -> Built {
    let axes = axes(b, x, normalized);
    let mean = mean(b, x, &axes)?;
    let centred = b.sub(x, mean)?;
    let scale = scale(b, centred, &axes, eps)?;
    let y = b.mul(centred, scale)?;
    affine(b, y, weight, bias, &axes)
}

pub(super) fn rms_norm(
    b: &mut Builder,
    x: Value,
    normalized: usize,
    eps: F64,
    weight: Option<Value>,
) -> Built {
    let axes = axes(b, x, normalized);
    let scale = scale(b, x, &axes, eps)?;
    let y = b.mul(x, scale)?;
    affine(b, y, weight, None, &axes)
}

fn affine(b: &mut Builder, y: Value, weight: Option<Value>, bias: Option<Value>, axes: &[usize]) -> Built {
    let mut y = y;
    if let Some(weight) = weight {
        let weight = parameter(b, weight, y, axes)?;
        y = b.mul(y, weight)?;
    }
    if let Some(bias) = bias {
        let bias = parameter(b, bias, y, axes)?;
        y = b.add(y, bias)?;
    }
    Ok(y)
}

/// With x̂ the normalised operand: (g − mean g − x̂ · mean(g · x̂)) / √(variance + eps).
pub(super) fn layer_norm_grad(b: &mut Builder, x: Value, g: Value, normalized: usize, eps: F64) -> Built {
    let axes = axes(b, x, normalized);
    let middle = mean(b, x, &axes)?;
    let centred = b.sub(x, middle)?;
    let scale = scale(b, centred, &axes, eps)?;
    let normal = b.mul(centred, scale)?;
    let part = b.mul(g, normal)?;
    let (along, level) = (mean(b, part, &axes)?, mean(b, g, &axes)?);
    let part = b.mul(normal, along)?;
    let rest = b.sub(g, level)?;
    let rest = b.sub(rest, part)?;
    b.mul(rest, scale)
}

/// With x̂ the operand over its root mean square: (g − x̂ · mean(g · x̂)) / √(mean x² + eps).
fn rms_norm_grad(b: &mut Builder, x: Value, g: Value, normalized: usize, eps: F64) -> Built {
    let axes = axes(b, x, normalized);
    let scale = scale(b, x, &axes, eps)?;
    let normal = b.mul(x, scale)?;
    let part = b.mul(g, normal)?;
    let along = mean(b, part, &axes)?;
    let part = b.mul(normal, along)?;
    let rest = b.sub(g, part)?;
    b.mul(rest, scale)
}

/// The cotangents of `layer_norm` and `rms_norm`: through the weight, then through the normalisation.
pub(super) fn vjp(op: &Composite, cx: &mut VjpCx<'_>, g: Value) -> Result<Vec<Option<Value>>, TypeError> {
    let (normalized, weight, bias) = match op {
        Composite::LayerNorm { normalized, weight, bias, .. } => (*normalized, *weight, *bias),
        Composite::RmsNorm { normalized, weight, .. } => (*normalized, *weight, false),
        _ => unreachable!("called for normalisations"),
    };
    let b = &mut *cx.b;
    let dtype = b.ty(cx.inputs[0]).dtype;
    let (x, g) = (wide(b, cx.inputs[0])?, wide(b, g)?);
    let axes = axes(b, x, normalized);
    let leading: Axes = (0..axes[0]).collect();
    let mut out = vec![None; cx.inputs.len()];
    if cx.needs[0] {
        let through = if weight {
            let weight = parameter(b, cx.inputs[1], x, &axes)?;
            b.mul(g, weight)?
        } else {
            g
        };
        let dx = match op {
            Composite::RmsNorm { eps, .. } => rms_norm_grad(b, x, through, normalized, *eps)?,
            Composite::LayerNorm { eps, .. } => {
                b.composite(Composite::LayerNormGrad { normalized, eps: *eps }, &[x, through])?
            }
            _ => unreachable!("called for normalisations"),
        };
        out[0] = Some(b.cast(dx, dtype)?);
    }
    if weight && cx.needs[1] {
        let plain = match op {
            Composite::RmsNorm { eps, .. } => Composite::RmsNorm { normalized, eps: *eps, weight: false },
            Composite::LayerNorm { eps, .. } => {
                Composite::LayerNorm { normalized, eps: *eps, weight: false, bias: false }
            }
            _ => unreachable!("called for normalisations"),
        };
        let normal = b.composite(plain, &[x])?;
        let part = b.mul(g, normal)?;
        let sum = b.sum(part, &leading)?;
        out[1] = Some(b.cast(sum, dtype)?);
    }
    let last = cx.inputs.len() - 1;
    if bias && cx.needs[last] {
        let sum = b.sum(g, &leading)?;
        out[last] = Some(b.cast(sum, dtype)?);
    }
    Ok(out)
}
