//! Dropout.

use crate::{Block, Mode, Model, ModelError, Scope};
use wootz_ir::ops::Composite;
use wootz_ir::{Attrs, F64, Value};

/// In training: each element of `x` divided by 1 − rate with probability 1 − rate, else 0. In inference: `x`.
///
/// Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15 (2014).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropout {
    /// The probability of dropping, in [0, 1).
    pub rate: F64,
}

/// Drops elements with this probability, in [0, 1), during training.
pub fn dropout(rate: f64) -> Model {
    Dropout { rate: F64(rate) }.into()
}

impl Block for Dropout {
    fn kind(&self) -> &str {
        "Dropout"
    }

    fn call(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>, ModelError> {
        let rate = self.rate.0;
        if !(0.0..1.0).contains(&rate) {
            return Err(scope.config_error(self.kind(), format!("rate must be in [0, 1), got {rate}")));
        }
        if scope.mode() == Mode::Inference || rate == 0.0 {
            return Ok(inputs.to_vec());
        }
        let key = scope.random_key()?;
        Ok(vec![scope.b.push(Composite::Dropout { rate: self.rate }, &[inputs[0], key])?])
    }

    fn config(&self) -> Option<Attrs> {
        Some(Attrs::none().with("p", self.rate))
    }
}
