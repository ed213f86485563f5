//! The fully connected layer.

use crate::{Block, Init, Model, ModelError, Scope};
use wootz_ir::ops::Composite;
use wootz_ir::{Attrs, Value};

/// `x [.., in]` → `output [.., out]` = x · weightᵀ + bias, with parameters `weight [out, in]` and `bias [out]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// Features of the input.
    pub inputs: usize,
    /// Features of the output.
    pub outputs: usize,
    /// Whether a bias is added.
    pub bias: bool,
    /// How `weight` is initialised.
    pub weight_init: Init,
    /// How `bias` is initialised.
    pub bias_init: Init,
}

impl Linear {
    /// A layer with a bias, initialised as PyTorch does: both from U(−1/√in, 1/√in).
    pub fn new(inputs: usize, outputs: usize) -> Linear {
        let bound = if inputs == 0 { 0.0 } else { 1.0 / (inputs as f64).sqrt() };
        let init = Init::Uniform { low: -bound, high: bound };
        Linear { inputs, outputs, bias: true, weight_init: init.clone(), bias_init: init }
    }

    /// The same layer without a bias.
    #[must_use]
    pub fn without_bias(self) -> Linear {
        Linear { bias: false, ..self }
    }
}

/// A [`Linear`] layer with a bias and PyTorch's initialisation.
pub fn linear(inputs: usize, outputs: usize) -> Model {
    Linear::new(inputs, outputs).into()
}

impl Block for Linear {
    fn kind(&self) -> &str {
        "Linear"
    }

    fn call(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>, ModelError> {
        let weight = scope.param("weight", [self.outputs, self.inputs], self.weight_init.clone())?;
        let mut operands = vec![inputs[0], weight];
        if self.bias {
            operands.push(scope.param("bias", [self.outputs], self.bias_init.clone())?);
        }
        Ok(vec![scope.b.push(Composite::Linear { bias: self.bias }, &operands)?])
    }

    fn config(&self) -> Option<Attrs> {
        let sizes = Attrs::none().with("in_features", self.inputs).with("out_features", self.outputs);
        let sizes = sizes.with("bias", self.bias).with("weight_init", &*self.weight_init.to_string());
        Some(sizes.with("bias_init", &*self.bias_init.to_string()))
    }
}
