//! Rules of composites: one of its own where a derivative or a batched form has a name or a shorter formula, otherwise
//! the body's.

use super::attention::Attention;
use super::body::{divide_by_count, label_weights, restore_axes, wide};
use super::{BatchCx, Composite, EvalCx, EvalError, JvpCx, Reduction, RuleError, VjpCx, norm};
use crate::ops::Dot;
use crate::ops::index::rules::clamp_indices;
use crate::ops::movement::rules::{shifted, with_batch_axis};
use crate::{Axes, Builder, HostTensor, TensorType, TypeError, Value, eval as interpreter};

type Built = Result<Value, TypeError>;
type Derivatives = Result<Vec<Option<Value>>, RuleError>;

pub(super) fn eval(op: &Composite, cx: &EvalCx<'_>) -> Result<Vec<HostTensor>, EvalError> {
    let inputs: Vec<HostTensor> = cx.inputs.iter().map(|t| (*t).clone()).collect();
    let types: Vec<TensorType> = inputs.iter().map(HostTensor::ty).collect();
    let body =
        op.body(&types).expect("the body of a well-typed composite is well-typed: an invariant of this file");
    interpreter::region(&body, &inputs)
}

fn types(b: &Builder, values: &[Value]) -> Vec<TensorType> {
    values.iter().map(|v| b.ty(*v).clone()).collect()
}

pub(super) fn vjp(op: &Composite, cx: &mut VjpCx<'_>) -> Derivatives {
    if cx.cotangents.iter().all(Option::is_none) {
        return Ok(vec![None; cx.inputs.len()]);
    }
    let Some(g) = cx.cotangents[0] else { return body_vjp(op, cx) };
    match op {
        Composite::Linear { bias } => return linear_vjp(cx, g, *bias),
        Composite::LayerNorm { .. } | Composite::RmsNorm { .. } => return Ok(norm::vjp(op, cx, g)?),
        Composite::Attention { causal, mask, scale } if !(*mask && cx.needs[3]) => {
            return attention_vjp(Attention { causal: *causal, mask: *mask, scale: *scale }, cx, g);
        }
        _ => {}
    }
    let b = &mut *cx.b;
    let (x, y) = (cx.inputs[0], cx.outputs[0]);
    let out = match op {
        // relu(x) > 0 exactly where x > 0, and the result is at hand anyway: x need not be kept.
        Composite::Relu => vec![Some(b.composite(Composite::ReluGrad, &[y, g])?)],
        Composite::ReluGrad => vec![None, Some(b.composite(Composite::ReluGrad, &[x, g])?)],
        Composite::Dropout { .. } => vec![Some(b.composite(op.clone(), &[g, cx.inputs[1]])?), None],
        Composite::Uniform { .. } | Composite::Normal { .. } => vec![None],
        Composite::Sigmoid
        | Composite::Softplus
        | Composite::Softmax { .. }
        | Composite::LogSoftmax { .. }
        | Composite::LogSumExp { .. }
        | Composite::Mean { .. } => {
            let dtype = b.ty(x).dtype;
            let (x, y, g) = (wide(b, x)?, wide(b, y)?, wide(b, g)?);
            let dx = one_operand_vjp(op, b, x, y, g)?;
            vec![Some(b.cast(dx, dtype)?)]
        }
        Composite::CrossEntropy { reduction, weighted } if !*weighted || !cx.needs[2] => {
            let mut out = vec![None; cx.inputs.len()];
            out[0] = Some(cross_entropy_vjp(b, cx.inputs, g, *reduction, *weighted)?);
            out
        }
        Composite::Mse { reduction } => {
            let dtype = b.ty(x).dtype;
            let (x, target, g) = (wide(b, x)?, wide(b, cx.inputs[1])?, wide(b, g)?);
            let scale = loss_scale(b, g, x, *reduction)?;
            let scale = b.mul_scalar(scale, 2.0)?;
            let difference = b.sub(x, target)?;
            let dx = b.mul(difference, scale)?;
            let dx = b.cast(dx, dtype)?;
            vec![Some(dx), if cx.needs[1] { Some(b.neg(dx)?) } else { None }]
        }
        _ => return body_vjp(op, cx),
    };
    Ok(out)
}

fn body_vjp(op: &Composite, cx: &mut VjpCx<'_>) -> Derivatives {
    let body = op.body(&types(cx.b, cx.inputs))?;
    cx.regions.vjp_inline(cx.b, &body, cx.inputs, cx.cotangents, cx.needs)
}

fn attention_vjp(op: Attention, cx: &mut VjpCx<'_>, g: Value) -> Derivatives {
    let operands: Vec<Value> = cx.inputs.iter().chain(&[cx.outputs[0], g]).copied().collect();
    let cotangents = cx.b.push_multi(op.grad(), &operands)?;
    Ok((0..cx.inputs.len()).map(|i| cotangents.get(i).copied().filter(|_| cx.needs[i])).collect())
}

/// Operand, result and cotangent are at least f32.
fn one_operand_vjp(op: &Composite, b: &mut Builder, x: Value, y: Value, g: Value) -> Built {
    match op {
        Composite::Softmax { axis } => {
            let weighted = b.mul(g, y)?;
            let mean = b.sum(weighted, &[*axis])?;
            let mean = restore_axes(b, mean, x, &[*axis])?;
            let centred = b.sub(g, mean)?;
            b.mul(y, centred)
        }
        Composite::LogSoftmax { axis } => {
            let total = b.sum(g, &[*axis])?;
            let total = restore_axes(b, total, x, &[*axis])?;
            let softmax = b.exp(y)?;
            let part = b.mul(softmax, total)?;
            b.sub(g, part)
        }
        Composite::LogSumExp { axes } => {
            let (share, g) = (share_of_sum(b, x, y, axes)?, restore_axes(b, g, x, axes)?);
            b.mul(g, share)
        }
        Composite::Mean { axes } => {
            let g = divide_by_count(b, g, x, axes, 0)?;
            restore_axes(b, g, x, axes)
        }
        _ => {
            let slope = slope(op, b, x, y)?;
            b.mul(g, slope)
        }
    }
}

/// The derivative of `sigmoid` or `softplus`.
fn slope(op: &Composite, b: &mut Builder, x: Value, y: Value) -> Built {
    if let Composite::Softplus = op {
        return b.composite(Composite::Sigmoid, &[x]);
    }
    // 1 − σ(x) = σ(−x) without cancellation.
    let minus = b.neg(x)?;
    let rest = b.composite(Composite::Sigmoid, &[minus])?;
    b.mul(y, rest)
}

/// exp(x − log Σ exp x): each element's share of the sum; 0 where every element is −∞.
fn share_of_sum(b: &mut Builder, x: Value, y: Value, axes: &[usize]) -> Built {
    let (finite, zero) = (b.is_finite(y)?, b.scalar_like(y, 0.0));
    let y = b.select(finite, y, zero)?;
    let y = restore_axes(b, y, x, axes)?;
    let difference = b.sub(x, y)?;
    b.exp(difference)
}

/// What each example's loss (of the shape of `examples`) contributes to a reduced one, times its cotangent.
fn loss_scale(b: &mut Builder, g: Value, examples: Value, reduction: Reduction) -> Built {
    let axes: Axes = (0..b.ty(examples).rank()).collect();
    let g = match reduction {
        Reduction::None => return Ok(g),
        Reduction::Sum => g,
        Reduction::Mean => divide_by_count(b, g, examples, &axes, 0)?,
    };
    restore_axes(b, g, examples, &axes)
}

/// scale · (softmax − one-hot).
fn cross_entropy_vjp(
    b: &mut Builder,
    inputs: &[Value],
    g: Value,
    reduction: Reduction,
    weighted: bool,
) -> Built {
    let (logits, labels) = (inputs[0], inputs[1]);
    let dtype = b.ty(logits).dtype;
    let (x, g) = (wide(b, logits)?, wide(b, g)?);
    let axis = b.ty(x).rank() - 1;
    let shape = b.ty(x).shape.clone();
    let scale = if weighted {
        let weights = label_weights(b, inputs[2], labels)?;
        let g = if reduction == Reduction::Mean {
            let total = b.sum_all(weights)?;
            b.div(g, total)?
        } else {
            g
        };
        b.mul(g, weights)?
    } else {
        loss_scale(b, g, labels, reduction)?
    };
    let softmax = b.composite(Composite::Softmax { axis }, &[x])?;
    let indices = b.expand_axis(labels, axis)?;
    let nearest = clamp_indices(b, indices, &shape[axis..])?;
    let nearest = b.reshape(nearest, b.ty(labels).shape.clone())?;
    let nearest = restore_axes(b, nearest, x, &[axis])?;
    let classes = b.iota(b.ty(labels).dtype, shape, axis)?;
    let one_hot = b.eq(classes, nearest)?;
    let one_hot = b.cast(one_hot, b.ty(x).dtype)?;
    let difference = b.sub(softmax, one_hot)?;
    let scale = restore_axes(b, scale, x, &[axis])?;
    let dx = b.mul(difference, scale)?;
    b.cast(dx, dtype)
}

fn linear_vjp(cx: &mut VjpCx<'_>, g: Value, bias: bool) -> Derivatives {
    let (x, weight) = (cx.inputs[0], cx.inputs[1]);
    let last = cx.b.ty(x).rank() - 1;
    let leading: Axes = (0..last).collect();
    let contract = |lhs: &[usize], rhs: &[usize]| Dot {
        lhs_contract: lhs.into(),
        rhs_contract: rhs.into(),
        ..Dot::default()
    };
    let mut out = vec![None; cx.inputs.len()];
    if cx.needs[0] {
        out[0] = Some(cx.b.dot(g, weight, contract(&[last], &[0]))?);
    }
    if cx.needs[1] {
        out[1] = Some(cx.b.dot(g, x, contract(&leading, &leading))?);
    }
    if bias && cx.needs[2] {
        out[2] = Some(cx.b.sum(g, &leading)?);
    }
    Ok(out)
}

pub(super) fn jvp(op: &Composite, cx: &mut JvpCx<'_>) -> Derivatives {
    if cx.tangents.iter().all(Option::is_none) {
        return Ok(vec![None; cx.outputs.len()]);
    }
    let b = &mut *cx.b;
    let (x, y) = (cx.inputs[0], cx.outputs[0]);
    let tangent = match (op, cx.tangents[0]) {
        (Composite::Relu, Some(t)) => Some(b.composite(Composite::ReluGrad, &[y, t])?),
        (Composite::ReluGrad, _) => match cx.tangents[1] {
            Some(t) => Some(b.composite(Composite::ReluGrad, &[x, t])?),
            None => None,
        },
        (Composite::Dropout { .. }, Some(t)) => Some(b.composite(op.clone(), &[t, cx.inputs[1]])?),
        (Composite::Uniform { .. } | Composite::Normal { .. }, _) => None,
        (Composite::Mean { .. }, Some(t)) => Some(b.composite(op.clone(), &[t])?),
        // The Jacobian of softmax is symmetric, those of sigmoid and softplus diagonal.
        (
            Composite::Sigmoid
            | Composite::Softplus
            | Composite::Softmax { .. }
            | Composite::LogSoftmax { .. }
            | Composite::LogSumExp { .. },
            Some(t),
        ) => {
            let dtype = b.ty(x).dtype;
            let (x, y, t) = (wide(b, x)?, wide(b, y)?, wide(b, t)?);
            let dy = one_operand_jvp(op, b, x, y, t)?;
            Some(b.cast(dy, dtype)?)
        }
        (Composite::Linear { .. }, _) => linear_jvp(b, cx.inputs, cx.tangents)?,
        _ => {
            let body = op.body(&types(b, cx.inputs))?;
            return cx.regions.jvp_inline(b, &body, cx.inputs, cx.tangents);
        }
    };
    Ok(vec![tangent])
}

fn one_operand_jvp(op: &Composite, b: &mut Builder, x: Value, y: Value, t: Value) -> Built {
    match op {
        Composite::LogSoftmax { axis } => {
            let softmax = b.exp(y)?;
            let part = b.mul(softmax, t)?;
            let mean = b.sum(part, &[*axis])?;
            let mean = restore_axes(b, mean, x, &[*axis])?;
            b.sub(t, mean)
        }
        Composite::LogSumExp { axes } => {
            let share = share_of_sum(b, x, y, axes)?;
            let part = b.mul(share, t)?;
            b.sum(part, axes)
        }
        _ => one_operand_vjp(op, b, x, y, t),
    }
}

fn linear_jvp(
    b: &mut Builder,
    inputs: &[Value],
    tangents: &[Option<Value>],
) -> Result<Option<Value>, TypeError> {
    let plain = Composite::Linear { bias: false };
    let mut sum: Option<Value> = None;
    let mut terms = Vec::new();
    if let Some(t) = tangents[0] {
        terms.push(b.composite(plain.clone(), &[t, inputs[1]])?);
    }
    if let Some(t) = tangents[1] {
        terms.push(b.composite(plain, &[inputs[0], t])?);
    }
    if let Some(Some(t)) = tangents.get(2) {
        let leading = b.ty(inputs[0]).rank() - 1;
        let out = b.ty(*t).shape.clone();
        let shape = b.ty(inputs[0]).shape[..leading].iter().chain(out.iter()).collect();
        terms.push(b.broadcast(*t, &shape, &[leading])?);
    }
    for term in terms {
        sum = Some(sum.map_or(Ok(term), |sum| b.add(sum, term))?);
    }
    Ok(sum)
}

pub(super) fn batch(op: &Composite, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
    if let Some(same) = batched_form(op, cx) {
        let mut inputs = Vec::with_capacity(cx.inputs.len());
        for (i, x) in cx.inputs.iter().enumerate() {
            let batched = cx.batched[i] || is_shared(op, i);
            inputs.push(with_batch_axis(cx.b, *x, batched, cx.size)?);
        }
        let results = cx.b.push_multi(same, &inputs)?;
        let [mut out] = results[..] else { return Ok(results.into_iter().map(|v| (v, true)).collect()) };
        let axes: Axes = (1..cx.b.ty(out).rank()).collect();
        out = match reduction(op) {
            Some(Reduction::Sum) => cx.b.sum(out, &axes)?,
            Some(Reduction::Mean) => cx.b.composite(Composite::Mean { axes }, &[out])?,
            Some(Reduction::None) | None => out,
        };
        return Ok(vec![(out, true)]);
    }
    let body = op.body(cx.input_types)?;
    cx.regions.batch_inline(cx.b, &body, cx.inputs, cx.batched, cx.size)
}

/// Whether an operand of the batched form has no batch axis: parameters, and the class weights of losses.
fn is_shared(op: &Composite, operand: usize) -> bool {
    match op {
        Composite::Linear { .. }
        | Composite::LayerNorm { .. }
        | Composite::RmsNorm { .. }
        | Composite::Embedding => operand >= 1,
        Composite::Attention { .. } | Composite::AttentionGrad { .. } => false,
        _ => operand >= 2,
    }
}

fn reduction(op: &Composite) -> Option<Reduction> {
    match op {
        Composite::CrossEntropy { reduction, .. }
        | Composite::NegativeLogLikelihood { reduction, .. }
        | Composite::Mse { reduction } => Some(*reduction),
        _ => None,
    }
}

/// The composite that does the same over batched operands, up to the reduction of a loss; `None` if there is none.
fn batched_form(op: &Composite, cx: &BatchCx<'_>) -> Option<Composite> {
    // Unreduced 16-bit losses would round before they are reduced.
    let narrow = cx.input_types[0].dtype.compute() != cx.input_types[0].dtype;
    let splits = |reduction: Reduction, weighted: bool| {
        reduction == Reduction::None && !(weighted && cx.batched[2])
            || (reduction != Reduction::None && !weighted && !narrow)
    };
    Some(match op {
        Composite::Relu
        | Composite::ReluGrad
        | Composite::LeakyRelu { .. }
        | Composite::Gelu
        | Composite::GeluTanh
        | Composite::Silu
        | Composite::Sigmoid
        | Composite::Softplus
        | Composite::LayerNormGrad { .. }
        | Composite::Attention { .. }
        | Composite::AttentionGrad { .. } => op.clone(),
        Composite::Softmax { axis } => Composite::Softmax { axis: axis + 1 },
        Composite::LogSoftmax { axis } => Composite::LogSoftmax { axis: axis + 1 },
        Composite::LogSumExp { axes } => Composite::LogSumExp { axes: shifted(axes) },
        Composite::Mean { axes } => Composite::Mean { axes: shifted(axes) },
        Composite::Variance { axes, correction } => {
            Composite::Variance { axes: shifted(axes), correction: *correction }
        }
        Composite::Linear { .. }
        | Composite::LayerNorm { .. }
        | Composite::RmsNorm { .. }
        | Composite::Embedding
            if cx.batched[0] && !cx.batched[1..].contains(&true) =>
        {
            op.clone()
        }
        Composite::CrossEntropy { reduction, weighted } if splits(*reduction, *weighted) => {
            Composite::CrossEntropy { reduction: Reduction::None, weighted: *weighted }
        }
        Composite::NegativeLogLikelihood { reduction, weighted, log } if splits(*reduction, *weighted) => {
            Composite::NegativeLogLikelihood { reduction: Reduction::None, weighted: *weighted, log: *log }
        }
        Composite::Mse { reduction } if splits(*reduction, false) => {
            Composite::Mse { reduction: Reduction::None }
        }
        Composite::Linear { .. }
        | Composite::LayerNorm { .. }
        | Composite::RmsNorm { .. }
        | Composite::Embedding
        | Composite::CrossEntropy { .. }
        | Composite::NegativeLogLikelihood { .. }
        | Composite::Mse { .. }
        // A key is one key: streams for many keys are the body's matter.
        | Composite::Uniform { .. }
        | Composite::Normal { .. }
        | Composite::Dropout { .. } => return None,
    })
}
