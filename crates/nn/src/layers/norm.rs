//! Normalisation over the last axes.

use crate::{Block, Init, Model, ModelError, Scope};
use wootz_ir::ops::Composite;
use wootz_ir::{Attrs, DType, F64, Value};

/// `x [.., sizes]` → `output`: (x − mean) / √(variance + eps) · weight + bias over the last axes, with parameters `weight`
/// and `bias` of these sizes. Mean and variance are those of each position alone, in training as in inference.
///
/// Ba, Kiros and Hinton, "Layer normalization", 2016.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNorm {
    /// Sizes of the axes normalised together, the last ones of the input.
    pub sizes: Vec<usize>,
    /// Added to the variance.
    pub eps: f64,
    /// Whether the result is multiplied by a weight.
    pub weight: bool,
    /// Whether a bias is added.
    pub bias: bool,
}

impl LayerNorm {
    /// Over one last axis, with weight and bias and PyTorch's `eps` of 1e-5.
    pub fn new(size: usize) -> LayerNorm {
        LayerNorm { sizes: vec![size], eps: 1e-5, weight: true, bias: true }
    }
}

/// A [`LayerNorm`] over the last axis with PyTorch's defaults.
pub fn layer_norm(size: usize) -> Model {
    LayerNorm::new(size).into()
}

impl Block for LayerNorm {
    fn kind(&self) -> &str {
        "LayerNorm"
    }

    fn call(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>, ModelError> {
        let weight = self.weight.then(|| scope.param("weight", &self.sizes[..], Init::Ones)).transpose()?;
        let bias = self.bias.then(|| scope.param("bias", &self.sizes[..], Init::Zeros)).transpose()?;
        let op = Composite::LayerNorm {
            normalized: self.sizes.len(),
            eps: F64(self.eps),
            weight: self.weight,
            bias: self.bias,
        };
        let operands: Vec<Value> = [Some(inputs[0]), weight, bias].into_iter().flatten().collect();
        Ok(vec![scope.b.push(op, &operands)?])
    }

    fn config(&self) -> Option<Attrs> {
        let sizes = Attrs::none().with("normalized_shape", &self.sizes[..]).with("eps", F64(self.eps));
        Some(sizes.with("elementwise_affine", self.weight).with("bias", self.bias))
    }
}

/// `x [.., sizes]` → `output`: x / √(mean x² + eps) · weight over the last axes, with the parameter `weight` of these sizes.
///
/// Zhang and Sennrich, "Root mean square layer normalization", NeurIPS 2019.
#[derive(Clone, Debug, PartialEq)]
pub struct RmsNorm {
    /// Sizes of the axes normalised together, the last ones of the input.
    pub sizes: Vec<usize>,
    /// Added to the mean square; `None`: the distance from 1 to the next number of the input's dtype.
    pub eps: Option<f64>,
    /// Whether the result is multiplied by a weight.
    pub weight: bool,
}

/// An [`RmsNorm`] over the last axis with PyTorch's defaults.
pub fn rms_norm(size: usize) -> Model {
    RmsNorm { sizes: vec![size], eps: None, weight: true }.into()
}

impl Block for RmsNorm {
    fn kind(&self) -> &str {
        "RMSNorm"
    }

    fn call(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>, ModelError> {
        let weight = self.weight.then(|| scope.param("weight", &self.sizes[..], Init::Ones)).transpose()?;
        let eps = self.eps.unwrap_or_else(|| epsilon(scope.ty(inputs[0]).dtype));
        let op = Composite::RmsNorm { normalized: self.sizes.len(), eps: F64(eps), weight: self.weight };
        let operands: Vec<Value> = [Some(inputs[0]), weight].into_iter().flatten().collect();
        Ok(vec![scope.b.push(op, &operands)?])
    }

    fn config(&self) -> Option<Attrs> {
        let sizes = Attrs::none().with("normalized_shape", &self.sizes[..]);
        let sizes = self.eps.map_or(sizes.clone(), |eps| sizes.with("eps", F64(eps)));
        Some(sizes.with("elementwise_affine", self.weight))
    }
}

/// The distance from 1 to the next number.
fn epsilon(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 2f64.powi(-10),
        DType::BF16 => 2f64.powi(-7),
        DType::F64 => f64::EPSILON,
        _ => f64::from(f32::EPSILON),
    }
}
