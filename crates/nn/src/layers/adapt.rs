//! Blocks that change the form of values or of other blocks, and compute nothing.

use crate::{Block, Model, ModelError, Scope};
use wootz_ir::{Attrs, DType, Dim, Shape, Value};

/// `x` → `output`, unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity;

/// Gives its input.
pub fn identity() -> Model {
    Identity.into()
}

impl Block for Identity {
    fn kind(&self) -> &str {
        "Identity"
    }

    fn call(&self, _scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>, ModelError> {
        Ok(inputs.to_vec())
    }

    fn config(&self) -> Option<Attrs> {
        Some(Attrs::none())
    }
}

/// Makes the axes from `start` to `end` (included) one; negative axes count from the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flatten {
    /// The first axis.
    pub start: isize,
    /// The last axis.
    pub end: isize,
}

/// Flattens every axis but the first, as PyTorch's `Flatten()`: `x [B, ..]` → `output [B, n]`.
pub fn flatten() -> Model {
    Flatten { start: 1, end: -1 }.into()
}

impl Block for Flatten {
    fn kind(&self) -> &str {
        "Flatten"
    }

    fn call(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>, ModelError> {
        let x = inputs[0];
        let (start, end) = (scope.axis(self.kind(), x, self.start)?, scope.axis(self.kind(), x, self.end)?);
        if start > end {
            return Err(scope.config_error(self.kind(), format!("axis {start} comes after axis {end}")));
        }
        let shape = scope.ty(x).shape;
        let merged = shape[start..=end].iter().fold(Dim::Const(1), |n, d| &n * d);
        let flat: Shape = shape[..start].iter().chain([&merged]).chain(&shape[end + 1..]).collect();
        Ok(vec![scope.b.reshape(x, flat)?])
    }

    fn config(&self) -> Option<Attrs> {
        let axes = [self.start as i64, self.end as i64];
        Some(Attrs::none().with("dims", &axes[..]))
    }
}

/// A model whose parameters have another dtype.
#[derive(Clone, Debug)]
pub(crate) struct WithDType {
    pub(crate) dtype: DType,
    pub(crate) model: Model,
}

impl Block for WithDType {
    fn kind(&self) -> &str {
        self.model.kind()
    }

    fn inputs(&self) -> Vec<String> {
        self.model.inputs()
    }

    fn outputs(&self) -> Vec<String> {
        self.model.outputs()
    }

    fn call(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>, ModelError> {
        scope.with_param_dtype(self.dtype, |scope| self.model.call(scope, inputs))
    }

    fn config(&self) -> Option<Attrs> {
        Some(Attrs::none().with("dtype", self.dtype))
    }
}
