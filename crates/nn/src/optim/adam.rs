//! Adam and AdamW.

use super::{LearningRate, Optimizer, Scalars, add_scaled};
use wootz_ir::{Attrs, Builder, DType, F64, TypeError, Value};

/// Adam and AdamW, as `torch.optim.Adam` and `torch.optim.AdamW`; in step t = 1, 2, …:
///
/// ```text
/// g ← gradient + weight_decay · p             (AdamW: p ← p · (1 − lr · weight_decay) instead)
/// m ← m + (1 − β₁) · (g − m)
/// v ← β₂ · v + (1 − β₂) · g²
/// p ← p − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps)
/// ```
///
/// States: `optimizer.exp_avg.<parameter>` (m) and `optimizer.exp_avg_sq.<parameter>` (v).
/// Kingma and Ba, ICLR 2015; Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019.
#[derive(Clone, Debug, PartialEq)]
pub struct Adam {
    /// The learning rate.
    pub lr: LearningRate,
    /// The decay rates of the two moments.
    pub betas: (f64, f64),
    /// Added to the denominator.
    pub eps: f64,
    /// The coefficient of the decay of parameters.
    pub weight_decay: f64,
    /// How parameters decay.
    pub decay: WeightDecay,
}

/// How parameters decay.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum WeightDecay {
    /// Through the gradient, as an L2 penalty: Adam.
    Coupled,
    /// Directly: AdamW.
    Decoupled,
}

/// Adam with β = (0.9, 0.999), eps = 1e-8 and no weight decay.
pub fn adam(lr: impl Into<LearningRate>) -> Adam {
    let (betas, decay) = ((0.9, 0.999), WeightDecay::Coupled);
    Adam { lr: lr.into(), betas, eps: 1e-8, weight_decay: 0.0, decay }
}

/// AdamW with β = (0.9, 0.999), eps = 1e-8 and weight decay 0.01.
pub fn adamw(lr: impl Into<LearningRate>) -> Adam {
    Adam { weight_decay: 0.01, decay: WeightDecay::Decoupled, ..adam(lr) }
}

impl Adam {
    /// The decay rates of the two moments.
    #[must_use]
    pub fn betas(self, beta1: f64, beta2: f64) -> Adam {
        Adam { betas: (beta1, beta2), ..self }
    }

    /// What is added to the denominator.
    #[must_use]
    pub fn eps(self, eps: f64) -> Adam {
        Adam { eps, ..self }
    }

    /// The coefficient of the decay of parameters.
    #[must_use]
    pub fn weight_decay(self, weight_decay: f64) -> Adam {
        Adam { weight_decay, ..self }
    }

    pub(super) fn states(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq"]
    }

    pub(super) fn config(&self) -> Attrs {
        Attrs::none()
            .with("kind", if self.decay == WeightDecay::Decoupled { "AdamW" } else { "Adam" })
            .with("beta1", F64(self.betas.0))
            .with("beta2", F64(self.betas.1))
            .with("eps", F64(self.eps))
            .with("weight_decay", F64(self.weight_decay))
    }

    /// Besides the learning rate: lr / (1 − β₁ᵗ), 1 / √(1 − β₂ᵗ), 1 − lr · weight_decay.
    pub(super) fn scalars(
        &self,
        b: &mut Builder,
        lr: Value,
        step: Value,
        dtype: DType,
    ) -> Result<Scalars, TypeError> {
        let compute = dtype.compute();
        let lr = b.cast(lr, compute)?;
        let step = b.add_scalar(step, 1.0)?;
        let t = b.cast(step, compute)?;
        let correction1 = one_minus_power(b, self.betas.0, t)?;
        let correction2 = one_minus_power(b, self.betas.1, t)?;
        let size = b.div(lr, correction1)?;
        let root = b.sqrt(correction2)?;
        let one = b.scalar(compute, 1.0);
        let inverse_root = b.div(one, root)?;
        let decayed = b.mul_scalar(lr, self.weight_decay)?;
        let kept = b.sub(one, decayed)?;
        let rest = [size, inverse_root, kept].map(|x| b.cast(x, dtype));
        Ok(Scalars { lr: b.cast(lr, dtype)?, rest: rest.into_iter().collect::<Result<_, _>>()? })
    }

    pub(super) fn update(
        &self,
        b: &mut Builder,
        scalars: &Scalars,
        mut param: Value,
        mut gradient: Value,
        states: &[Value],
    ) -> Result<(Value, Vec<Value>), TypeError> {
        let ([size, inverse_root, kept], [m, v]) = (&scalars.rest[..], states) else {
            unreachable!("`scalars` makes three, `states` names two")
        };
        if self.weight_decay != 0.0 {
            match self.decay {
                WeightDecay::Coupled => gradient = add_scaled(b, gradient, self.weight_decay, param)?,
                WeightDecay::Decoupled => param = b.mul(param, *kept)?,
            }
        }
        let change = b.sub(gradient, *m)?;
        let m = add_scaled(b, *m, 1.0 - self.betas.0, change)?;
        let square = b.mul(gradient, gradient)?;
        let old = b.mul_scalar(*v, self.betas.1)?;
        let v = add_scaled(b, old, 1.0 - self.betas.1, square)?;
        let root = b.sqrt(v)?;
        let root = b.mul(root, *inverse_root)?;
        let denominator = b.add_scalar(root, self.eps)?;
        let ratio = b.div(m, denominator)?;
        let step = b.mul(ratio, *size)?;
        Ok((b.sub(param, step)?, vec![m, v]))
    }
}

/// 1 − βᵗ as −expm1(t · ln β), which keeps its digits where βᵗ is close to 1.
fn one_minus_power(b: &mut Builder, beta: f64, t: Value) -> Result<Value, TypeError> {
    // β = 0 gives ln β = −∞ and 1 − βᵗ = 1, as it must.
    let exponent = b.mul_scalar(t, beta.ln())?;
    let power = b.expm1(exponent)?;
    b.neg(power)
}

impl From<Adam> for Optimizer {
    fn from(adam: Adam) -> Optimizer {
        Optimizer::Adam(adam)
    }
}
