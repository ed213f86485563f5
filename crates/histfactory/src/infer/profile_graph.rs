//! Profiled likelihoods as graphs: fits whose derivatives are known, so that test statistics batch and differentiate like any other function.

use super::fit_graph::Fitted;
use super::implicit::Fits;
use super::{Built, FitOptions, InferenceError, Statistic};
use crate::{GraphOptions, Model, Templates};
use wootz_ir::ops::RuleError;
use wootz_ir::{Builder, DType, Graph, HostTensor, Shape, TypeError, Value};

/// How the fits of a graph run.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ProfileOptions {
    /// Densities that a fit may evaluate before it is given up.
    pub max_evaluations: usize,
    /// Whether the free fit starts from an input `start`, `f64[parameters]`, which comes before the templates, instead of the model's initial
    /// values. The last output, `parameters`, is then the best fit, for the next run to start from; `start` itself where a fit does not converge.
    pub warm: bool,
}

impl Default for ProfileOptions {
    fn default() -> ProfileOptions {
        ProfileOptions { max_evaluations: 200, warm: false }
    }
}

impl Model {
    /// A test statistic as a graph: `mu` (a scalar), `data`, then the chosen templates → `value`, `mu_hat` (the best-fit parameter of interest).
    ///
    /// It is that of [`Inference::test_statistic`](crate::Inference::test_statistic) at tight tolerance, with the model's initial values, bounds
    /// and fixed parameters. Both are differentiable in reverse mode by every input: `value` by the envelope theorem, and 0 with derivative 0 where
    /// the best fit is on the side that the statistic does not look at; `mu_hat` by the implicit function theorem, as the parameters of
    /// [`fit_graph`](Model::fit_graph). Both are NaN where a fit does not converge. Under `vmap`, over toys, hypotheses or templates, finished
    /// fits wait for the others.
    ///
    /// # Errors
    /// If the model has no parameter of interest; if a transformation fails, which is an error in wootz.
    pub fn test_statistic_graph(
        &self,
        statistic: Statistic,
        options: &GraphOptions,
        fits: ProfileOptions,
    ) -> Result<Graph, InferenceError> {
        let poi = self.config().poi.ok_or(InferenceError::NoPoi)?;
        let (inputs, outputs) = signature(self, &["value", "mu_hat"], fits);
        let built = super::graph_of(self, options, &inputs, &outputs, |b, args, templates| {
            let [mu, data] = [args[0], args[1]];
            let profiles = Profiles::new(b, self, poi, templates, fits.max_evaluations)?;
            let start = start(b, &profiles, args)?;
            let best = profiles.free(b, start, data)?;
            let held = profiles.at(b, mu, best.parameters, data)?;
            let mu_hat = profiles.poi(b, best.parameters)?;
            let value = value(b, statistic, mu, mu_hat, [held.nll, best.nll])?;
            let converged = b.and(best.converged, held.converged)?;
            let mut results = vec![or_nan(b, converged, value)?, or_nan(b, best.converged, mu_hat)?];
            results.extend(fits.warm.then(|| next_start(b, &best, start)).transpose()?);
            Ok::<_, RuleError>(results)
        });
        Ok(built?)
    }
}

/// Inputs before the templates, and outputs.
pub(super) fn signature<'o>(
    model: &Model,
    outputs: &[&'o str],
    fits: ProfileOptions,
) -> (Vec<(&'static str, Shape)>, Vec<&'o str>) {
    let config = model.config();
    let mut inputs = vec![("mu", Shape::scalar()), ("data", Shape::from([config.data_len()]))];
    inputs.extend(fits.warm.then(|| ("start", Shape::from([config.parameters()]))));
    (inputs, outputs.iter().copied().chain(fits.warm.then_some("parameters")).collect())
}

/// Where the free fit starts; nothing is differentiated by it.
pub(super) fn start(b: &mut Builder, profiles: &Profiles<'_>, args: &[Value]) -> Built {
    match args {
        [_, _, start] => b.stop_gradient(*start),
        _ => Ok(profiles.init),
    }
}

/// The best fit, or `start` where it does not converge.
pub(super) fn next_start(b: &mut Builder, best: &Fitted, start: Value) -> Built {
    let shape = b.ty(start).shape.clone();
    let converged = b.broadcast(best.converged, &shape, &[])?;
    b.select(converged, best.parameters, start)
}

/// Fits within the model's bounds.
pub(super) struct Profiles<'a> {
    fits: Fits<'a>,
    poi: usize,
    pub(super) init: Value,
    lower: Value,
    upper: Value,
    /// 1 for parameters of a free fit, and of one that holds the parameter of interest.
    free: Value,
    others: Value,
    is_poi: Value,
    tolerance: Value,
}

impl<'a> Profiles<'a> {
    pub(super) fn new(
        b: &mut Builder,
        model: &Model,
        poi: usize,
        templates: &'a Templates,
        max_evaluations: usize,
    ) -> Result<Profiles<'a>, RuleError> {
        let config = model.config();
        let vector = |b: &mut Builder, values: Vec<f64>| {
            b.constant(HostTensor::from_f64(DType::F64, &[values.len()], &values))
        };
        let free: Vec<f64> = config.fixed.iter().map(|fixed| f64::from(u8::from(!fixed))).collect();
        let others = free.iter().enumerate().map(|(i, f)| if i == poi { 0.0 } else { *f }).collect();
        let is_poi: Vec<i64> = (0..config.parameters()).map(|i| i64::from(i == poi)).collect();
        Ok(Profiles {
            fits: Fits::new(b, model, templates, max_evaluations)?,
            poi,
            init: vector(b, config.init.clone()),
            lower: vector(b, config.bounds.iter().map(|x| x.0).collect()),
            upper: vector(b, config.bounds.iter().map(|x| x.1).collect()),
            free: vector(b, free),
            others: vector(b, others),
            is_poi: b.constant(HostTensor::from_i64(DType::Bool, &[is_poi.len()], &is_poi)),
            tolerance: b.scalar(DType::F64, FitOptions::TOLERANCE_FOR_GRADIENTS),
        })
    }

    /// The fit of all free parameters.
    pub(super) fn free(&self, b: &mut Builder, init: Value, data: Value) -> Result<Fitted, RuleError> {
        self.fits.fit(b, [init, data, self.free, self.lower, self.upper, self.tolerance])
    }

    /// The fit with the parameter of interest held at `mu`, from where another one ended.
    pub(super) fn at(
        &self,
        b: &mut Builder,
        mu: Value,
        start: Value,
        data: Value,
    ) -> Result<Fitted, RuleError> {
        let shape = b.ty(self.init).shape.clone();
        let tested = b.broadcast(mu, &shape, &[])?;
        let start = b.stop_gradient(start)?;
        let start = b.select(self.is_poi, tested, start)?;
        self.fits.fit(b, [start, data, self.others, self.lower, self.upper, self.tolerance])
    }

    /// The parameter of interest.
    pub(super) fn poi(&self, b: &mut Builder, parameters: Value) -> Built {
        let found = b.slice(parameters, &[self.poi], &[self.poi + 1], &[1])?;
        b.reshape(found, Shape::scalar())
    }
}

/// A statistic of `mu`, given −ln L of the conditional and of the best fit.
pub(super) fn value(
    b: &mut Builder,
    statistic: Statistic,
    mu: Value,
    mu_hat: Value,
    [held, best]: [Value; 2],
) -> Built {
    let difference = b.sub(held, best)?;
    let value = b.mul_scalar(difference, 2.0)?;
    let zero = b.scalar(DType::F64, 0.0);
    let value = b.maximum(value, zero)?;
    match statistic {
        Statistic::Q0 => {
            let is_below = b.lt(mu_hat, zero)?;
            b.select(is_below, zero, value)
        }
        Statistic::Qmu | Statistic::QmuTilde => {
            let is_above = b.gt(mu_hat, mu)?;
            b.select(is_above, zero, value)
        }
        Statistic::Tmu | Statistic::TmuTilde => Ok(value),
    }
}

/// `x` where `is_known`, elsewhere NaN.
pub(super) fn or_nan(b: &mut Builder, is_known: Value, x: Value) -> Result<Value, TypeError> {
    let not_a_number = b.scalar(DType::F64, f64::NAN);
    b.select(is_known, x, not_a_number)
}
