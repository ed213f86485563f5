//! Reductions over axes.
//!
//! ```text
//! %1 = reduce_sum[axes=[1]] %0 : f32[4]
//! %2 = argmax[axis=1] %0 : i64[4]
//! ```

use super::{Family, InferCx, Types};
use crate::{AttrError, Attrs, Axes, DType, TypeError};
use smallvec::smallvec;

/// How elements are combined.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReduceKind {
    /// Σ x; 0 of nothing. Integers wrap; 16-bit floats are summed in f32.
    Sum,
    /// Π x; 1 of nothing.
    Prod,
    /// The largest; −∞ (or the smallest integer, or false) of nothing. NaN if any element is NaN.
    Max,
    /// The smallest; +∞ (or the largest integer, or true) of nothing. NaN if any element is NaN.
    Min,
    /// Logical or; false of nothing.
    Any,
    /// Logical and; true of nothing.
    All,
}

/// A reduction; the reduced axes disappear from the shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reduce {
    /// How elements are combined.
    pub kind: ReduceKind,
    /// The axes reduced, ascending.
    pub axes: Axes,
}

impl ReduceKind {
    /// Every kind.
    pub const ALL: [ReduceKind; 6] = [
        ReduceKind::Sum,
        ReduceKind::Prod,
        ReduceKind::Max,
        ReduceKind::Min,
        ReduceKind::Any,
        ReduceKind::All,
    ];

    /// The op's name in the text form.
    pub const fn name(self) -> &'static str {
        match self {
            ReduceKind::Sum => "reduce_sum",
            ReduceKind::Prod => "reduce_prod",
            ReduceKind::Max => "reduce_max",
            ReduceKind::Min => "reduce_min",
            ReduceKind::Any => "reduce_any",
            ReduceKind::All => "reduce_all",
        }
    }
}

impl Family for Reduce {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn attrs(&self) -> Attrs {
        Attrs::none().with("axes", &self.axes)
    }

    fn parse(name: &str, attrs: &mut Attrs) -> Option<Result<Self, AttrError>> {
        let kind = ReduceKind::ALL.into_iter().find(|k| k.name() == name)?;
        Some(attrs.ints("axes").map(|axes| Reduce { kind, axes }))
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        cx.arity(1)?;
        let ty = cx.ty(0);
        match self.kind {
            ReduceKind::Any | ReduceKind::All => cx.dtype(0, |d| d == DType::Bool, "bool")?,
            ReduceKind::Sum | ReduceKind::Prod => {
                cx.dtype(0, |d| d != DType::Bool, "a number (cast bool first)")?
            }
            ReduceKind::Max | ReduceKind::Min => {}
        }
        cx.axes(&self.axes, ty.rank())?;
        if !self.axes.is_sorted() {
            return Err(cx.attribute("axes must be in ascending order".into()));
        }
        Ok(smallvec![ty.with_shape(ty.shape.without(&self.axes))])
    }
}

/// The position (i64) of the largest or smallest element along an axis, which disappears. The first of equals wins;
/// NaN counts as both largest and smallest, the first NaN wins. The axis must not be empty.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArgReduce {
    /// True for argmax, false for argmin.
    pub max: bool,
    /// The axis searched.
    pub axis: usize,
}

impl Family for ArgReduce {
    fn name(&self) -> &'static str {
        if self.max { "argmax" } else { "argmin" }
    }

    fn attrs(&self) -> Attrs {
        Attrs::none().with("axis", self.axis)
    }

    fn parse(name: &str, attrs: &mut Attrs) -> Option<Result<Self, AttrError>> {
        let max = match name {
            "argmax" => true,
            "argmin" => false,
            _ => return None,
        };
        Some(attrs.int("axis").map(|axis| ArgReduce { max, axis }))
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        cx.arity(1)?;
        let ty = cx.ty(0);
        cx.axes(&[self.axis], ty.rank())?;
        if ty.shape[self.axis].is(0) {
            return Err(cx.attribute(format!("axis {} is empty: there is no element to point at", self.axis)));
        }
        Ok(smallvec![ty.with_dtype(DType::I64).with_shape(ty.shape.without(&[self.axis]))])
    }
}
