//! Elementwise ops of two operands of one type, and comparisons.
//!
//! ```text
//! %2 = add %0, %1 : f32[4]
//! %3 = lt %0, %1 : bool[4]
//! ```

mod samples;
#[cfg(test)]
mod tests;

use super::{
    BatchCx, EvalCx, EvalError, Family, InferCx, JvpCx, RuleError, Sample, Types, VjpCx, elementwise,
};
use crate::eval::lanes::Lanes;
use crate::{AttrError, Attrs, Builder, DType, HostTensor, TypeError, Value};
use smallvec::smallvec;
use std::cmp::Ordering;

/// An elementwise function of two operands of the same dtype and shape.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// x + y. Integers wrap.
    Add,
    /// x − y. Integers wrap.
    Sub,
    /// x · y. Integers wrap.
    Mul,
    /// x / y. Integers truncate toward zero; dividing an integer by 0 gives 0, and the most negative one by −1 itself.
    Div,
    /// Remainder of `Div`, with the sign of x (C's `fmod`); an integer's remainder by 0 is 0.
    Rem,
    /// ⌊x / y⌋, for floats of the quotient already rounded to the dtype arithmetic is carried out in
    /// ([`DType::compute`]); for integers by 0 it is 0.
    FloorDiv,
    /// xʸ. For integers by repeated wrapping multiplication; a negative exponent gives 0, except for bases 1 and −1.
    Pow,
    /// The smaller; NaN if either is NaN; min(−0, +0) = −0.
    Min,
    /// The larger; NaN if either is NaN; max(−0, +0) = +0.
    Max,
    /// Logical and of `bool`, bitwise and of integers.
    And,
    /// Logical or of `bool`, bitwise or of integers.
    Or,
    /// Logical or bitwise exclusive or.
    Xor,
    /// x shifted left by y bits; 0 where y is not in [0, width).
    Shl,
    /// x shifted right by y bits, arithmetic for signed integers; where y is not in [0, width): 0, or −1 for negative x.
    Shr,
    /// The angle of the point (y, x) in (−π, π]; the first operand is y.
    Atan2,
}

impl Binary {
    /// Every op of the family.
    pub const ALL: [Binary; 15] = {
        use Binary::*;
        [Add, Sub, Mul, Div, Rem, FloorDiv, Pow, Min, Max, And, Or, Xor, Shl, Shr, Atan2]
    };

    /// True if op(x, y) = op(y, x) to the bit (up to which NaN payload is returned).
    pub fn is_commutative(self) -> bool {
        use Binary::*;
        matches!(self, Add | Mul | Min | Max | And | Or | Xor)
    }
}

impl Family for Binary {
    fn name(&self) -> &'static str {
        match self {
            Binary::Add => "add",
            Binary::Sub => "sub",
            Binary::Mul => "mul",
            Binary::Div => "div",
            Binary::Rem => "rem",
            Binary::FloorDiv => "floor_div",
            Binary::Pow => "pow",
            Binary::Min => "min",
            Binary::Max => "max",
            Binary::And => "and",
            Binary::Or => "or",
            Binary::Xor => "xor",
            Binary::Shl => "shl",
            Binary::Shr => "shr",
            Binary::Atan2 => "atan2",
        }
    }

    fn attrs(&self) -> Attrs {
        Attrs::none()
    }

    fn parse(name: &str, _attrs: &mut Attrs) -> Option<Result<Self, AttrError>> {
        Binary::ALL.into_iter().find(|op| op.name() == name).map(Ok)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        cx.arity(2)?;
        match self {
            Binary::And | Binary::Or | Binary::Xor => cx.dtype(0, |d| !d.is_float(), "bool or an integer")?,
            Binary::Shl | Binary::Shr => cx.dtype(0, DType::is_int, "an integer")?,
            Binary::Atan2 => cx.dtype(0, DType::is_float, "a float")?,
            Binary::Min | Binary::Max => {}
            _ => cx.dtype(0, |d| d != DType::Bool, "a number")?,
        }
        cx.same_dtype(0, 1)?;
        cx.same_shape(0, 1)?;
        Ok(smallvec![cx.ty(0).clone()])
    }

    fn eval(&self, cx: &EvalCx<'_>) -> Result<Vec<HostTensor>, EvalError> {
        let dtype = cx.out_dtype(0);
        let out = match (Lanes::read(cx.inputs[0]), Lanes::read(cx.inputs[1])) {
            (Lanes::Float(x), Lanes::Float(y)) => Lanes::Float(zip(&x, &y, |x, y| self.float(x, y, dtype))),
            (Lanes::Int(x), Lanes::Int(y)) => Lanes::Int(zip(&x, &y, |x, y| self.int(x, y, dtype))),
            (Lanes::Bool(x), Lanes::Bool(y)) => Lanes::Bool(zip(&x, &y, |x, y| self.bool(x, y))),
            _ => unreachable!("the type rule requires equal dtypes"),
        };
        Ok(vec![out.write(dtype, &cx.out_dims(0))])
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        let (x, y, out) = (cx.inputs[0], cx.inputs[1], cx.outputs[0]);
        elementwise::vjp(cx, &|b, i, t| self.derivative(b, i, [x, y, out], t))
    }

    fn jvp(&self, cx: &mut JvpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        let (x, y, out) = (cx.inputs[0], cx.inputs[1], cx.outputs[0]);
        elementwise::jvp(cx, &|b, i, t| self.derivative(b, i, [x, y, out], t))
    }

    fn batch(&self, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
        elementwise::batch(cx, (*self).into())
    }

    fn samples() -> Vec<Sample> {
        samples::binary()
    }
}

fn zip<A: Copy, B>(x: &[A], y: &[A], f: impl Fn(A, A) -> B) -> Vec<B> {
    x.iter().zip(y).map(|(x, y)| f(*x, *y)).collect()
}

/// The smaller in the order that puts −0 below +0; NaN if either is NaN.
pub(super) fn float_min(x: f64, y: f64) -> f64 {
    if x.is_nan() || y.is_nan() {
        f64::NAN
    } else if x.total_cmp(&y).is_le() {
        x
    } else {
        y
    }
}

/// The larger in the order that puts −0 below +0; NaN if either is NaN.
pub(super) fn float_max(x: f64, y: f64) -> f64 {
    -float_min(-x, -y)
}

impl Binary {
    pub(crate) fn float(self, x: f64, y: f64, dtype: DType) -> f64 {
        match self {
            Binary::Add => x + y,
            Binary::Sub => x - y,
            Binary::Mul => x * y,
            Binary::Div => x / y,
            Binary::Rem => x % y,
            Binary::FloorDiv if dtype == DType::F64 => (x / y).floor(),
            Binary::FloorDiv => f64::from((x / y) as f32).floor(),
            Binary::Pow => libm::pow(x, y),
            Binary::Min => float_min(x, y),
            Binary::Max => float_max(x, y),
            Binary::Atan2 => libm::atan2(x, y),
            Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr => {
                unreachable!("the type rule rejects floats")
            }
        }
    }

    pub(crate) fn int(self, x: i64, y: i64, dtype: DType) -> i64 {
        let width = 8 * dtype.size() as i64;
        match self {
            Binary::Add => x.wrapping_add(y),
            Binary::Sub => x.wrapping_sub(y),
            Binary::Mul => x.wrapping_mul(y),
            Binary::Div | Binary::Rem | Binary::FloorDiv if y == 0 => 0,
            Binary::Div => x.wrapping_div(y),
            Binary::Rem => x.wrapping_rem(y),
            Binary::FloorDiv => {
                let remainder = x.wrapping_rem(y);
                let below = remainder != 0 && (remainder < 0) != (y < 0);
                x.wrapping_div(y) - i64::from(below)
            }
            Binary::Pow => int_pow(x, y),
            Binary::Min => x.min(y),
            Binary::Max => x.max(y),
            Binary::And => x & y,
            Binary::Or => x | y,
            Binary::Xor => x ^ y,
            Binary::Shl if (0..width).contains(&y) => x << y,
            Binary::Shl => 0,
            Binary::Shr if (0..width).contains(&y) => x >> y,
            Binary::Shr => x >> 63,
            Binary::Atan2 => unreachable!("the type rule rejects integers"),
        }
    }

    pub(crate) fn bool(self, x: bool, y: bool) -> bool {
        match self {
            Binary::And | Binary::Min => x & y,
            Binary::Or | Binary::Max => x | y,
            Binary::Xor => x ^ y,
            _ => unreachable!("the type rule rejects bool"),
        }
    }

    /// `t` times the derivative with respect to operand `i` at `[x, y]`, where the op gave `out`.
    fn derivative(
        self,
        b: &mut Builder,
        i: usize,
        [x, y, out]: [Value; 3],
        t: Value,
    ) -> Result<Option<Value>, RuleError> {
        Ok(Some(match (self, i) {
            (Binary::Add, _) | (Binary::Sub, 0) => t,
            (Binary::Sub, _) => b.neg(t)?,
            (Binary::Mul, 0) => b.mul(t, y)?,
            (Binary::Mul, _) => b.mul(t, x)?,
            (Binary::Div, 0) => b.div(t, y)?,
            (Binary::Div, _) => {
                let ratio = b.div(out, y)?;
                let slope = b.neg(ratio)?;
                b.mul(t, slope)?
            }
            (Binary::Rem, 0) => t,
            (Binary::Rem, _) => {
                // x = q·y + out with a whole q; rounding undoes the division's error.
                let multiple = b.sub(x, out)?;
                let ratio = b.div(multiple, y)?;
                let whole = b.round(ratio)?;
                let slope = b.neg(whole)?;
                b.mul(t, slope)?
            }
            (Binary::Pow, 0) => pow_base_derivative(b, x, y, t)?,
            (Binary::Pow, _) => pow_exponent_derivative(b, x, out, t)?,
            (Binary::Min | Binary::Max, _) => {
                let (own, other) = if i == 0 { (x, y) } else { (y, x) };
                let wins = if self == Binary::Min { b.lt(own, other)? } else { b.gt(own, other)? };
                // The operands of a tie take half each.
                let ties = b.eq(own, other)?;
                let half = b.mul_scalar(t, 0.5)?;
                let zero = b.scalar_like(t, 0.0);
                let loser = b.select(ties, half, zero)?;
                b.select(wins, t, loser)?
            }
            (Binary::Atan2, _) => {
                let (xx, yy) = (b.mul(x, x)?, b.mul(y, y)?);
                let square = b.add(xx, yy)?;
                let numerator = if i == 0 { y } else { b.neg(x)? };
                let slope = b.div(numerator, square)?;
                b.mul(t, slope)?
            }
            (Binary::FloorDiv | Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr, _) => {
                return Ok(None);
            }
        }))
    }
}

/// t · y · x^(y−1). At x = y = 0, where that is 0 · ∞, the function is the constant 1 along x: 0.
fn pow_base_derivative(b: &mut Builder, x: Value, y: Value, t: Value) -> Result<Value, TypeError> {
    let zero = b.scalar_like(x, 0.0);
    let (base_zero, exponent_zero) = (b.eq(x, zero)?, b.eq(y, zero)?);
    let corner = b.and(base_zero, exponent_zero)?;
    // The exponent is replaced inside as well, so that derivatives of this expression stay finite there too.
    let one = b.scalar_like(y, 1.0);
    let exponent = b.select(corner, one, y)?;
    let lower = b.sub(exponent, one)?;
    let power = b.pow(x, lower)?;
    let slope = b.mul(exponent, power)?;
    let slope = b.select(corner, zero, slope)?;
    b.mul(t, slope)
}

/// t · xʸ · ln x, and 0 where xʸ is 0: there ln x may be infinite.
fn pow_exponent_derivative(b: &mut Builder, x: Value, out: Value, t: Value) -> Result<Value, TypeError> {
    let (zero, one) = (b.scalar_like(x, 0.0), b.scalar_like(x, 1.0));
    let (base_zero, out_zero) = (b.eq(x, zero)?, b.eq(out, zero)?);
    let flat = b.or(base_zero, out_zero)?;
    let base = b.select(flat, one, x)?;
    let log = b.log(base)?;
    let slope = b.mul(out, log)?;
    b.mul(t, slope)
}

/// xʸ by squaring, wrapping; a negative exponent gives the integer part of the quotient 1 / x^|y|, and 0 for x = 0.
fn int_pow(x: i64, y: i64) -> i64 {
    if y < 0 {
        return match x {
            1 => 1,
            -1 if y % 2 == 0 => 1,
            -1 => -1,
            _ => 0,
        };
    }
    let (mut result, mut square, mut rest) = (1i64, x, y);
    while rest > 0 {
        if rest & 1 == 1 {
            result = result.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        rest >>= 1;
    }
    result
}

/// An elementwise comparison of two operands of one type, giving `bool`. Every comparison with NaN but `ne` is false.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Compare {
    /// x = y.
    Eq,
    /// x ≠ y.
    Ne,
    /// x < y.
    Lt,
    /// x ≤ y.
    Le,
    /// x > y.
    Gt,
    /// x ≥ y.
    Ge,
}

impl Compare {
    /// Every op of the family.
    pub const ALL: [Compare; 6] =
        [Compare::Eq, Compare::Ne, Compare::Lt, Compare::Le, Compare::Gt, Compare::Ge];
}

impl Family for Compare {
    fn name(&self) -> &'static str {
        match self {
            Compare::Eq => "eq",
            Compare::Ne => "ne",
            Compare::Lt => "lt",
            Compare::Le => "le",
            Compare::Gt => "gt",
            Compare::Ge => "ge",
        }
    }

    fn attrs(&self) -> Attrs {
        Attrs::none()
    }

    fn parse(name: &str, _attrs: &mut Attrs) -> Option<Result<Self, AttrError>> {
        Compare::ALL.into_iter().find(|op| op.name() == name).map(Ok)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        cx.arity(2)?;
        cx.same_dtype(0, 1)?;
        cx.same_shape(0, 1)?;
        Ok(smallvec![cx.ty(0).with_dtype(DType::Bool)])
    }

    fn eval(&self, cx: &EvalCx<'_>) -> Result<Vec<HostTensor>, EvalError> {
        let out = match (Lanes::read(cx.inputs[0]), Lanes::read(cx.inputs[1])) {
            (Lanes::Float(x), Lanes::Float(y)) => zip(&x, &y, |x, y| self.holds(x.partial_cmp(&y))),
            (Lanes::Int(x), Lanes::Int(y)) => zip(&x, &y, |x, y| self.holds(Some(x.cmp(&y)))),
            (Lanes::Bool(x), Lanes::Bool(y)) => zip(&x, &y, |x, y| self.holds(Some(x.cmp(&y)))),
            _ => unreachable!("the type rule requires equal dtypes"),
        };
        Ok(vec![Lanes::Bool(out).write(DType::Bool, &cx.out_dims(0))])
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        Ok(vec![None; cx.inputs.len()])
    }

    fn jvp(&self, _cx: &mut JvpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        Ok(vec![None])
    }

    fn batch(&self, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
        elementwise::batch(cx, (*self).into())
    }

    fn samples() -> Vec<Sample> {
        samples::compare()
    }
}

impl Compare {
    /// Whether the comparison is true of two operands in this order; `None` if one is NaN.
    pub(crate) fn holds(self, order: Option<Ordering>) -> bool {
        let Some(order) = order else { return self == Compare::Ne };
        match self {
            Compare::Eq => order.is_eq(),
            Compare::Ne => order.is_ne(),
            Compare::Lt => order.is_lt(),
            Compare::Le => order.is_le(),
            Compare::Gt => order.is_gt(),
            Compare::Ge => order.is_ge(),
        }
    }
}
