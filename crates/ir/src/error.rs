//! Type errors: an op was given operands it does not take.

use crate::{Dim, DimMismatch, Site, TensorType};
use std::fmt;

/// An op cannot be applied to these operands. Carries the op, the operands' types and the user's name for the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeError(Box<Detail>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Detail {
    op: String,
    operands: Vec<TensorType>,
    site: Site,
    kind: TypeErrorKind,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypeErrorKind {
    /// The wrong number of operands.
    #[error("takes {expected} operands, got {got}")]
    Arity {
        /// How many it takes, in words or digits.
        expected: String,
        /// How many there were.
        got: usize,
    },
    /// An operand of a dtype the op does not take.
    #[error("operand {operand} must be {expected}")]
    DType {
        /// Which operand, from 0.
        operand: usize,
        /// What it must be.
        expected: String,
    },
    /// Sizes that must agree do not.
    #[error("{what}: {left} is not {right}")]
    Dims {
        /// Which sizes.
        what: &'static str,
        /// One side.
        left: Dim,
        /// The other side.
        right: Dim,
    },
    /// Ranks, axes or other attributes that do not fit the operands.
    #[error("{0}")]
    Attribute(String),
}

impl TypeError {
    /// An error of `op` on operands of these types.
    pub fn new(op: impl Into<String>, operands: &[&TensorType], kind: TypeErrorKind) -> TypeError {
        let operands = operands.iter().map(|t| (*t).clone()).collect();
        TypeError(Box::new(Detail { op: op.into(), operands, site: Site::default(), kind }))
    }

    /// The same error, said to be at `site` unless it already names a place.
    #[must_use]
    pub fn at(mut self, site: &Site) -> TypeError {
        if self.0.site.is_unknown() {
            self.0.site = site.clone();
        }
        self
    }

    /// The op's name.
    pub fn op(&self) -> &str {
        &self.0.op
    }

    /// The operands' types.
    pub fn operands(&self) -> &[TensorType] {
        &self.0.operands
    }

    /// The user's name for the place: the path of the block.
    pub fn site(&self) -> &Site {
        &self.0.site
    }

    /// What is wrong.
    pub fn kind(&self) -> &TypeErrorKind {
        &self.0.kind
    }
}

impl TypeErrorKind {
    pub(crate) fn dims(what: &'static str) -> impl FnOnce(DimMismatch) -> TypeErrorKind {
        move |DimMismatch { left, right }| TypeErrorKind::Dims { what, left, right }
    }
}

impl fmt::Display for TypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Detail { op, operands, site, kind } = &*self.0;
        write!(f, "{op}(")?;
        for (i, operand) in operands.iter().enumerate() {
            write!(f, "{}{operand}", if i > 0 { ", " } else { "" })?;
        }
        write!(f, "): {kind}")?;
        if !site.is_unknown() {
            write!(f, " (at {site})")?;
        }
        Ok(())
    }
}

impl std::error::Error for TypeError {}
