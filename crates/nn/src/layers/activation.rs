//! Activations: functions without parameters.

use crate::{Block, Model, ModelError, Scope};
use wootz_ir::ops::{Composite, Unary};
use wootz_ir::{Attrs, F64, Op, Value};

/// An activation function: `x` → `output` of the same shape. Parameters and defaults as in PyTorch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // documented by the functions that make them
pub enum Activation {
    Relu,
    LeakyRelu { slope: F64 },
    Gelu,
    GeluTanh,
    Silu,
    Sigmoid,
    Softplus,
    Tanh,
    Softmax { axis: isize },
    LogSoftmax { axis: isize },
}

macro_rules! plain {
    ($($name:ident $variant:ident $doc:literal;)*) => { $(
        #[doc = $doc]
        pub fn $name() -> Model {
            Activation::$variant.into()
        }
    )* };
}

plain! {
    relu Relu "max(x, 0).";
    gelu Gelu "x · Φ(x), with Φ the normal distribution's cumulative function.";
    gelu_tanh GeluTanh "The tanh approximation of `gelu`.";
    silu Silu "x · sigmoid(x).";
    sigmoid Sigmoid "1 / (1 + e⁻ˣ).";
    softplus Softplus "log(1 + eˣ).";
    tanh Tanh "Hyperbolic tangent.";
}

/// x where x > 0, slope · x elsewhere (PyTorch's default slope is 0.01).
pub fn leaky_relu(slope: f64) -> Model {
    Activation::LeakyRelu { slope: F64(slope) }.into()
}

/// eˣ / Σ eˣ along an axis; negative axes count from the end.
pub fn softmax(axis: isize) -> Model {
    Activation::Softmax { axis }.into()
}

/// x − log Σ eˣ along an axis; negative axes count from the end.
pub fn log_softmax(axis: isize) -> Model {
    Activation::LogSoftmax { axis }.into()
}

impl Block for Activation {
    fn kind(&self) -> &str {
        match self {
            Activation::Relu => "ReLU",
            Activation::LeakyRelu { .. } => "LeakyReLU",
            Activation::Gelu | Activation::GeluTanh => "GELU",
            Activation::Silu => "SiLU",
            Activation::Sigmoid => "Sigmoid",
            Activation::Softplus => "Softplus",
            Activation::Tanh => "Tanh",
            Activation::Softmax { .. } => "Softmax",
            Activation::LogSoftmax { .. } => "LogSoftmax",
        }
    }

    fn call(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>, ModelError> {
        let x = inputs[0];
        let op: Op = match self {
            Activation::Relu => Composite::Relu.into(),
            Activation::LeakyRelu { slope } => Composite::LeakyRelu { slope: *slope }.into(),
            Activation::Gelu => Composite::Gelu.into(),
            Activation::GeluTanh => Composite::GeluTanh.into(),
            Activation::Silu => Composite::Silu.into(),
            Activation::Sigmoid => Composite::Sigmoid.into(),
            Activation::Softplus => Composite::Softplus.into(),
            Activation::Tanh => Unary::Tanh.into(),
            Activation::Softmax { axis } => {
                Composite::Softmax { axis: scope.axis(self.kind(), x, *axis)? }.into()
            }
            Activation::LogSoftmax { axis } => {
                Composite::LogSoftmax { axis: scope.axis(self.kind(), x, *axis)? }.into()
            }
        };
        Ok(vec![scope.b.push(op, &[x])?])
    }

    fn config(&self) -> Option<Attrs> {
        let none = Attrs::none();
        Some(match self {
            Activation::Relu
            | Activation::Silu
            | Activation::Sigmoid
            | Activation::Softplus
            | Activation::Tanh => none,
            Activation::LeakyRelu { slope } => none.with("negative_slope", *slope),
            Activation::Gelu => none.with("approximate", "none"),
            Activation::GeluTanh => none.with("approximate", "tanh"),
            Activation::Softmax { axis } | Activation::LogSoftmax { axis } => {
                none.with("dim", &[*axis as i64][..])
            }
        })
    }
}

impl Scope {
    /// An axis of `x` counted from the front; negative ones count from the end.
    pub fn axis(&self, kind: &str, x: Value, axis: isize) -> Result<usize, ModelError> {
        let ty = self.ty(x);
        let rank = ty.rank() as isize;
        let found = if axis < 0 { axis + rank } else { axis };
        if (0..rank).contains(&found) {
            return Ok(found as usize);
        }
        Err(self.config_error(kind, format!("axis {axis} is out of range for an input {ty}")))
    }
}
