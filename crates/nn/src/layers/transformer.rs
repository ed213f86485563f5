//! Transformer layers: attention and a feed-forward network, each with a residual connection and a normalisation.

use crate::layers::activation::Activation;
use crate::{Block, Dropout, LayerNorm, Linear, Model, ModelError, MultiheadAttention, Scope};
use wootz_ir::{Attrs, F64, Value};

/// `x [.., S, width]` → `output [.., S, width]`: self-attention, then a feed-forward network of two linear layers. With
/// `causal` it is the layer of decoder-only models.
///
/// Parameters as PyTorch's `TransformerEncoderLayer`: `self_attn.in_proj_weight`, …, `linear1.weight`, `linear2.weight`,
/// `norm1.weight`, `norm2.weight` and the biases. The defaults are PyTorch's, but the axis of positions is the last but one.
#[derive(Clone, Debug, PartialEq)]
pub struct TransformerEncoderLayer {
    /// Size of the vectors; a multiple of `heads`.
    pub width: usize,
    /// Number of heads.
    pub heads: usize,
    /// Features between the two linear layers.
    pub feedforward: usize,
    /// The probability of dropping after attention, inside it and in the feed-forward network, in training.
    pub dropout: f64,
    /// Between the two linear layers.
    pub activation: Activation,
    /// Added to variances.
    pub eps: f64,
    /// Whether each part is given its normalised input, and not the normalisation its result.
    pub norm_first: bool,
    /// Whether linear layers and normalisations have biases.
    pub bias: bool,
    /// Whether position i sees positions 0 to i only.
    pub causal: bool,
}

impl TransformerEncoderLayer {
    /// A layer with PyTorch's defaults: 2048 features between, dropout 0.1, ReLU, normalisation after each part.
    pub fn new(width: usize, heads: usize) -> TransformerEncoderLayer {
        TransformerEncoderLayer {
            width,
            heads,
            feedforward: 2048,
            dropout: 0.1,
            activation: Activation::Relu,
            eps: 1e-5,
            norm_first: false,
            bias: true,
            causal: false,
        }
    }

    pub(crate) fn norm(&self) -> LayerNorm {
        LayerNorm { eps: self.eps, bias: self.bias, ..LayerNorm::new(self.width) }
    }

    fn drop(&self, scope: &mut Scope, name: &str, x: Value) -> Result<Value, ModelError> {
        match self.dropout {
            0.0 => Ok(x),
            rate => scope.apply(name, Dropout { rate: F64(rate) }, x),
        }
    }

    fn attention(&self, scope: &mut Scope, x: Value) -> Result<Value, ModelError> {
        let attention = MultiheadAttention {
            dropout: self.dropout,
            bias: self.bias,
            causal: self.causal,
            ..MultiheadAttention::new(self.width, self.heads)
        };
        let x = scope.apply("self_attn", attention, x)?;
        self.drop(scope, "dropout1", x)
    }

    fn network(&self, scope: &mut Scope, x: Value) -> Result<Value, ModelError> {
        let linear = |inputs, outputs| Linear { bias: self.bias, ..Linear::new(inputs, outputs) };
        let x = scope.apply("linear1", linear(self.width, self.feedforward), x)?;
        let x = scope.apply("activation", self.activation.clone(), x)?;
        let x = self.drop(scope, "dropout", x)?;
        let x = scope.apply("linear2", linear(self.feedforward, self.width), x)?;
        self.drop(scope, "dropout2", x)
    }
}

/// A [`TransformerEncoderLayer`] with PyTorch's defaults.
pub fn transformer_encoder_layer(width: usize, heads: usize) -> Model {
    TransformerEncoderLayer::new(width, heads).into()
}

/// One of a layer's two residual branches.
type Part = fn(&TransformerEncoderLayer, &mut Scope, Value) -> Result<Value, ModelError>;

impl Block for TransformerEncoderLayer {
    fn kind(&self) -> &str {
        "TransformerEncoderLayer"
    }

    fn call(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>, ModelError> {
        let mut x = inputs[0];
        let parts: [(&str, Part); 2] = [("norm1", Self::attention), ("norm2", Self::network)];
        for (name, part) in parts {
            let given = if self.norm_first { scope.apply(name, self.norm(), x)? } else { x };
            let result = part(self, scope, given)?;
            x = scope.b.add(x, result)?;
            if !self.norm_first {
                x = scope.apply(name, self.norm(), x)?;
            }
        }
        Ok(vec![x])
    }

    fn config(&self) -> Option<Attrs> {
        let sizes = Attrs::none().with("d_model", self.width).with("nhead", self.heads);
        let sizes = sizes.with("dim_feedforward", self.feedforward).with("dropout", F64(self.dropout));
        let sizes = sizes.with("activation", self.activation.kind()).with("layer_norm_eps", F64(self.eps));
        let sizes = sizes.with("norm_first", self.norm_first).with("bias", self.bias);
        Some(sizes.with("causal", self.causal))
    }
}

/// Layers one after another, then a normalisation if there is one: `x [.., S, width]` → `output [.., S, width]`, with
/// parameters `layers.0.…`, `layers.1.…`, …, `norm.…` as PyTorch's `TransformerEncoder`.
#[derive(Clone, Debug)]
pub struct TransformerEncoder {
    /// The layers.
    pub layers: Vec<Model>,
    /// After the last layer.
    pub norm: Option<Model>,
}

impl TransformerEncoder {
    /// Equal layers with parameters of their own, and after them, if `norm`, a normalisation.
    pub fn new(layer: &TransformerEncoderLayer, count: usize, norm: bool) -> TransformerEncoder {
        let norm = norm.then(|| layer.norm().into());
        TransformerEncoder { layers: (0..count).map(|_| layer.clone().into()).collect(), norm }
    }
}

impl Block for TransformerEncoder {
    fn kind(&self) -> &str {
        "TransformerEncoder"
    }

    fn call(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>, ModelError> {
        let mut x = inputs[0];
        for (i, layer) in self.layers.iter().enumerate() {
            x = scope.apply(&format!("layers.{i}"), layer, x)?;
        }
        if let Some(norm) = &self.norm {
            x = scope.apply("norm", norm, x)?;
        }
        Ok(vec![x])
    }

    fn config(&self) -> Option<Attrs> {
        Some(Attrs::none())
    }
}
