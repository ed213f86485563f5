//! Elementwise ops of one operand, and `cast`.
//!
//! ```text
//! %1 = exp %0 : f32[4]
//! %2 = cast[dtype=f16] %1 : f16[4]
//! ```

mod samples;
#[cfg(test)]
mod tests;

use super::{
    BatchCx, EvalCx, EvalError, Family, InferCx, JvpCx, RuleError, Sample, Types, VjpCx, elementwise,
};
use crate::eval::lanes::Lanes;
use crate::eval::special;
use crate::{AttrError, Attrs, Builder, DType, HostTensor, TypeError, Value};
use smallvec::smallvec;
use std::f64::consts::FRAC_2_SQRT_PI;

/// An elementwise function of one operand. The result has the operand's shape.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Unary {
    /// −x. Signed integers wrap.
    Neg,
    /// |x|. The most negative integer stays itself.
    Abs,
    /// −1, 0 or 1; for floats sign(±0) = ±0 and sign(NaN) = NaN.
    Sign,
    /// eˣ.
    Exp,
    /// eˣ − 1, accurate near 0.
    Expm1,
    /// Natural logarithm; log(0) = −∞, log(x < 0) = NaN.
    Log,
    /// log(1 + x), accurate near 0.
    Log1p,
    /// √x, correctly rounded.
    Sqrt,
    /// 1/√x.
    Rsqrt,
    /// Sine of an angle in radians.
    Sin,
    /// Cosine of an angle in radians.
    Cos,
    /// Tangent of an angle in radians.
    Tan,
    /// Hyperbolic tangent.
    Tanh,
    /// Error function 2/√π ∫₀ˣ e^(−t²) dt.
    Erf,
    /// 1 − erf(x), accurate in the tail.
    Erfc,
    /// The inverse of `erf` on (−1, 1); ±1 give ±∞, outside NaN.
    Erfinv,
    /// ln |Γ(x)|; +∞ at 0, −1, −2, ….
    Lgamma,
    /// ψ(x) = d/dx ln Γ(x); NaN at 0, −1, −2, ….
    Digamma,
    /// ψ⁽ⁿ⁾(x), the n-th derivative of `digamma` (n ≥ 1); at 0, −1, −2, … +∞ for odd n and NaN for even n.
    Polygamma(u32),
    /// Largest integer ≤ x.
    Floor,
    /// Smallest integer ≥ x.
    Ceil,
    /// Nearest integer, halves to even.
    Round,
    /// Logical not of `bool`, bitwise not of integers.
    Not,
    /// True where x is NaN.
    IsNan,
    /// True where x is neither infinite nor NaN.
    IsFinite,
    /// x, with derivative zero.
    StopGradient,
}

impl Unary {
    /// Every op of the family (polygamma at order 1).
    pub const ALL: [Unary; 26] = {
        use Unary::*;
        [
            Neg,
            Abs,
            Sign,
            Exp,
            Expm1,
            Log,
            Log1p,
            Sqrt,
            Rsqrt,
            Sin,
            Cos,
            Tan,
            Tanh,
            Erf,
            Erfc,
            Erfinv,
            Lgamma,
            Digamma,
            Polygamma(1),
            Floor,
            Ceil,
            Round,
            Not,
            IsNan,
            IsFinite,
            StopGradient,
        ]
    };
}

impl Family for Unary {
    fn name(&self) -> &'static str {
        match self {
            Unary::Neg => "neg",
            Unary::Abs => "abs",
            Unary::Sign => "sign",
            Unary::Exp => "exp",
            Unary::Expm1 => "expm1",
            Unary::Log => "log",
            Unary::Log1p => "log1p",
            Unary::Sqrt => "sqrt",
            Unary::Rsqrt => "rsqrt",
            Unary::Sin => "sin",
            Unary::Cos => "cos",
            Unary::Tan => "tan",
            Unary::Tanh => "tanh",
            Unary::Erf => "erf",
            Unary::Erfc => "erfc",
            Unary::Erfinv => "erfinv",
            Unary::Lgamma => "lgamma",
            Unary::Digamma => "digamma",
            Unary::Polygamma(_) => "polygamma",
            Unary::Floor => "floor",
            Unary::Ceil => "ceil",
            Unary::Round => "round",
            Unary::Not => "not",
            Unary::IsNan => "is_nan",
            Unary::IsFinite => "is_finite",
            Unary::StopGradient => "stop_gradient",
        }
    }

    fn attrs(&self) -> Attrs {
        match self {
            Unary::Polygamma(n) => Attrs::none().with("order", *n as usize),
            _ => Attrs::none(),
        }
    }

    fn parse(name: &str, attrs: &mut Attrs) -> Option<Result<Self, AttrError>> {
        let op = Unary::ALL.into_iter().find(|op| op.name() == name)?;
        Some(match op {
            Unary::Polygamma(_) => attrs.int("order").and_then(|n| match u32::try_from(n) {
                Ok(n) if n >= 1 => Ok(Unary::Polygamma(n)),
                _ => Err(AttrError::Kind { name: "order".into(), expected: "a positive integer" }),
            }),
            op => Ok(op),
        })
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        cx.arity(1)?;
        let ty = cx.ty(0);
        match self {
            Unary::Neg | Unary::Sign => cx.dtype(0, DType::is_signed, "a float or a signed integer")?,
            Unary::Abs => cx.dtype(0, |d| d != DType::Bool, "a number")?,
            Unary::Not => cx.dtype(0, |d| !d.is_float(), "bool or an integer")?,
            Unary::StopGradient => {}
            _ => cx.dtype(0, DType::is_float, "a float")?,
        }
        Ok(smallvec![match self {
            Unary::IsNan | Unary::IsFinite => ty.with_dtype(DType::Bool),
            _ => ty.clone(),
        }])
    }

    fn eval(&self, cx: &EvalCx<'_>) -> Result<Vec<HostTensor>, EvalError> {
        if *self == Unary::StopGradient {
            return Ok(vec![cx.inputs[0].clone()]);
        }
        let out = match Lanes::read(cx.inputs[0]) {
            Lanes::Float(v) => match self {
                Unary::IsNan => Lanes::Bool(v.into_iter().map(f64::is_nan).collect()),
                Unary::IsFinite => Lanes::Bool(v.into_iter().map(f64::is_finite).collect()),
                _ => Lanes::Float(v.into_iter().map(|x| self.float(x)).collect()),
            },
            Lanes::Int(v) => Lanes::Int(v.into_iter().map(|x| self.int(x)).collect()),
            // The only op of the family that computes with bool is `not`.
            Lanes::Bool(v) => Lanes::Bool(v.into_iter().map(|x| !x).collect()),
        };
        Ok(vec![out.write(cx.out_dtype(0), &cx.out_dims(0))])
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        let (x, y) = (cx.inputs[0], cx.outputs[0]);
        elementwise::vjp(cx, &|b, _, t| self.derivative(b, x, y, t))
    }

    fn jvp(&self, cx: &mut JvpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        let (x, y) = (cx.inputs[0], cx.outputs[0]);
        elementwise::jvp(cx, &|b, _, t| self.derivative(b, x, y, t))
    }

    fn batch(&self, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
        elementwise::batch(cx, (*self).into())
    }

    fn samples() -> Vec<Sample> {
        samples::unary()
    }
}

impl Unary {
    pub(crate) fn float(self, x: f64) -> f64 {
        match self {
            Unary::Neg => -x,
            Unary::Abs => x.abs(),
            Unary::Sign if x == 0.0 || x.is_nan() => x,
            Unary::Sign => 1f64.copysign(x),
            Unary::Exp => libm::exp(x),
            Unary::Expm1 => libm::expm1(x),
            Unary::Log => libm::log(x),
            Unary::Log1p => libm::log1p(x),
            Unary::Sqrt => libm::sqrt(x),
            Unary::Rsqrt => 1.0 / libm::sqrt(x),
            Unary::Sin => libm::sin(x),
            Unary::Cos => libm::cos(x),
            Unary::Tan => libm::tan(x),
            Unary::Tanh => libm::tanh(x),
            Unary::Erf => libm::erf(x),
            Unary::Erfc => libm::erfc(x),
            Unary::Erfinv => special::erfinv(x),
            Unary::Lgamma => libm::lgamma(x),
            Unary::Digamma => special::digamma(x),
            Unary::Polygamma(n) => special::polygamma(n, x),
            Unary::Floor => x.floor(),
            Unary::Ceil => x.ceil(),
            Unary::Round => x.round_ties_even(),
            Unary::Not | Unary::IsNan | Unary::IsFinite | Unary::StopGradient => x,
        }
    }

    pub(crate) fn int(self, x: i64) -> i64 {
        match self {
            Unary::Neg => x.wrapping_neg(),
            Unary::Abs => x.wrapping_abs(),
            Unary::Sign => x.signum(),
            Unary::Not => !x,
            _ => x,
        }
    }

    /// `t` times the derivative at `x`, where the op gave `y`.
    fn derivative(self, b: &mut Builder, x: Value, y: Value, t: Value) -> Result<Option<Value>, RuleError> {
        Ok(Some(match self {
            Unary::Neg => b.neg(t)?,
            Unary::Abs => {
                let sign = b.sign(x)?;
                b.mul(t, sign)?
            }
            Unary::Exp => b.mul(t, y)?,
            Unary::Expm1 => {
                let exp = b.add_scalar(y, 1.0)?;
                b.mul(t, exp)?
            }
            Unary::Log => b.div(t, x)?,
            Unary::Log1p => {
                let shifted = b.add_scalar(x, 1.0)?;
                b.div(t, shifted)?
            }
            Unary::Sqrt => {
                let half = b.mul_scalar(t, 0.5)?;
                b.div(half, y)?
            }
            Unary::Rsqrt => {
                // y / x rather than y³, which overflows earlier.
                let ratio = b.div(y, x)?;
                let slope = b.mul_scalar(ratio, -0.5)?;
                b.mul(t, slope)?
            }
            Unary::Sin => {
                let cos = b.cos(x)?;
                b.mul(t, cos)?
            }
            Unary::Cos => {
                let sin = b.sin(x)?;
                let slope = b.neg(sin)?;
                b.mul(t, slope)?
            }
            Unary::Tan => {
                let square = b.mul(y, y)?;
                let slope = b.add_scalar(square, 1.0)?;
                b.mul(t, slope)?
            }
            Unary::Tanh => {
                let one = b.scalar_like(y, 1.0);
                let square = b.mul(y, y)?;
                let slope = b.sub(one, square)?;
                b.mul(t, slope)?
            }
            Unary::Erf | Unary::Erfc => {
                let scale = if self == Unary::Erf { FRAC_2_SQRT_PI } else { -FRAC_2_SQRT_PI };
                let square = b.mul(x, x)?;
                let exponent = b.neg(square)?;
                let exp = b.exp(exponent)?;
                let slope = b.mul_scalar(exp, scale)?;
                b.mul(t, slope)?
            }
            Unary::Erfinv => {
                let square = b.mul(y, y)?;
                let exp = b.exp(square)?;
                let slope = b.mul_scalar(exp, 1.0 / FRAC_2_SQRT_PI)?;
                b.mul(t, slope)?
            }
            Unary::Lgamma => {
                let slope = b.digamma(x)?;
                b.mul(t, slope)?
            }
            Unary::Digamma => {
                let slope = b.polygamma(1, x)?;
                b.mul(t, slope)?
            }
            Unary::Polygamma(n) => {
                let order = n.checked_add(1).ok_or_else(|| RuleError::NotDifferentiable {
                    op: self.name(),
                    mode: "either",
                    reason: "the derivative's order does not fit 32 bits",
                    site: b.site().clone(),
                })?;
                let slope = b.polygamma(order, x)?;
                b.mul(t, slope)?
            }
            Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round => return Ok(None),
            Unary::Not | Unary::IsNan | Unary::IsFinite | Unary::StopGradient => return Ok(None),
        }))
    }
}

/// Conversion of every element to another dtype.
///
/// Float to float rounds to nearest even; float to integer truncates toward zero and saturates, NaN gives 0; integer to
/// integer wraps; anything to `bool` is `x ≠ 0`; `bool` to a number is 0 or 1.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cast {
    /// The result's dtype.
    pub dtype: DType,
}

impl Family for Cast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn attrs(&self) -> Attrs {
        Attrs::none().with("dtype", self.dtype)
    }

    fn parse(name: &str, attrs: &mut Attrs) -> Option<Result<Self, AttrError>> {
        (name == "cast").then(|| Ok(Cast { dtype: attrs.dtype("dtype")? }))
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        cx.arity(1)?;
        Ok(smallvec![cx.ty(0).with_dtype(self.dtype)])
    }

    fn eval(&self, cx: &EvalCx<'_>) -> Result<Vec<HostTensor>, EvalError> {
        if cx.inputs[0].dtype() == self.dtype {
            return Ok(vec![cx.inputs[0].clone()]);
        }
        Ok(vec![Lanes::read(cx.inputs[0]).write(self.dtype, &cx.out_dims(0))])
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        let from = cx.b.ty(cx.inputs[0]).dtype;
        elementwise::vjp(cx, &|b, _, t| Ok(self.dtype.is_float().then(|| b.cast(t, from)).transpose()?))
    }

    fn jvp(&self, cx: &mut JvpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        elementwise::jvp(cx, &|b, _, t| {
            Ok(self.dtype.is_float().then(|| b.cast(t, self.dtype)).transpose()?)
        })
    }

    fn batch(&self, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
        elementwise::batch(cx, (*self).into())
    }

    fn samples() -> Vec<Sample> {
        samples::cast()
    }
}
