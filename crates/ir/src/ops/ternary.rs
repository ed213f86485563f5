//! Elementwise ops of three operands.
//!
//! ```text
//! %3 = select %0, %1, %2 : f32[4]     // %0 is bool[4]
//! %4 = clamp %1, %3, %2 : f32[4]      // low, x, high
//! ```

use super::{Family, InferCx, Types};
use crate::{AttrError, Attrs, DType, TypeError};
use smallvec::smallvec;

/// An elementwise op of three operands of the same shape.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ternary {
    /// (condition: bool, x, y): x where the condition is true, y elsewhere.
    Select,
    /// (low, x, high): min(max(x, low), high). A NaN in any operand gives NaN.
    Clamp,
}

impl Ternary {
    /// Every op of the family.
    pub const ALL: [Ternary; 2] = [Ternary::Select, Ternary::Clamp];
}

impl Family for Ternary {
    fn name(&self) -> &'static str {
        match self {
            Ternary::Select => "select",
            Ternary::Clamp => "clamp",
        }
    }

    fn attrs(&self) -> Attrs {
        Attrs::none()
    }

    fn parse(name: &str, _attrs: &mut Attrs) -> Option<Result<Self, AttrError>> {
        Ternary::ALL.into_iter().find(|op| op.name() == name).map(Ok)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        cx.arity(3)?;
        cx.same_shape(0, 1)?;
        cx.same_shape(0, 2)?;
        cx.same_dtype(1, 2)?;
        match self {
            Ternary::Select => cx.dtype(0, |d| d == DType::Bool, "bool")?,
            Ternary::Clamp => {
                cx.dtype(0, |d| d != DType::Bool, "a number")?;
                cx.same_dtype(0, 1)?;
            }
        }
        Ok(smallvec![cx.ty(1).clone()])
    }
}
