//! Optimizers, as data. Formulas and defaults are PyTorch's.

mod adam;
mod sgd;

pub use adam::{Adam, WeightDecay, adam, adamw};
pub use sgd::{Sgd, sgd};

use wootz_ir::{Attrs, Builder, DType, TypeError, Value};

/// How parameters are changed by their gradients.
#[derive(Clone, Debug, PartialEq)]
pub enum Optimizer {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Adam and AdamW.
    Adam(Adam),
}

/// Where the learning rate comes from.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum LearningRate {
    /// A constant of the program.
    Constant(f64),
    /// The state `lr`, a scalar with this first value, which may be set between steps.
    State(f64),
    /// The input `lr`, a scalar given at every step.
    Input,
}

impl From<f64> for LearningRate {
    fn from(lr: f64) -> LearningRate {
        LearningRate::Constant(lr)
    }
}

impl Optimizer {
    /// The learning rate.
    pub fn lr(&self) -> LearningRate {
        match self {
            Optimizer::Sgd(sgd) => sgd.lr,
            Optimizer::Adam(adam) => adam.lr,
        }
    }

    /// The optimizer's configuration as data.
    pub fn config(&self) -> Attrs {
        let config = match self {
            Optimizer::Sgd(sgd) => sgd.config(),
            Optimizer::Adam(adam) => adam.config(),
        };
        match self.lr() {
            LearningRate::Constant(lr) => config.with("lr", wootz_ir::F64(lr)),
            LearningRate::State(lr) => config.with("lr", "state").with("initial_lr", wootz_ir::F64(lr)),
            LearningRate::Input => config.with("lr", "input"),
        }
    }

    /// The names of the states kept for each parameter, each of the parameter's type and zero at first.
    pub(crate) fn states(&self) -> &'static [&'static str] {
        match self {
            Optimizer::Sgd(sgd) => sgd.states(),
            Optimizer::Adam(adam) => adam.states(),
        }
    }

    /// The scalars that the updates of all parameters of one dtype share. `step` (i64) counts the steps before this one.
    pub(crate) fn scalars(
        &self,
        b: &mut Builder,
        lr: Value,
        step: Value,
        dtype: DType,
    ) -> Result<Scalars, TypeError> {
        match self {
            Optimizer::Sgd(sgd) => sgd.scalars(b, lr, step, dtype),
            Optimizer::Adam(adam) => adam.scalars(b, lr, step, dtype),
        }
    }

    /// A parameter and its states after a step; elementwise in all of them.
    pub(crate) fn update(
        &self,
        b: &mut Builder,
        scalars: &Scalars,
        param: Value,
        gradient: Value,
        states: &[Value],
    ) -> Result<(Value, Vec<Value>), TypeError> {
        match self {
            Optimizer::Sgd(sgd) => sgd.update(b, scalars, param, gradient, states),
            Optimizer::Adam(adam) => adam.update(b, scalars, param, gradient, states),
        }
    }
}

/// Scalars of a step, of the parameters' dtype.
#[derive(Clone, Debug)]
pub(crate) struct Scalars {
    /// The learning rate.
    pub(crate) lr: Value,
    /// What else the rule needs.
    pub(crate) rest: Vec<Value>,
}

/// x + c · y.
fn add_scaled(b: &mut Builder, x: Value, c: f64, y: Value) -> Result<Value, TypeError> {
    let scaled = b.mul_scalar(y, c)?;
    b.add(x, scaled)
}
