//! Elementwise ops of one operand, and `cast`.
//!
//! ```text
//! %1 = exp %0 : f32[4]
//! %2 = cast[dtype=f16] %1 : f16[4]
//! ```

use super::{Family, InferCx, Types};
use crate::{AttrError, Attrs, DType, TypeError};
use smallvec::smallvec;

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
    /// ψ⁽ⁿ⁾(x), the n-th derivative of `digamma` (n ≥ 1).
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
}
