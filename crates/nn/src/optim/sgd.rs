//! Stochastic gradient descent.

use super::{LearningRate, Optimizer, Scalars, add_scaled};
use wootz_ir::{Attrs, Builder, DType, F64, TypeError, Value};

/// Stochastic gradient descent with momentum, as `torch.optim.SGD`:
///
/// ```text
/// g ← gradient + weight_decay · p
/// v ← momentum · v + (1 − dampening) · g      (v ← g in the first step)
/// p ← p − lr · v                              (nesterov: p − lr · (g + momentum · v))
/// ```
///
/// With momentum there is one state a parameter, `optimizer.momentum_buffer.<parameter>`.
/// Nesterov's momentum as in Sutskever et al., ICML 2013.
#[derive(Clone, Debug, PartialEq)]
pub struct Sgd {
    /// The learning rate.
    pub lr: LearningRate,
    /// The share of v kept from step to step.
    pub momentum: f64,
    /// The share of g left out of v.
    pub dampening: f64,
    /// Whether the step looks ahead along v.
    pub nesterov: bool,
    /// The coefficient of the L2 penalty.
    pub weight_decay: f64,
}

/// Plain stochastic gradient descent.
pub fn sgd(lr: impl Into<LearningRate>) -> Sgd {
    Sgd { lr: lr.into(), momentum: 0.0, dampening: 0.0, nesterov: false, weight_decay: 0.0 }
}

impl Sgd {
    /// Keeps this share of the last step's velocity.
    #[must_use]
    pub fn momentum(self, momentum: f64) -> Sgd {
        Sgd { momentum, ..self }
    }

    /// Leaves this share of the gradient out of the velocity.
    #[must_use]
    pub fn dampening(self, dampening: f64) -> Sgd {
        Sgd { dampening, ..self }
    }

    /// Whether to look ahead along the velocity.
    #[must_use]
    pub fn nesterov(self, nesterov: bool) -> Sgd {
        Sgd { nesterov, ..self }
    }

    /// Adds this multiple of the parameter to its gradient.
    #[must_use]
    pub fn weight_decay(self, weight_decay: f64) -> Sgd {
        Sgd { weight_decay, ..self }
    }

    pub(super) fn states(&self) -> &'static [&'static str] {
        if self.momentum == 0.0 { &[] } else { &["momentum_buffer"] }
    }

    pub(super) fn config(&self) -> Attrs {
        Attrs::none()
            .with("kind", "SGD")
            .with("momentum", F64(self.momentum))
            .with("dampening", F64(self.dampening))
            .with("nesterov", self.nesterov)
            .with("weight_decay", F64(self.weight_decay))
    }

    pub(super) fn scalars(
        &self,
        b: &mut Builder,
        lr: Value,
        step: Value,
        dtype: DType,
    ) -> Result<Scalars, TypeError> {
        let lr = b.cast(lr, dtype)?;
        if self.momentum == 0.0 || self.dampening == 0.0 {
            return Ok(Scalars { lr, rest: Vec::new() });
        }
        // The first velocity is the whole gradient.
        let zero = b.scalar_like(step, 0.0);
        let first = b.eq(step, zero)?;
        let (one, share) = (b.scalar(dtype, 1.0), b.scalar(dtype, 1.0 - self.dampening));
        Ok(Scalars { lr, rest: vec![b.select(first, one, share)?] })
    }

    pub(super) fn update(
        &self,
        b: &mut Builder,
        scalars: &Scalars,
        param: Value,
        gradient: Value,
        states: &[Value],
    ) -> Result<(Value, Vec<Value>), TypeError> {
        let mut direction = gradient;
        if self.weight_decay != 0.0 {
            direction = add_scaled(b, gradient, self.weight_decay, param)?;
        }
        let mut velocities = Vec::new();
        if let [velocity] = states {
            let share = match scalars.rest.first() {
                Some(share) => b.mul(direction, *share)?,
                None => direction,
            };
            let velocity = add_scaled(b, share, self.momentum, *velocity)?;
            direction =
                if self.nesterov { add_scaled(b, direction, self.momentum, velocity)? } else { velocity };
            velocities.push(velocity);
        }
        let step = b.mul(direction, scalars.lr)?;
        Ok((b.sub(param, step)?, velocities))
    }
}

impl From<Sgd> for Optimizer {
    fn from(sgd: Sgd) -> Optimizer {
        Optimizer::Sgd(sgd)
    }
}
