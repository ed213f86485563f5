//! Type rules of composites.

use super::attention::Attention;
use super::{Composite, Reduction, norm};
use crate::ops::{InferCx, Types};
use crate::{DType, Dim, Shape, TensorType, TypeError};
use smallvec::smallvec;

pub(super) fn infer(op: &Composite, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
    match op {
        Composite::Relu
        | Composite::LeakyRelu { .. }
        | Composite::Gelu
        | Composite::GeluTanh
        | Composite::Silu
        | Composite::Sigmoid
        | Composite::Softplus => {
            cx.arity(1)?;
            float(cx, 0)?;
            Ok(smallvec![cx.ty(0).clone()])
        }
        Composite::ReluGrad => {
            cx.arity(2)?;
            float(cx, 0)?;
            cx.same_dtype(0, 1)?;
            cx.same_shape(0, 1)?;
            Ok(smallvec![cx.ty(0).clone()])
        }
        Composite::Softmax { axis } | Composite::LogSoftmax { axis } => {
            cx.arity(1)?;
            float(cx, 0)?;
            cx.axes(&[*axis], cx.ty(0).rank())?;
            Ok(smallvec![cx.ty(0).clone()])
        }
        Composite::LogSumExp { axes } | Composite::Mean { axes } | Composite::Variance { axes, .. } => {
            cx.arity(1)?;
            float(cx, 0)?;
            let ty = cx.ty(0);
            cx.axes(axes, ty.rank())?;
            if !axes.is_sorted() {
                return Err(cx.attribute("axes must be in ascending order".into()));
            }
            Ok(smallvec![ty.with_shape(ty.shape.without(axes))])
        }
        Composite::Linear { bias } => linear(cx, *bias),
        Composite::CrossEntropy { reduction, weighted }
        | Composite::NegativeLogLikelihood { reduction, weighted, .. } => {
            class_loss(cx, *reduction, *weighted)
        }
        Composite::Mse { reduction } => {
            cx.arity(2)?;
            float(cx, 0)?;
            cx.same_dtype(0, 1)?;
            cx.same_shape(0, 1)?;
            Ok(smallvec![reduced(cx.ty(0), *reduction)])
        }
        Composite::Uniform { dtype, shape } | Composite::Normal { dtype, shape } => {
            cx.arity(1)?;
            key(cx, 0)?;
            if !dtype.is_float() {
                return Err(cx.attribute("the dtype must be a float's".into()));
            }
            Ok(smallvec![TensorType::new(*dtype, shape.clone())])
        }
        Composite::Dropout { rate } => {
            cx.arity(2)?;
            float(cx, 0)?;
            key(cx, 1)?;
            if !(0.0..1.0).contains(&rate.0) {
                return Err(cx.attribute(format!("the rate must be in [0, 1), got {}", rate.0)));
            }
            Ok(smallvec![cx.ty(0).clone()])
        }
        Composite::LayerNorm { normalized, weight, bias, .. } => {
            norm::infer(cx, *normalized, usize::from(*weight) + usize::from(*bias))
        }
        Composite::RmsNorm { normalized, weight, .. } => norm::infer(cx, *normalized, usize::from(*weight)),
        Composite::LayerNormGrad { normalized, .. } => norm::infer_grad(cx, *normalized),
        Composite::Attention { causal, mask, scale } => {
            Attention { causal: *causal, mask: *mask, scale: *scale }.infer(cx)
        }
        Composite::AttentionGrad { causal, mask, scale } => {
            Attention { causal: *causal, mask: *mask, scale: *scale }.infer_grad(cx)
        }
        Composite::Embedding => embedding(cx),
    }
}

fn embedding(cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
    cx.arity(2)?;
    cx.dtype(0, is_index, "i64, i32 or u32 (ids)")?;
    let (ids, table) = (cx.ty(0), cx.ty(1));
    let Some((rows, slice)) = table.shape.split_first() else {
        return Err(cx.attribute("the table needs a first axis of rows".into()));
    };
    let shape: Shape = ids.shape.iter().chain(slice).collect();
    if rows.is(0) && !shape.iter().any(|d| d.is(0)) {
        return Err(cx.attribute("the table is empty: there is no row to read".into()));
    }
    Ok(smallvec![table.with_shape(shape)])
}

fn is_index(dtype: DType) -> bool {
    matches!(dtype, DType::I32 | DType::I64 | DType::U32)
}

fn float(cx: &InferCx<'_>, operand: usize) -> Result<(), TypeError> {
    cx.dtype(operand, DType::is_float, "a float")
}

fn key(cx: &mut InferCx<'_>, operand: usize) -> Result<(), TypeError> {
    cx.dtype(operand, |d| d == DType::U32, "u32 (a key)")?;
    match &cx.ty(operand).shape[..] {
        [words] => cx.same("a key has two words", words, &Dim::Const(2)),
        _ => Err(cx.attribute("a key has shape [2]".into())),
    }
}

fn linear(cx: &mut InferCx<'_>, bias: bool) -> Result<Types, TypeError> {
    cx.arity(2 + usize::from(bias))?;
    float(cx, 0)?;
    cx.same_dtype(0, 1)?;
    let (x, weight) = (cx.ty(0), cx.ty(1));
    let (Some((features, leading)), [out, inner]) = (x.shape.split_last(), &weight.shape[..]) else {
        return Err(cx.attribute("takes x [.., in] and a weight [out, in]".into()));
    };
    cx.same("the features of x must be the weight's", features, inner)?;
    if bias {
        cx.same_dtype(0, 2)?;
        match &cx.ty(2).shape[..] {
            [size] => cx.same("the bias must have one entry an output", size, out)?,
            _ => return Err(cx.attribute("the bias must have shape [out]".into())),
        }
    }
    Ok(smallvec![x.with_shape(leading.iter().chain([out]).collect::<Shape>())])
}

fn class_loss(cx: &mut InferCx<'_>, reduction: Reduction, weighted: bool) -> Result<Types, TypeError> {
    cx.arity(2 + usize::from(weighted))?;
    float(cx, 0)?;
    cx.dtype(1, is_index, "i64, i32 or u32 (class labels)")?;
    let (scores, labels) = (cx.ty(0), cx.ty(1));
    let Some((classes, examples)) = scores.shape.split_last() else {
        return Err(cx.attribute("the scores need a last axis of classes".into()));
    };
    if labels.rank() != examples.len() {
        return Err(cx.attribute("the labels must have the scores' axes but the last".into()));
    }
    for (a, b) in examples.iter().zip(labels.shape.iter()) {
        cx.same("one label an example", a, b)?;
    }
    if weighted {
        cx.same_dtype(0, 2)?;
        match &cx.ty(2).shape[..] {
            [size] => cx.same("one weight a class", size, classes)?,
            _ => return Err(cx.attribute("the class weights must have shape [C]".into())),
        }
    }
    Ok(smallvec![reduced(&scores.with_shape(examples.iter().collect::<Shape>()), reduction)])
}

fn reduced(per_example: &TensorType, reduction: Reduction) -> TensorType {
    match reduction {
        Reduction::None => per_example.clone(),
        Reduction::Mean | Reduction::Sum => TensorType::scalar(per_example.dtype),
    }
}
