//! What can go wrong in inference.

use crate::{ModelError, NegativeRate};
use wootz_ir::ops::RuleError;
use wootz_runtime::{CompileError, RunError};
use wootz_transform::TransformError;

/// Inference cannot give a result.
#[derive(Debug, thiserror::Error)]
pub enum InferenceError {
    /// The model, its parameters or the data.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A program could not be built.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// A program could not be built.
    #[error(transparent)]
    Transform(#[from] TransformError),
    /// A program could not be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A program could not be run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A fit did not converge.
    #[error(
        "the fit of {what} did not converge after {iterations} iterations: {reason} (largest scaled gradient {kkt:.3e}, wanted {tolerance:.0e})"
    )]
    NotConverged {
        /// What was fitted.
        what: String,
        /// Why it ended.
        reason: NotConverged,
        /// Iterations made.
        iterations: usize,
        /// The largest gradient component of a parameter that may move, in units of the square root of its curvature.
        kkt: f64,
        /// What was asked for.
        tolerance: f64,
        /// The parameters at which it ended.
        parameters: Vec<f64>,
    },
    /// There is no density where the fit is to start.
    #[error("the log-density is {value} where the fit of {what} starts{}", because(.negative, .empty))]
    NoDensity {
        /// What was to be fitted.
        what: String,
        /// ln L.
        value: f64,
        /// The rate that is negative, if that is why.
        negative: Option<Box<NegativeRate>>,
        /// The bin in which nothing is expected, if that is why.
        empty: Option<Box<EmptyBin>>,
    },
    /// The model has no parameter of interest.
    #[error("the model has no parameter of interest; name one when you make it")]
    NoPoi,
    /// The parameter of interest does not vary.
    #[error("the parameter of interest `{name}` is fixed; free it")]
    PoiFixed {
        /// Its name.
        name: String,
    },
    /// A parameter that does not vary has no interval.
    #[error("`{name}` is fixed, so it has no uncertainty; free it")]
    ParameterFixed {
        /// Its name.
        name: String,
    },
    /// −2 ln λ does not reach what is asked for.
    #[error("−2 ln λ of `{name}` is not {sigmas}² by {name} = {value}")]
    NoInterval {
        /// The parameter's name.
        name: String,
        /// The last value tried.
        value: f64,
        /// What it was to reach, as a number of standard deviations.
        sigmas: f64,
    },
    /// Lower and upper bound of a parameter exclude each other.
    #[error(
        "the bounds of `{name}` are ({lower}, {upper}): the lower one must not be above the upper one, and neither NaN"
    )]
    Bounds {
        /// Its name.
        name: String,
        /// The lower bound.
        lower: f64,
        /// The upper bound.
        upper: f64,
    },
    /// A template was to change that is a constant of the programs.
    #[error(
        "the template `{template}` is a constant here; name it among the inputs when you make the `Inference`"
    )]
    NotAnInput {
        /// Its name.
        template: &'static str,
    },
    /// A list has not the length of what it belongs to.
    #[error("{what} has {got} entries, not {expected}")]
    Length {
        /// Which list.
        what: &'static str,
        /// What the model has.
        expected: usize,
        /// Entries.
        got: usize,
    },
    /// A number is not what it must be.
    #[error("{what} is {value}: {needs}")]
    Value {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        needs: &'static str,
    },
    /// Second derivatives at the best fit are not those of a minimum.
    #[error(
        "the Hessian at the best fit is not positive definite: some parameters cannot be told apart by these data, so they have no covariance"
    )]
    SingularHessian,
    /// The statistic has no asymptotic form for this.
    #[error("no asymptotic formula for {statistic} here; use qtilde or q (q0 for discovery)")]
    NotAsymptotic {
        /// Its name.
        statistic: &'static str,
    },
    /// No toy could be fitted.
    #[error("none of the toys could be fitted: {failed} failed")]
    NoToys {
        /// How many were tried.
        failed: usize,
    },
    /// An observer gave up.
    #[error("stopped")]
    Stopped,
    /// There is no upper limit in reach.
    #[error("CLs is still above {level} at {poi} = {value}: the data set no limit below it")]
    NoLimit {
        /// The parameter of interest.
        poi: String,
        /// The largest value tried.
        value: f64,
        /// What is excluded.
        level: f64,
    },
}

/// Why a fit ended without a result.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotConverged {
    /// The curvature stayed singular however much it was damped.
    #[error(
        "the Fisher matrix is singular: some parameters cannot be told apart by these data; fix one of them"
    )]
    Singular,
    /// No step along the descent direction lowers the objective.
    #[error("no step lowers the objective")]
    Stalled,
    /// Rounding hides the rest of the gradient.
    #[error("rounding hides what is left of the gradient, too much for derivatives")]
    Rounding,
    /// The number of iterations is used up.
    #[error("the number of iterations is used up")]
    Iterations,
}

/// A bin with counts in which nothing is expected.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "channel `{channel}`, bin {bin} has {count} counts and an expected rate of 0; give it a background, set clip_bin_data, or start \
     elsewhere (init)"
)]
pub struct EmptyBin {
    /// The channel.
    pub channel: String,
    /// The bin, counted from 0 in the channel.
    pub bin: usize,
    /// What was counted.
    pub count: f64,
}

fn because(negative: &Option<Box<NegativeRate>>, empty: &Option<Box<EmptyBin>>) -> String {
    let negative = negative.as_ref().map(|n| format!(": {n}"));
    negative.or_else(|| empty.as_ref().map(|e| format!(": {e}"))).unwrap_or_default()
}
