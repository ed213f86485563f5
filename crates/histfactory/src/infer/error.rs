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
    #[error("the log-density is {value} at the initial parameters{}", because(.negative))]
    NoDensity {
        /// ln L.
        value: f64,
        /// The rate that is negative, if that is why.
        negative: Option<Box<NegativeRate>>,
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
    /// The number of iterations is used up.
    #[error("the number of iterations is used up")]
    Iterations,
}

fn because(negative: &Option<Box<NegativeRate>>) -> String {
    negative.as_ref().map_or_else(String::new, |n| format!(": {n}"))
}
