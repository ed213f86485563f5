//! Composites: named functions with a body in primitives.
//!
//! Transformations see a composite before its body, so that its identity survives `vmap` and its derivative may be another
//! composite; a backend either claims it or is given the body. The body is a function of the composite and its operands'
//! types ([`Composite::body`]): nothing is stored in the graph but the name.
//!
//! ```text
//! %1 = softmax[axis=1] %0 : f32[B, 10]
//! ```

mod attention;
mod body;
mod infer;
mod norm;
mod rules;
mod samples;
#[cfg(test)]
mod tests;

use super::{BatchCx, EvalCx, EvalError, Family, InferCx, JvpCx, RuleError, Sample, Types, VjpCx};
use crate::{AttrError, Attrs, Axes, DType, Dim, F64, HostTensor, Shape, TypeError, Value};

/// How a loss is reduced over its examples.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// One loss an example.
    None,
    /// Their mean (weighted: divided by the sum of the weights).
    Mean,
    /// Their sum.
    Sum,
}

impl Reduction {
    /// The name in the text form and in Python.
    pub const fn name(self) -> &'static str {
        match self {
            Reduction::None => "none",
            Reduction::Mean => "mean",
            Reduction::Sum => "sum",
        }
    }

    /// The reduction of this name.
    pub fn from_name(name: &str) -> Option<Reduction> {
        [Reduction::None, Reduction::Mean, Reduction::Sum].into_iter().find(|r| r.name() == name)
    }
}

/// A named function with a body in primitives. Operands in parentheses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Composite {
    /// (x): x where x > 0, 0 elsewhere; NaN stays. The derivative at 0 is 0.
    Relu,
    /// (x, g): the cotangent of `relu`'s operand: g where x > 0, 0 elsewhere.
    ReluGrad,
    /// (x): x where x > 0, slope · x elsewhere.
    LeakyRelu {
        /// The slope below 0.
        slope: F64,
    },
    /// (x): x · Φ(x) = x/2 · (1 + erf(x/√2)).
    Gelu,
    /// (x): x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))).
    GeluTanh,
    /// (x): x · sigmoid(x).
    Silu,
    /// (x): 1 / (1 + e⁻ˣ), without overflow.
    Sigmoid,
    /// (x): log(1 + eˣ), without overflow.
    Softplus,
    /// (x): eˣ / Σ eˣ along the axis, shifted by the maximum.
    Softmax {
        /// The axis normalised.
        axis: usize,
    },
    /// (x): x − log Σ eˣ along the axis.
    LogSoftmax {
        /// The axis normalised.
        axis: usize,
    },
    /// (x): log Σ eˣ over the axes, which disappear; −∞ where every operand is.
    LogSumExp {
        /// The axes reduced, ascending.
        axes: Axes,
    },
    /// (x): Σ x / n over the axes, which disappear.
    Mean {
        /// The axes reduced, ascending.
        axes: Axes,
    },
    /// (x): Σ (x − mean)² / (n − correction) over the axes, which disappear.
    Variance {
        /// The axes reduced, ascending.
        axes: Axes,
        /// 0 for the population's variance, 1 for Bessel's correction.
        correction: usize,
    },
    /// (x `[.., in]`, weight `[out, in]`, bias `[out]` if any): x · weightᵀ + bias.
    Linear {
        /// Whether there is a bias operand.
        bias: bool,
    },
    /// (logits `[.., C]`, labels `[..]` of an index dtype, class weights `[C]` if weighted): −weight · log softmax(logits)[label].
    CrossEntropy {
        /// Over the examples.
        reduction: Reduction,
        /// Whether there is a class-weight operand.
        weighted: bool,
    },
    /// (probabilities `[.., C]`, labels, class weights if weighted): −weight · log probability[label].
    NegativeLogLikelihood {
        /// Over the examples.
        reduction: Reduction,
        /// Whether there is a class-weight operand.
        weighted: bool,
        /// True if the first operand holds log-probabilities, false if probabilities.
        log: bool,
    },
    /// (prediction, target): (prediction − target)².
    Mse {
        /// Over all elements.
        reduction: Reduction,
    },
    /// (key `u32[2]`): uniform numbers in [0, 1): as many random bits, scaled, as the dtype's significand holds exactly
    /// (bf16 8, f16 11, f32 24, f64 53).
    Uniform {
        /// A float dtype.
        dtype: DType,
        /// The result's shape.
        shape: Shape,
    },
    /// (key `u32[2]`): standard normal numbers √2 · erfinv(2u − 1), u uniform in the open interval (0, 1).
    Normal {
        /// A float dtype.
        dtype: DType,
        /// The result's shape.
        shape: Shape,
    },
    /// (x, key `u32[2]`): x / (1 − rate) with probability 1 − rate, else 0, elementwise.
    Dropout {
        /// The probability of dropping, in [0, 1).
        rate: F64,
    },
    /// (x, weight, bias if any): (x − mean) / √(variance + eps) · weight + bias over the last axes, whose shape weight and
    /// bias have; the variance is the population's. (Ba et al., "Layer normalization", 2016.)
    LayerNorm {
        /// How many trailing axes are normalised together.
        normalized: usize,
        /// Added to the variance.
        eps: F64,
        /// Whether there is a weight operand.
        weight: bool,
        /// Whether there is a bias operand, the last.
        bias: bool,
    },
    /// (x, g): the cotangent of the operand of a `layer_norm` without weight and bias whose cotangent is g.
    LayerNormGrad {
        /// As in `LayerNorm`.
        normalized: usize,
        /// As in `LayerNorm`.
        eps: F64,
    },
    /// (x, weight if any): x / √(mean x² + eps) · weight over the last axes. (Zhang and Sennrich, NeurIPS 2019.)
    RmsNorm {
        /// How many trailing axes are normalised together.
        normalized: usize,
        /// Added to the mean square.
        eps: F64,
        /// Whether there is a weight operand.
        weight: bool,
    },
    /// (q `[.., queries, d]`, k `[.., keys, d]`, v `[.., keys, values]`, mask `[.., queries, keys]` if any):
    /// softmax(scale · q·kᵀ) · v, `[.., queries, values]`.
    ///
    /// Leading axes agree, but the last of them (the heads) may be a multiple in q and the mask: consecutive query heads
    /// then share a head of k and v. A bool mask is true where a query sees a key; one of q's dtype is added to the scores.
    /// A query that sees no key has the result 0.
    Attention {
        /// Whether query i sees keys 0 to i only.
        causal: bool,
        /// Whether there is a mask operand.
        mask: bool,
        /// What the products of queries and keys are multiplied by; usually 1/√D.
        scale: F64,
    },
    /// (q, k, v, mask if any, result, g): the cotangents of q, k and v of an `attention` whose result's cotangent is g.
    AttentionGrad {
        /// As in `Attention`.
        causal: bool,
        /// As in `Attention`.
        mask: bool,
        /// As in `Attention`.
        scale: F64,
    },
    /// (ids `[..]` of an index dtype, table `[V, ..]`): the rows of the table that the ids name, `[.., ..]`. An id out of
    /// bounds reads the nearest row, as in [`Gather`](super::Gather).
    Embedding,
}

/// A composite without its attributes: what a backend's `Target` lists as claimed.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // as in `Composite`
pub enum CompositeKind {
    Relu,
    ReluGrad,
    LeakyRelu,
    Gelu,
    GeluTanh,
    Silu,
    Sigmoid,
    Softplus,
    Softmax,
    LogSoftmax,
    LogSumExp,
    Mean,
    Variance,
    Linear,
    CrossEntropy,
    NegativeLogLikelihood,
    Mse,
    Uniform,
    Normal,
    Dropout,
    LayerNorm,
    LayerNormGrad,
    RmsNorm,
    Attention,
    AttentionGrad,
    Embedding,
}

impl Composite {
    /// Which composite this is.
    pub fn kind(&self) -> CompositeKind {
        use CompositeKind as K;
        match self {
            Composite::Relu => K::Relu,
            Composite::ReluGrad => K::ReluGrad,
            Composite::LeakyRelu { .. } => K::LeakyRelu,
            Composite::Gelu => K::Gelu,
            Composite::GeluTanh => K::GeluTanh,
            Composite::Silu => K::Silu,
            Composite::Sigmoid => K::Sigmoid,
            Composite::Softplus => K::Softplus,
            Composite::Softmax { .. } => K::Softmax,
            Composite::LogSoftmax { .. } => K::LogSoftmax,
            Composite::LogSumExp { .. } => K::LogSumExp,
            Composite::Mean { .. } => K::Mean,
            Composite::Variance { .. } => K::Variance,
            Composite::Linear { .. } => K::Linear,
            Composite::CrossEntropy { .. } => K::CrossEntropy,
            Composite::NegativeLogLikelihood { .. } => K::NegativeLogLikelihood,
            Composite::Mse { .. } => K::Mse,
            Composite::Uniform { .. } => K::Uniform,
            Composite::Normal { .. } => K::Normal,
            Composite::Dropout { .. } => K::Dropout,
            Composite::LayerNorm { .. } => K::LayerNorm,
            Composite::LayerNormGrad { .. } => K::LayerNormGrad,
            Composite::RmsNorm { .. } => K::RmsNorm,
            Composite::Attention { .. } => K::Attention,
            Composite::AttentionGrad { .. } => K::AttentionGrad,
            Composite::Embedding => K::Embedding,
        }
    }
}

impl CompositeKind {
    /// Every composite.
    pub const ALL: [CompositeKind; 26] = {
        use CompositeKind::*;
        [
            Relu,
            ReluGrad,
            LeakyRelu,
            Gelu,
            GeluTanh,
            Silu,
            Sigmoid,
            Softplus,
            Softmax,
            LogSoftmax,
            LogSumExp,
            Mean,
            Variance,
            Linear,
            CrossEntropy,
            NegativeLogLikelihood,
            Mse,
            Uniform,
            Normal,
            Dropout,
            LayerNorm,
            LayerNormGrad,
            RmsNorm,
            Attention,
            AttentionGrad,
            Embedding,
        ]
    };

    /// The op's name in the text form.
    pub const fn name(self) -> &'static str {
        match self {
            CompositeKind::Relu => "relu",
            CompositeKind::ReluGrad => "relu_grad",
            CompositeKind::LeakyRelu => "leaky_relu",
            CompositeKind::Gelu => "gelu",
            CompositeKind::GeluTanh => "gelu_tanh",
            CompositeKind::Silu => "silu",
            CompositeKind::Sigmoid => "sigmoid",
            CompositeKind::Softplus => "softplus",
            CompositeKind::Softmax => "softmax",
            CompositeKind::LogSoftmax => "log_softmax",
            CompositeKind::LogSumExp => "logsumexp",
            CompositeKind::Mean => "mean",
            CompositeKind::Variance => "variance",
            CompositeKind::Linear => "linear",
            CompositeKind::CrossEntropy => "cross_entropy",
            CompositeKind::NegativeLogLikelihood => "negative_log_likelihood",
            CompositeKind::Mse => "mse",
            CompositeKind::Uniform => "uniform",
            CompositeKind::Normal => "normal",
            CompositeKind::Dropout => "dropout",
            CompositeKind::LayerNorm => "layer_norm",
            CompositeKind::LayerNormGrad => "layer_norm_grad",
            CompositeKind::RmsNorm => "rms_norm",
            CompositeKind::Attention => "attention",
            CompositeKind::AttentionGrad => "attention_grad",
            CompositeKind::Embedding => "embedding",
        }
    }
}

impl Family for Composite {
    fn name(&self) -> &'static str {
        self.kind().name()
    }

    fn attrs(&self) -> Attrs {
        let none = Attrs::none();
        match self {
            Composite::Relu
            | Composite::ReluGrad
            | Composite::Gelu
            | Composite::GeluTanh
            | Composite::Silu
            | Composite::Sigmoid
            | Composite::Softplus
            | Composite::Embedding => none,
            Composite::LeakyRelu { slope } => none.with("slope", *slope),
            Composite::Softmax { axis } | Composite::LogSoftmax { axis } => none.with("axis", *axis),
            Composite::LogSumExp { axes } | Composite::Mean { axes } => none.with("axes", axes),
            Composite::Variance { axes, correction } => {
                none.with("axes", axes).with("correction", *correction)
            }
            Composite::Linear { bias } => none.with("bias", *bias),
            Composite::CrossEntropy { reduction, weighted } => {
                none.with("reduction", reduction.name()).with("weighted", *weighted)
            }
            Composite::NegativeLogLikelihood { reduction, weighted, log } => {
                none.with("reduction", reduction.name()).with("weighted", *weighted).with("log", *log)
            }
            Composite::Mse { reduction } => none.with("reduction", reduction.name()),
            Composite::Uniform { dtype, shape } | Composite::Normal { dtype, shape } => {
                none.with("dtype", *dtype).with("shape", shape)
            }
            Composite::Dropout { rate } => none.with("rate", *rate),
            Composite::LayerNorm { normalized, eps, weight, bias } => {
                let sizes = none.with("normalized", *normalized).with("eps", *eps);
                sizes.with("weight", *weight).with("bias", *bias)
            }
            Composite::LayerNormGrad { normalized, eps } => {
                none.with("normalized", *normalized).with("eps", *eps)
            }
            Composite::RmsNorm { normalized, eps, weight } => {
                none.with("normalized", *normalized).with("eps", *eps).with("weight", *weight)
            }
            Composite::Attention { causal, mask, scale }
            | Composite::AttentionGrad { causal, mask, scale } => {
                none.with("causal", *causal).with("mask", *mask).with("scale", *scale)
            }
        }
    }

    fn parse(name: &str, attrs: &mut Attrs) -> Option<Result<Self, AttrError>> {
        let kind = CompositeKind::ALL.into_iter().find(|k| k.name() == name)?;
        Some(read(kind, attrs))
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        infer::infer(self, cx)
    }

    fn map_dims(&self, f: &dyn Fn(&Dim) -> Dim) -> Self {
        match self {
            Composite::Uniform { dtype, shape } => Composite::Uniform { dtype: *dtype, shape: shape.map(f) },
            Composite::Normal { dtype, shape } => Composite::Normal { dtype: *dtype, shape: shape.map(f) },
            other => other.clone(),
        }
    }

    fn eval(&self, cx: &EvalCx<'_>) -> Result<Vec<HostTensor>, EvalError> {
        rules::eval(self, cx)
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        rules::vjp(self, cx)
    }

    fn jvp(&self, cx: &mut JvpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        rules::jvp(self, cx)
    }

    fn batch(&self, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
        rules::batch(self, cx)
    }

    fn samples() -> Vec<Sample> {
        samples::samples()
    }
}

fn read(kind: CompositeKind, attrs: &mut Attrs) -> Result<Composite, AttrError> {
    use CompositeKind as K;
    let reduction = |attrs: &mut Attrs| {
        Reduction::from_name(&attrs.word("reduction")?)
            .ok_or(AttrError::Kind { name: "reduction".into(), expected: "none, mean or sum" })
    };
    Ok(match kind {
        K::Relu => Composite::Relu,
        K::ReluGrad => Composite::ReluGrad,
        K::LeakyRelu => Composite::LeakyRelu { slope: attrs.float("slope")? },
        K::Gelu => Composite::Gelu,
        K::GeluTanh => Composite::GeluTanh,
        K::Silu => Composite::Silu,
        K::Sigmoid => Composite::Sigmoid,
        K::Softplus => Composite::Softplus,
        K::Softmax => Composite::Softmax { axis: attrs.int("axis")? },
        K::LogSoftmax => Composite::LogSoftmax { axis: attrs.int("axis")? },
        K::LogSumExp => Composite::LogSumExp { axes: attrs.ints("axes")? },
        K::Mean => Composite::Mean { axes: attrs.ints("axes")? },
        K::Variance => {
            Composite::Variance { axes: attrs.ints("axes")?, correction: attrs.int("correction")? }
        }
        K::Linear => Composite::Linear { bias: attrs.bool("bias")? },
        K::CrossEntropy => {
            Composite::CrossEntropy { reduction: reduction(attrs)?, weighted: attrs.bool("weighted")? }
        }
        K::NegativeLogLikelihood => Composite::NegativeLogLikelihood {
            reduction: reduction(attrs)?,
            weighted: attrs.bool("weighted")?,
            log: attrs.bool("log")?,
        },
        K::Mse => Composite::Mse { reduction: reduction(attrs)? },
        K::Uniform => Composite::Uniform { dtype: attrs.dtype("dtype")?, shape: attrs.shape("shape")? },
        K::Normal => Composite::Normal { dtype: attrs.dtype("dtype")?, shape: attrs.shape("shape")? },
        K::Dropout => Composite::Dropout { rate: attrs.float("rate")? },
        K::LayerNorm => Composite::LayerNorm {
            normalized: attrs.int("normalized")?,
            eps: attrs.float("eps")?,
            weight: attrs.bool("weight")?,
            bias: attrs.bool("bias")?,
        },
        K::LayerNormGrad => {
            Composite::LayerNormGrad { normalized: attrs.int("normalized")?, eps: attrs.float("eps")? }
        }
        K::RmsNorm => Composite::RmsNorm {
            normalized: attrs.int("normalized")?,
            eps: attrs.float("eps")?,
            weight: attrs.bool("weight")?,
        },
        K::Attention => Composite::Attention {
            causal: attrs.bool("causal")?,
            mask: attrs.bool("mask")?,
            scale: attrs.float("scale")?,
        },
        K::AttentionGrad => Composite::AttentionGrad {
            causal: attrs.bool("causal")?,
            mask: attrs.bool("mask")?,
            scale: attrs.float("scale")?,
        },
        K::Embedding => Composite::Embedding,
    })
}
