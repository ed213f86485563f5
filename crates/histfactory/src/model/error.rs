//! What is wrong with a model that a workspace describes, or with what it is evaluated at.

use crate::WorkspaceError;
use wootz_ir::TypeError;
use wootz_ir::ops::EvalError;

/// A workspace cannot become a model, or a model cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The workspace has not what was asked for.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// One name is used by modifiers whose parameters cannot be shared.
    #[error(
        "`{name}` names a {first} and a {second} modifier, whose parameters differ; use different names for them"
    )]
    NameReuse {
        /// The name.
        name: String,
        /// One type.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A modifier whose parameters belong to one sample is used again.
    #[error(
        "shapesys modifier `{name}` stands on sample `{sample}` of channel `{channel}` and before that on another one; \
         its parameters cannot be shared: use another name"
    )]
    NotShared {
        /// The name.
        name: String,
        /// The channel of the second use.
        channel: String,
        /// The sample of the second use.
        sample: String,
    },
    /// A shapefactor is shared with a channel of more bins than it has parameters.
    #[error(
        "shapefactor `{name}` has {parameters} parameters, the bins of the first channel that has it, and channel `{channel}` \
         has {bins} bins; use another name there"
    )]
    ShapefactorBins {
        /// The name.
        name: String,
        /// Its number of parameters.
        parameters: usize,
        /// The channel that has more bins.
        channel: String,
        /// Its number of bins.
        bins: usize,
    },
    /// Samples share a staterror modifier in some channels and not in others.
    #[error(
        "staterror modifier `{name}` spans several channels, and sample `{sample}` has it not in the same channels as the \
         others; use one name a channel"
    )]
    StaterrorChannels {
        /// The name.
        name: String,
        /// The sample that differs.
        sample: String,
    },
    /// A parameter that needs a configuration has none.
    #[error(
        "parameter `{name}` needs `{field}` in the measurement's `config.parameters`: add \
         {{\"name\": \"{name}\", \"auxdata\": [1.0], \"sigmas\": [..], \"inits\": [1.0], \"bounds\": [[.., ..]]}}"
    )]
    Unconfigured {
        /// The parameter.
        name: String,
        /// What is missing.
        field: &'static str,
    },
    /// A configuration gives something that the parameter does not have.
    #[error("the measurement configures `{field}` of parameter `{name}`, which has none; remove it")]
    NotConfigurable {
        /// The parameter set.
        name: String,
        /// What it has not.
        field: &'static str,
    },
    /// A configuration has another number of values than there are parameters.
    #[error(
        "the measurement gives {got} values as `{field}` of parameter `{name}`, which needs {expected}; give one a bin"
    )]
    ValueCount {
        /// The parameter set.
        name: String,
        /// What is configured.
        field: &'static str,
        /// The number of parameters.
        expected: usize,
        /// The number of values.
        got: usize,
    },
    /// A width or rate that must be positive is not.
    #[error("`{field}` of parameter `{name}` is {value}; it must be positive")]
    NotPositive {
        /// The parameter set.
        name: String,
        /// What is configured.
        field: &'static str,
        /// Its value.
        value: f64,
    },
    /// The workspace has no modifiers.
    #[error("the model has no parameters: none of its samples has a modifier")]
    NoParameters,
    /// The parameter of interest is not a parameter of the model.
    #[error("the parameter of interest `{name}` is not in the model; its parameters are: {}", .known.join(", "))]
    UnknownPoi {
        /// The name given.
        name: String,
        /// The parameter sets.
        known: Vec<String>,
    },
    /// The parameter of interest has several components.
    #[error("the parameter of interest `{name}` has {parameters} components; it must have one")]
    PoiNotScalar {
        /// The parameter set.
        name: String,
        /// The number of components.
        parameters: usize,
    },
    /// An array has another length than the model needs.
    #[error("`{what}` has {got} values and needs {expected}")]
    Length {
        /// The array.
        what: &'static str,
        /// The length it needs.
        expected: usize,
        /// The length it has.
        got: usize,
    },
    /// A number is NaN or infinite, or a count negative.
    #[error("`{what}` holds {value} at position {index}; {needs}")]
    Value {
        /// The array.
        what: &'static str,
        /// The position.
        index: usize,
        /// The number.
        value: f64,
        /// What is needed.
        needs: &'static str,
    },
    /// A rate is negative, so that there is no probability.
    #[error(transparent)]
    NegativeRate(#[from] Box<NegativeRate>),
    /// Bug in wootz: a graph does not type-check.
    #[error("bug in wootz: a graph is ill-typed")]
    Type(#[from] TypeError),
    /// Bug in wootz: a graph does not evaluate.
    #[error("bug in wootz: a graph does not evaluate")]
    Eval(#[from] EvalError),
}

/// An expected rate below zero, and the sample that pulls it there.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "the expected rate of channel `{channel}`, bin {bin} is {rate} at these parameters, and a rate cannot be negative; sample \
     `{sample}` contributes {contribution}: check its yields and variations, or set clip_bin_data"
)]
pub struct NegativeRate {
    /// The channel.
    pub channel: String,
    /// The bin, counted from 0 in the channel.
    pub bin: usize,
    /// The sample with the lowest contribution.
    pub sample: String,
    /// The bin's expected rate.
    pub rate: f64,
    /// The sample's contribution to it.
    pub contribution: f64,
}
