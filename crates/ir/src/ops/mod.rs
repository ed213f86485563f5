//! The closed set of operations, one family a file.
//!
//! A family is a small enum (or struct) that implements [`Family`]: name, attributes, type rule, reference evaluation,
//! derivative and batching rules, sample inputs. Everything else in the project treats ops through [`Op`] and matches
//! families exhaustively, so that a missing row does not compile.

pub mod binary;
pub mod composite;
pub mod contract;
pub mod control;
pub mod cumulative;
mod elementwise;
pub mod index;
pub mod linalg;
pub mod movement;
pub mod random;
pub mod reduce;
mod rules;
pub mod source;
pub mod ternary;
pub mod unary;

pub use binary::{Binary, Compare};
pub use composite::{Composite, CompositeKind};
pub use contract::Dot;
pub use control::Control;
pub use cumulative::Cumsum;
pub use index::{Gather, Scatter, ScatterKind, Segment, SegmentKind};
pub use linalg::{Linalg, TriangularSolve};
pub use movement::Movement;
pub use random::Random;
pub use reduce::{ArgReduce, Reduce, ReduceKind};
pub use rules::{
    AugmentCx, Augmented, BatchCx, EvalCx, EvalError, Family, InferCx, Joint, JvpCx, JvpRegion,
    RegionTransforms, Residual, RuleError, Sample, Types, VjpCx, VjpRegions, spread,
};
pub use source::Source;
pub use ternary::Ternary;
pub use unary::{Cast, Unary};

use crate::{AttrError, Attrs, Dim, Region, TypeError};
use std::sync::Arc;

/// An operation. Operands and results are positional; every attribute is part of the op.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Elementwise, one operand.
    Unary(Unary),
    /// Elementwise, two operands of one type.
    Binary(Binary),
    /// Elementwise comparison giving `bool`.
    Compare(Compare),
    /// Elementwise, three operands: `select`, `clamp`.
    Ternary(Ternary),
    /// Conversion to another dtype.
    Cast(Cast),
    /// Reduction over axes.
    Reduce(Reduce),
    /// Position of the largest or smallest element along an axis.
    ArgReduce(ArgReduce),
    /// Rearrangement of elements: reshape, transpose, broadcast, slice, pad, concat, reverse.
    Movement(Movement),
    /// Batched contraction.
    Dot(Dot),
    /// Reads at computed positions.
    Gather(Gather),
    /// Writes at computed positions.
    Scatter(Scatter),
    /// Reduction of runs of rows with equal, sorted ids.
    Segment(Segment),
    /// Sums of all elements before each along an axis.
    Cumsum(Cumsum),
    /// Factorisation and solution of dense systems.
    Linalg(Linalg),
    /// A value without operands: constant, iota.
    Source(Source),
    /// Counter-based random bits.
    Random(Random),
    /// A named function with a body in primitives.
    Composite(Composite),
    /// Ops that own regions: call, cond, while, scan, custom_vjp.
    Control(Control),
}

/// Applies an expression to the family inside an [`Op`].
macro_rules! with_family {
    ($op:expr, $family:ident => $body:expr) => {
        match $op {
            Op::Unary($family) => $body,
            Op::Binary($family) => $body,
            Op::Compare($family) => $body,
            Op::Ternary($family) => $body,
            Op::Cast($family) => $body,
            Op::Reduce($family) => $body,
            Op::ArgReduce($family) => $body,
            Op::Movement($family) => $body,
            Op::Dot($family) => $body,
            Op::Gather($family) => $body,
            Op::Scatter($family) => $body,
            Op::Segment($family) => $body,
            Op::Cumsum($family) => $body,
            Op::Linalg($family) => $body,
            Op::Source($family) => $body,
            Op::Random($family) => $body,
            Op::Composite($family) => $body,
            Op::Control($family) => $body,
        }
    };
}

impl Op {
    /// The op's name in the text form.
    pub fn name(&self) -> &'static str {
        with_family!(self, op => op.name())
    }

    /// The op's attributes, for the text form.
    pub fn attrs(&self) -> Attrs {
        with_family!(self, op => op.attrs())
    }

    /// Rebuilds an op from its name and attributes; `None` if no op has this name.
    pub fn parse(name: &str, attrs: Attrs) -> Option<Result<Op, AttrError>> {
        fn family<F: Family + Into<Op>>(name: &str, attrs: &Attrs) -> Option<Result<Op, AttrError>> {
            let mut attrs = attrs.clone();
            let parsed = F::parse(name, &mut attrs)?;
            Some(parsed.and_then(|op| attrs.finish().map(|()| op.into())))
        }
        None.or_else(|| family::<Unary>(name, &attrs))
            .or_else(|| family::<Binary>(name, &attrs))
            .or_else(|| family::<Compare>(name, &attrs))
            .or_else(|| family::<Ternary>(name, &attrs))
            .or_else(|| family::<Cast>(name, &attrs))
            .or_else(|| family::<Reduce>(name, &attrs))
            .or_else(|| family::<ArgReduce>(name, &attrs))
            .or_else(|| family::<Movement>(name, &attrs))
            .or_else(|| family::<Dot>(name, &attrs))
            .or_else(|| family::<Gather>(name, &attrs))
            .or_else(|| family::<Scatter>(name, &attrs))
            .or_else(|| family::<Segment>(name, &attrs))
            .or_else(|| family::<Cumsum>(name, &attrs))
            .or_else(|| family::<Linalg>(name, &attrs))
            .or_else(|| family::<Source>(name, &attrs))
            .or_else(|| family::<Random>(name, &attrs))
            .or_else(|| family::<Composite>(name, &attrs))
            .or_else(|| family::<Control>(name, &attrs))
    }

    /// The types of the results, or why the op does not apply to these operands.
    pub fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        with_family!(self, op => op.infer(cx))
    }

    /// The op with every dim in its attributes and regions replaced.
    #[must_use]
    pub fn map_dims(&self, f: &dyn Fn(&Dim) -> Dim) -> Op {
        with_family!(self, op => op.map_dims(f).into())
    }

    /// The regions the op owns.
    pub fn regions(&self) -> Vec<&Arc<Region>> {
        match self {
            Op::Control(control) => control.regions(),
            _ => Vec::new(),
        }
    }

    /// Evaluates the op on concrete operands: the definition every backend is held to.
    pub fn eval(&self, cx: &EvalCx<'_>) -> Result<Vec<crate::HostTensor>, EvalError> {
        with_family!(self, op => op.eval(cx))
    }

    /// Builds the op together with what its derivative wants kept; see [`Family::augment`].
    pub fn augment(&self, cx: &mut AugmentCx<'_>) -> Result<Option<Augmented>, RuleError> {
        with_family!(self, op => op.augment(cx))
    }

    /// Builds the op's results and tangents together; see [`Family::jvp_joint`].
    pub fn jvp_joint(&self, cx: &mut JvpCx<'_>) -> Result<Option<Joint>, RuleError> {
        with_family!(self, op => op.jvp_joint(cx))
    }

    /// Builds the cotangents of the operands from those of the results.
    pub fn vjp(&self, cx: &mut VjpCx<'_>) -> Result<Vec<Option<crate::Value>>, RuleError> {
        with_family!(self, op => op.vjp(cx))
    }

    /// Builds the tangents of the results from those of the operands.
    pub fn jvp(&self, cx: &mut JvpCx<'_>) -> Result<Vec<Option<crate::Value>>, RuleError> {
        with_family!(self, op => op.jvp(cx))
    }

    /// Builds the op over operands some of which have a new leading axis; says which results have it.
    pub fn batch(&self, cx: &mut BatchCx<'_>) -> Result<Vec<(crate::Value, bool)>, RuleError> {
        with_family!(self, op => op.batch(cx))
    }

    /// Sample applications of every op, for conformance and derivative tests.
    pub fn samples() -> Vec<Sample> {
        [
            Unary::samples(),
            Binary::samples(),
            Compare::samples(),
            Ternary::samples(),
            Cast::samples(),
            Reduce::samples(),
            ArgReduce::samples(),
            Movement::samples(),
            Dot::samples(),
            Gather::samples(),
            Scatter::samples(),
            Segment::samples(),
            Cumsum::samples(),
            Linalg::samples(),
            Source::samples(),
            Random::samples(),
            Composite::samples(),
            Control::samples(),
        ]
        .concat()
    }
}

macro_rules! into_op {
    ($($family:ident),*) => { $(impl From<$family> for Op { fn from(f: $family) -> Op { Op::$family(f) } })* };
}
into_op!(
    Unary, Binary, Compare, Ternary, Cast, Reduce, ArgReduce, Movement, Dot, Gather, Scatter, Segment,
    Cumsum, Linalg, Source, Random, Composite, Control
);
