//! Losses and metrics: blocks of a model's outputs and a target.

use crate::{Block, Model, ModelError, Scope};
use wootz_ir::ops::Composite;
use wootz_ir::ops::composite::Reduction;
use wootz_ir::{Attrs, DType, HostTensor, Shape, Value};

/// `output` (scores `[.., C]`) and `y` (labels `[..]`: i64, i32 or u32 in 0..C) → `loss`: −weight · log probability of the label.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassLoss {
    /// What the scores are.
    pub scores: Scores,
    /// Over the examples.
    pub reduction: Reduction,
    /// One weight a class; a mean is then divided by the sum of the weights of the labels.
    pub class_weights: Option<Vec<f64>>,
}

/// What a class loss is given for each class.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scores {
    /// Unnormalised log-probabilities: PyTorch's `cross_entropy`.
    Logits,
    /// Log-probabilities: PyTorch's `nll_loss`.
    LogProbabilities,
    /// Probabilities.
    Probabilities,
}

impl ClassLoss {
    /// The mean loss over unweighted classes.
    pub fn new(scores: Scores) -> ClassLoss {
        ClassLoss { scores, reduction: Reduction::Mean, class_weights: None }
    }

    /// The same loss reduced otherwise.
    #[must_use]
    pub fn reduction(self, reduction: Reduction) -> ClassLoss {
        ClassLoss { reduction, ..self }
    }

    /// The same loss with one weight a class.
    #[must_use]
    pub fn class_weights(self, weights: &[f64]) -> ClassLoss {
        ClassLoss { class_weights: Some(weights.to_vec()), ..self }
    }
}

/// The mean cross-entropy of logits and labels.
pub fn cross_entropy() -> ClassLoss {
    ClassLoss::new(Scores::Logits)
}

/// The mean negative log-likelihood of log-probabilities and labels.
pub fn nll() -> ClassLoss {
    ClassLoss::new(Scores::LogProbabilities)
}

impl Block for ClassLoss {
    fn kind(&self) -> &str {
        if self.scores == Scores::Logits { "CrossEntropyLoss" } else { "NLLLoss" }
    }

    fn inputs(&self) -> Vec<String> {
        vec!["output".to_owned(), "y".to_owned()]
    }

    fn outputs(&self) -> Vec<String> {
        vec!["loss".to_owned()]
    }

    fn call(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>, ModelError> {
        let mut operands = inputs.to_vec();
        if let Some(weights) = &self.class_weights {
            let dtype = scope.ty(inputs[0]).dtype;
            operands.push(scope.b.constant(HostTensor::from_f64(dtype, &[weights.len()], weights)));
        }
        let (reduction, weighted) = (self.reduction, self.class_weights.is_some());
        let loss = match self.scores {
            Scores::Logits => Composite::CrossEntropy { reduction, weighted },
            Scores::LogProbabilities => Composite::NegativeLogLikelihood { reduction, weighted, log: true },
            Scores::Probabilities => Composite::NegativeLogLikelihood { reduction, weighted, log: false },
        };
        Ok(vec![scope.b.push(loss, &operands)?])
    }

    fn config(&self) -> Option<Attrs> {
        let scores = match self.scores {
            Scores::Logits => "logits",
            Scores::LogProbabilities => "log_probabilities",
            Scores::Probabilities => "probabilities",
        };
        let config = Attrs::none().with("scores", scores).with("reduction", self.reduction.name());
        Some(match &self.class_weights {
            Some(weights) => {
                config.with("class_weights", &HostTensor::from_f64(DType::F64, &[weights.len()], weights))
            }
            None => config,
        })
    }
}

/// `output` and `y` of one type → `loss`: (output − y)².
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MseLoss {
    /// Over all elements.
    pub reduction: Reduction,
}

/// The mean squared error.
pub fn mse() -> MseLoss {
    MseLoss { reduction: Reduction::Mean }
}

impl Block for MseLoss {
    fn kind(&self) -> &str {
        "MSELoss"
    }

    fn inputs(&self) -> Vec<String> {
        vec!["output".to_owned(), "y".to_owned()]
    }

    fn outputs(&self) -> Vec<String> {
        vec!["loss".to_owned()]
    }

    fn call(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>, ModelError> {
        Ok(vec![scope.b.push(Composite::Mse { reduction: self.reduction }, inputs)?])
    }

    fn config(&self) -> Option<Attrs> {
        Some(Attrs::none().with("reduction", self.reduction.name()))
    }
}

/// `output` (scores `[.., C]`) and `y` (labels `[..]`) → `accuracy`: the f32 share of examples whose highest score is the label's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accuracy;

/// The share of examples whose highest score is the label's.
pub fn accuracy() -> Model {
    Accuracy.into()
}

impl Block for Accuracy {
    fn kind(&self) -> &str {
        "Accuracy"
    }

    fn inputs(&self) -> Vec<String> {
        vec!["output".to_owned(), "y".to_owned()]
    }

    fn outputs(&self) -> Vec<String> {
        vec!["accuracy".to_owned()]
    }

    fn call(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>, ModelError> {
        let classes = scope.axis(self.kind(), inputs[0], -1)?;
        let predicted = scope.b.argmax(inputs[0], classes)?;
        let labels = scope.b.cast(inputs[1], DType::I64)?;
        let expected: Shape = scope.ty(predicted).shape;
        if scope.ty(labels).rank() != expected.rank() {
            let got = scope.ty(inputs[1]);
            return Err(
                scope.config_error(self.kind(), format!("labels must be of shape {expected}, got {got}"))
            );
        }
        let right = scope.b.eq(predicted, labels)?;
        let right = scope.b.cast(right, DType::F32)?;
        let axes = (0..classes).collect();
        Ok(vec![scope.b.push(Composite::Mean { axes }, &[right])?])
    }

    fn config(&self) -> Option<Attrs> {
        Some(Attrs::none())
    }
}
