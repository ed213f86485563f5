//! Elementwise ops of two operands of one type, and comparisons.
//!
//! ```text
//! %2 = add %0, %1 : f32[4]
//! %3 = lt %0, %1 : bool[4]
//! ```

use super::{Family, InferCx, Types};
use crate::{AttrError, Attrs, DType, TypeError};
use smallvec::smallvec;

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
    /// ⌊x / y⌋; for integers by 0 it is 0.
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
}
