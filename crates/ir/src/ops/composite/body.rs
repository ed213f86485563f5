//! Bodies of composites: their meaning, in primitives and simpler composites.
//!
//! 16-bit floats are computed in f32 throughout a body and rounded once at its end.

use super::attention::{Attention, widened};
use super::{Composite, Reduction, norm};
use crate::ops::{Dot, Random};
use crate::{Axes, Builder, DType, Dim, F64, Region, Shape, TensorType, TypeError, Value};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI, SQRT_2};

type Built = Result<Value, TypeError>;

impl Composite {
    /// What the composite computes, as a function of operands of these types.
    pub fn body(&self, input_types: &[TensorType]) -> Result<Region, TypeError> {
        let mut b = Builder::new();
        let params: Vec<Value> = input_types.iter().map(|t| b.param(t.clone())).collect();
        let results = match self {
            Composite::AttentionGrad { causal, mask, scale } => {
                let attention = Attention { causal: *causal, mask: *mask, scale: *scale };
                attention_grad(attention, &mut b, &params)?
            }
            _ => vec![build(self, &mut b, &params)?],
        };
        Ok(b.finish(&results))
    }
}

fn build(op: &Composite, b: &mut Builder, args: &[Value]) -> Built {
    match op {
        Composite::Uniform { dtype, shape } => return uniform(b, args[0], *dtype, shape),
        Composite::Normal { dtype, shape } => return normal(b, args[0], *dtype, shape),
        Composite::Embedding => {
            let indices = b.expand_axis(args[0], b.ty(args[0]).rank())?;
            return b.gather(args[1], indices, 0, 1);
        }
        _ => {}
    }
    let dtype = b.ty(args[0]).dtype;
    let x = wide(b, args[0])?;
    let result = match op {
        Composite::Relu => {
            let zero = b.scalar_like(x, 0.0);
            b.maximum(x, zero)?
        }
        Composite::ReluGrad => {
            let zero = b.scalar_like(x, 0.0);
            let positive = b.gt(x, zero)?;
            let zero = b.scalar_like(args[1], 0.0);
            return b.select(positive, args[1], zero);
        }
        Composite::LeakyRelu { slope } => {
            let zero = b.scalar_like(x, 0.0);
            let (positive, scaled) = (b.gt(x, zero)?, b.mul_scalar(x, slope.0)?);
            b.select(positive, x, scaled)?
        }
        // Φ(x) = erfc(−x/√2)/2 keeps its digits where 1 + erf(x/√2) would cancel.
        Composite::Gelu => {
            let scaled = b.mul_scalar(x, -FRAC_1_SQRT_2)?;
            let tail = b.erfc(scaled)?;
            let half = b.mul_scalar(x, 0.5)?;
            b.mul(half, tail)?
        }
        Composite::GeluTanh => {
            let square = b.mul(x, x)?;
            let inner = b.mul_scalar(square, 0.044715)?;
            let inner = b.add_scalar(inner, 1.0)?;
            let inner = b.mul(inner, x)?;
            let inner = b.mul_scalar(inner, FRAC_2_PI.sqrt())?;
            let tanh = b.tanh(inner)?;
            let twice = b.add_scalar(tanh, 1.0)?;
            let half = b.mul_scalar(x, 0.5)?;
            b.mul(half, twice)?
        }
        Composite::Silu => {
            let gate = b.composite(Composite::Sigmoid, &[x])?;
            b.mul(x, gate)?
        }
        Composite::Sigmoid => sigmoid(b, x)?,
        // max(x, 0) + log(1 + e^−|x|).
        Composite::Softplus => {
            let zero = b.scalar_like(x, 0.0);
            let (large, size) = (b.maximum(x, zero)?, b.abs(x)?);
            let decay = b.neg(size)?;
            let decay = b.exp(decay)?;
            let small = b.log1p(decay)?;
            b.add(large, small)?
        }
        Composite::Softmax { axis } => {
            let (_, exp, sum) = shifted_exp(b, x, &[*axis])?;
            let sum = restore_axes(b, sum, x, &[*axis])?;
            b.div(exp, sum)?
        }
        Composite::LogSoftmax { axis } => {
            let (shift, _, sum) = shifted_exp(b, x, &[*axis])?;
            let (shift, log) = (restore_axes(b, shift, x, &[*axis])?, b.log(sum)?);
            let log = restore_axes(b, log, x, &[*axis])?;
            let centred = b.sub(x, shift)?;
            b.sub(centred, log)?
        }
        Composite::LogSumExp { axes } => {
            let (shift, _, sum) = shifted_exp(b, x, axes)?;
            let log = b.log(sum)?;
            b.add(log, shift)?
        }
        Composite::Mean { axes } => {
            let sum = b.sum(x, axes)?;
            divide_by_count(b, sum, x, axes, 0)?
        }
        Composite::Variance { axes, correction } => {
            let mean = b.composite(Composite::Mean { axes: axes.clone() }, &[x])?;
            let mean = restore_axes(b, mean, x, axes)?;
            let centred = b.sub(x, mean)?;
            let square = b.mul(centred, centred)?;
            let sum = b.sum(square, axes)?;
            divide_by_count(b, sum, x, axes, *correction)?
        }
        Composite::Linear { bias } => return linear(b, args, *bias),
        Composite::CrossEntropy { reduction, weighted } => {
            let axis = b.ty(x).rank() - 1;
            let scores = b.composite(Composite::LogSoftmax { axis }, &[x])?;
            let loss =
                Composite::NegativeLogLikelihood { reduction: *reduction, weighted: *weighted, log: true };
            let mut operands = vec![scores, args[1]];
            for weights in &args[2..] {
                operands.push(wide(b, *weights)?);
            }
            b.composite(loss, &operands)?
        }
        Composite::NegativeLogLikelihood { reduction, weighted, log } => {
            let picked = at_labels(b, x, args[1])?;
            let picked = if *log { picked } else { b.log(picked)? };
            let loss = b.neg(picked)?;
            let weights = weighted.then(|| label_weights(b, args[2], args[1])).transpose()?;
            reduce_loss(b, loss, weights, *reduction)?
        }
        Composite::Mse { reduction } => {
            let target = wide(b, args[1])?;
            let difference = b.sub(x, target)?;
            let square = b.mul(difference, difference)?;
            reduce_loss(b, square, None, *reduction)?
        }
        Composite::Dropout { rate } => dropout(b, x, args[1], *rate)?,
        Composite::LayerNorm { normalized, eps, weight, bias } => {
            let (weight, bias) = (weight.then(|| args[1]), bias.then(|| args[args.len() - 1]));
            norm::layer_norm(b, x, *normalized, *eps, weight, bias)?
        }
        Composite::LayerNormGrad { normalized, eps } => {
            let g = wide(b, args[1])?;
            norm::layer_norm_grad(b, x, g, *normalized, *eps)?
        }
        Composite::RmsNorm { normalized, eps, weight } => {
            norm::rms_norm(b, x, *normalized, *eps, weight.then(|| args[1]))?
        }
        Composite::Attention { causal, mask, scale } => {
            let operands = widened(b, args)?;
            Attention { causal: *causal, mask: *mask, scale: *scale }.body(b, &operands)?
        }
        Composite::Uniform { .. }
        | Composite::Normal { .. }
        | Composite::Embedding
        | Composite::AttentionGrad { .. } => unreachable!("built above"),
    };
    b.cast(result, dtype)
}

fn attention_grad(op: Attention, b: &mut Builder, args: &[Value]) -> Result<Vec<Value>, TypeError> {
    let dtype = b.ty(args[0]).dtype;
    let operands = widened(b, args)?;
    let cotangents = op.grad_body(b, &operands)?;
    cotangents.into_iter().map(|x| b.cast(x, dtype)).collect()
}

/// A 16-bit float as f32; others as they are.
pub(super) fn wide(b: &mut Builder, x: Value) -> Built {
    let dtype = b.ty(x).dtype.compute();
    b.cast(x, dtype)
}

/// Repeats a value reduced over `axes` back to the shape of `x`.
pub(super) fn restore_axes(b: &mut Builder, reduced: Value, x: Value, axes: &[usize]) -> Built {
    let shape = b.ty(x).shape.clone();
    let kept: Axes = (0..shape.rank()).filter(|i| !axes.contains(i)).collect();
    b.broadcast(reduced, &shape, &kept)
}

/// x divided by the number of elements of `of` along `axes`, less `correction` (at least 0).
pub(super) fn divide_by_count(
    b: &mut Builder,
    x: Value,
    of: Value,
    axes: &[usize],
    correction: usize,
) -> Built {
    let sizes: Shape = axes.iter().map(|axis| b.ty(of).shape[*axis].clone()).collect();
    let dtype = b.ty(x).dtype;
    let count = match sizes.count() {
        Some(n) => b.scalar(dtype, n.saturating_sub(correction) as f64),
        // A size becomes a value by counting ones, which folds away once the size is known.
        None => {
            let ones = b.full(&TensorType::new(DType::I64, sizes), 1.0)?;
            let (count, zero) = (b.sum_all(ones)?, b.scalar(DType::I64, 0.0));
            let count = b.add_scalar(count, -(correction as f64))?;
            let count = b.maximum(count, zero)?;
            b.cast(count, dtype)?
        }
    };
    b.div(x, count)
}

/// e^−|x| is at most 1: 1/(1 + e^−|x|) for positive x, e^−|x|/(1 + e^−|x|) for negative.
fn sigmoid(b: &mut Builder, x: Value) -> Built {
    let (zero, one) = (b.scalar_like(x, 0.0), b.scalar_like(x, 1.0));
    let size = b.abs(x)?;
    let decay = b.neg(size)?;
    let decay = b.exp(decay)?;
    let positive = b.ge(x, zero)?;
    let numerator = b.select(positive, one, decay)?;
    let denominator = b.add(decay, one)?;
    b.div(numerator, denominator)
}

/// (shift, exp(x − shift), its sum over `axes`), where the shift is the maximum, or 0 where that is infinite: then
/// ∞ − ∞ does not arise.
pub(super) fn shifted_exp(
    b: &mut Builder,
    x: Value,
    axes: &[usize],
) -> Result<(Value, Value, Value), TypeError> {
    let constant = b.stop_gradient(x)?;
    let largest = b.max(constant, axes)?;
    let (finite, zero) = (b.is_finite(largest)?, b.scalar_like(x, 0.0));
    let shift = b.select(finite, largest, zero)?;
    let repeated = restore_axes(b, shift, x, axes)?;
    let centred = b.sub(x, repeated)?;
    let exp = b.exp(centred)?;
    let sum = b.sum(exp, axes)?;
    Ok((shift, exp, sum))
}

fn linear(b: &mut Builder, args: &[Value], bias: bool) -> Built {
    let last = b.ty(args[0]).rank() - 1;
    let dims =
        Dot { lhs_contract: [last].as_slice().into(), rhs_contract: [1].as_slice().into(), ..Dot::default() };
    let product = b.dot(args[0], args[1], dims)?;
    if !bias {
        return Ok(product);
    }
    let shape = b.ty(product).shape.clone();
    let bias = b.broadcast(args[2], &shape, &[last])?;
    b.add(product, bias)
}

/// The entry of each row of `scores [.., C]` that its label names.
fn at_labels(b: &mut Builder, scores: Value, labels: Value) -> Built {
    let batch = b.ty(labels).rank();
    let indices = b.expand_axis(labels, batch)?;
    b.gather(scores, indices, batch, 1)
}

/// The class weight of every label.
pub(super) fn label_weights(b: &mut Builder, weights: Value, labels: Value) -> Built {
    let weights = wide(b, weights)?;
    let rank = b.ty(labels).rank();
    let indices = b.expand_axis(labels, rank)?;
    b.gather(weights, indices, 0, 1)
}

/// Weights and reduces one loss an example.
pub(super) fn reduce_loss(
    b: &mut Builder,
    loss: Value,
    weights: Option<Value>,
    reduction: Reduction,
) -> Built {
    let loss = weights.map_or(Ok(loss), |w| b.mul(loss, w))?;
    match (reduction, weights) {
        (Reduction::None, _) => Ok(loss),
        (Reduction::Sum, _) => b.sum_all(loss),
        (Reduction::Mean, Some(weights)) => {
            let (sum, total) = (b.sum_all(loss)?, b.sum_all(weights)?);
            b.div(sum, total)
        }
        (Reduction::Mean, None) => {
            let axes: Axes = (0..b.ty(loss).rank()).collect();
            b.composite(Composite::Mean { axes }, &[loss])
        }
    }
}

/// `bits` random bits an element, as a number of `dtype` that holds them exactly.
fn random_integers(b: &mut Builder, key: Value, shape: &Shape, dtype: DType, bits: u32) -> Built {
    let shift = |b: &mut Builder, x: Value, by: u32| {
        let by = b.scalar_like(x, f64::from(by));
        b.shr(x, by)
    };
    if bits <= 32 {
        let words = b.push(Random::Bits { shape: shape.clone() }, &[key])?;
        let words = shift(b, words, 32 - bits)?;
        return b.cast(words, dtype);
    }
    let two = Dim::Const(2);
    let pairs: Shape = shape.iter().chain([&two]).collect();
    let words = b.push(Random::Bits { shape: pairs }, &[key])?;
    let half = |b: &mut Builder, i: i64| {
        let word = b.slice_axis(words, shape.rank(), &Dim::Const(i), &Dim::Const(i + 1))?;
        let word = b.reshape(word, shape.clone())?;
        b.cast(word, DType::I64)
    };
    let (high, low) = (half(b, 0)?, half(b, 1)?);
    let room = b.scalar(DType::I64, f64::from(bits - 32));
    let (high, low) = (b.shl(high, room)?, shift(b, low, 64 - bits)?);
    let whole = b.or(high, low)?;
    b.cast(whole, dtype)
}

/// As many random bits as a significand of `dtype` has: every value is exact and below 1.
fn uniform(b: &mut Builder, key: Value, dtype: DType, shape: &Shape) -> Built {
    let bits = match dtype {
        DType::F64 => 53,
        DType::F16 => 11,
        DType::BF16 => 8,
        _ => 24,
    };
    let number = random_integers(b, key, shape, dtype.compute(), bits)?;
    let number = b.mul_scalar(number, 0.5f64.powi(bits as i32))?;
    b.cast(number, dtype)
}

/// √2 · erfinv(2u − 1) with u = (k + ½)/2ⁿ, so that 2u − 1 = (2k + 1)/2ⁿ − 1 is exact and inside (−1, 1).
fn normal(b: &mut Builder, key: Value, dtype: DType, shape: &Shape) -> Built {
    let bits = if dtype == DType::F64 { 52 } else { 23 };
    let number = random_integers(b, key, shape, dtype.compute(), bits)?;
    let twice = b.mul_scalar(number, 2.0)?;
    let odd = b.add_scalar(twice, 1.0 - 2f64.powi(bits as i32))?;
    let inside = b.mul_scalar(odd, 0.5f64.powi(bits as i32))?;
    let quantile = b.erfinv(inside)?;
    let scaled = b.mul_scalar(quantile, SQRT_2)?;
    b.cast(scaled, dtype)
}

fn dropout(b: &mut Builder, x: Value, key: Value, rate: F64) -> Built {
    let shape = b.ty(x).shape.clone();
    let chance = b.composite(Composite::Uniform { dtype: DType::F32, shape }, &[key])?;
    let (threshold, kept) = (b.scalar(DType::F32, rate.0), b.scalar_like(x, 1.0 - rate.0));
    let keep = b.ge(chance, threshold)?;
    let (scaled, zero) = (b.div(x, kept)?, b.scalar_like(x, 0.0));
    b.select(keep, scaled, zero)
}
