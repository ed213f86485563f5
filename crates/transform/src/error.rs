//! What can go wrong in a transformation.

use wootz_ir::TensorType;
use wootz_ir::ops::RuleError;

/// A graph cannot be transformed as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransformError {
    /// An op has no rule of this kind (or, a bug in wootz, its rule failed).
    #[error("cannot apply {transform}")]
    Rule {
        /// The transformation.
        transform: &'static str,
        /// What the op said; names the op and the user's place.
        source: RuleError,
    },
    /// An input or output position that does not exist.
    #[error("{transform}: there is no {what} {index}, the graph has {count}")]
    NoSuch {
        /// The transformation.
        transform: &'static str,
        /// `input` or `output`.
        what: &'static str,
        /// The position asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// An input that was named twice.
    #[error("{transform}: input `{name}` is named twice")]
    Repeated {
        /// The transformation.
        transform: &'static str,
        /// Its name.
        name: String,
    },
    /// A derivative with respect to, or of, something that is not a float.
    #[error("{transform}: {what} `{name}` is {ty}; only floats have derivatives")]
    NotFloat {
        /// The transformation.
        transform: &'static str,
        /// `input` or `output`.
        what: &'static str,
        /// Its name.
        name: String,
        /// Its type.
        ty: Box<TensorType>,
    },
    /// The gradient of an output that is not a scalar.
    #[error(
        "{transform}: output `{name}` is {ty}, and a gradient is that of a scalar; reduce it first or use vjp"
    )]
    NotScalar {
        /// The transformation.
        transform: &'static str,
        /// The output's name.
        name: String,
        /// Its type.
        ty: Box<TensorType>,
    },
    /// `vmap` was given the wrong number of axes.
    #[error("vmap: {got} axes for {count} {what}s")]
    Arity {
        /// `input` or `output`.
        what: &'static str,
        /// How many axes.
        got: usize,
        /// How many inputs or outputs.
        count: usize,
    },
    /// `vmap` was given an axis that does not fit.
    #[error("vmap: axis {axis} does not fit {what} `{name}`, whose unbatched type is {ty}")]
    Axis {
        /// `input` or `output`.
        what: &'static str,
        /// Its name.
        name: String,
        /// Its type without the batch axis.
        ty: Box<TensorType>,
        /// The axis asked for.
        axis: usize,
    },
    /// `vmap` was asked to leave an output without a batch axis that depends on a batched input.
    #[error("vmap: output `{name}` depends on a batched input, so it needs an output axis")]
    Batched {
        /// The output's name.
        name: String,
    },
}

impl TransformError {
    pub(crate) fn rule<E: Into<RuleError>>(transform: &'static str) -> impl Fn(E) -> TransformError {
        move |e| TransformError::Rule { transform, source: e.into() }
    }
}
