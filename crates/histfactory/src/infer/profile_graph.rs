//! Profiled likelihoods as graphs: fits whose derivatives are known, so that test statistics batch and differentiate like any other function.

use super::fit_graph::{Fitted, fitted};
use super::implicit::{ARGS, log_density};
use super::{FitOptions, InferenceError, Statistic};
use crate::{GraphOptions, Model, Templates};
use wootz_ir::ops::{Control, RegionTransforms, RuleError};
use wootz_ir::{Builder, DType, Graph, HostTensor, Shape, TensorType, Value};
use wootz_transform::Transforms;

impl Model {
    /// A test statistic as a graph: `mu` (a scalar), `data`, then the chosen templates → `value`, `mu_hat` (the best-fit parameter of interest).
    ///
    /// It is that of [`Inference::test_statistic`](crate::Inference::test_statistic) at tight tolerance, with the model's initial values, bounds
    /// and fixed parameters. `value` is differentiable by every input (envelope theorem), and 0 with derivative 0 where the best fit is on the
    /// side that the statistic does not look at; `mu_hat` carries no derivative. Both are NaN where a fit does not converge. Under `vmap`,
    /// over toys, hypotheses or templates, finished fits wait for the others.
    ///
    /// # Errors
    /// If the model has no parameter of interest; if a transformation fails, which is an error in wootz.
    pub fn test_statistic_graph(
        &self,
        statistic: Statistic,
        options: &GraphOptions,
        max_evaluations: usize,
    ) -> Result<Graph, InferenceError> {
        let config = self.config();
        let poi = config.poi.ok_or(InferenceError::NoPoi)?;
        let inputs = [("mu", Shape::scalar()), ("data", Shape::from([config.data_len()]))];
        let built = super::graph_of(self, options, &inputs, &["value", "mu_hat"], |b, args, templates| {
            let [mu, data] = [args[0], args[1]];
            let vector = |b: &mut Builder, values: Vec<f64>| {
                b.constant(HostTensor::from_f64(DType::F64, &[values.len()], &values))
            };
            let init = vector(b, config.init.clone());
            let [lower, upper] = [
                vector(b, config.bounds.iter().map(|x| x.0).collect()),
                vector(b, config.bounds.iter().map(|x| x.1).collect()),
            ];
            let is_free = |i: usize| f64::from(u8::from(!config.fixed[i]));
            let free: Vec<f64> = (0..config.parameters()).map(is_free).collect();
            let others = free.iter().enumerate().map(|(i, f)| if i == poi { 0.0 } else { *f }).collect();
            let (free, others) = (vector(b, free), vector(b, others));
            let tolerance = b.scalar(DType::F64, FitOptions::TOLERANCE_FOR_GRADIENTS);
            let of = |init, free| [init, data, free, lower, upper, tolerance];
            let [best, parameters] = profiled(b, self, of(init, free), templates, max_evaluations)?;

            let is_poi: Vec<i64> = (0..config.parameters()).map(|i| i64::from(i == poi)).collect();
            let is_poi = b.constant(HostTensor::from_i64(DType::Bool, &[is_poi.len()], &is_poi));
            let tested = b.broadcast(mu, &Shape::from([config.parameters()]), &[])?;
            let start = b.select(is_poi, tested, parameters)?;
            let [held, _] = profiled(b, self, of(start, others), templates, max_evaluations)?;

            let mu_hat = b.slice(parameters, &[poi], &[poi + 1], &[1])?;
            let mu_hat = b.reshape(mu_hat, Shape::scalar())?;
            let difference = b.sub(held, best)?;
            let value = b.mul_scalar(difference, 2.0)?;
            let zero = b.scalar(DType::F64, 0.0);
            let value = b.maximum(value, zero)?;
            let value = match statistic {
                Statistic::Q0 => {
                    let is_below = b.lt(mu_hat, zero)?;
                    b.select(is_below, zero, value)?
                }
                Statistic::Qmu | Statistic::QmuTilde => {
                    let is_above = b.gt(mu_hat, mu)?;
                    b.select(is_above, zero, value)?
                }
                Statistic::Tmu | Statistic::TmuTilde => value,
            };
            Ok::<_, RuleError>(vec![value, mu_hat])
        });
        Ok(built?)
    }
}

/// The least −ln L over the free parameters, a scalar, and where it is, `f64[parameters]`; NaN without convergence. The first has derivatives: by
/// data and templates those of ln L where the fit ended, by `init` those by fixed parameters. The second carries none.
fn profiled(
    b: &mut Builder,
    model: &Model,
    args: [Value; ARGS],
    templates: &Templates,
    max_evaluations: usize,
) -> Result<[Value; 2], RuleError> {
    let operands: Vec<Value> = args.into_iter().chain(templates.captured()).collect();
    let types: Vec<TensorType> = operands.iter().map(|v| b.ty(*v).clone()).collect();
    let least = |b: &mut Builder, p: &[Value]| -> Result<[Value; 2], RuleError> {
        let templates = templates.rebound(&p[ARGS..]);
        let Fitted { parameters, nll, converged, .. } =
            fitted(b, model, &p[..ARGS], &templates, max_evaluations)?;
        let not_a_number = b.scalar(DType::F64, f64::NAN);
        Ok([b.select(converged, nll, not_a_number)?, b.select(converged, parameters, not_a_number)?])
    };
    let primal = b.subregion::<RuleError>(&types, |b, p| Ok(least(b, p)?.to_vec()))?;
    let forward = b.subregion::<RuleError>(&types, |b, p| {
        let [nll, parameters] = least(b, p)?;
        let residuals = [parameters, p[1], p[2]].into_iter().chain(p[ARGS..].iter().copied());
        Ok([nll, parameters].into_iter().chain(residuals).collect())
    })?;
    let scalar = TensorType::new(DType::F64, Shape::scalar());
    let saved = [&types[..3], &types[ARGS..], &[scalar, types[0].clone()]].concat();
    let backward = b.subregion::<RuleError>(&saved, |b, p| {
        let (cotangent, known) = (p[p.len() - 2], &p[..p.len() - 2]);
        let (point, free) = ([&known[..2], &known[3..]].concat(), known[2]);
        let body = log_density(b, model, &point, templates)?;
        let minus = b.neg(cotangent)?;
        let needs = vec![true; point.len()];
        let found = Transforms::new().vjp_inline(b, &body, &point, &[Some(minus)], &needs)?;
        let mut derivatives = Vec::with_capacity(point.len());
        for (derivative, x) in found.into_iter().zip(&point) {
            derivatives.push(match derivative {
                Some(derivative) => derivative,
                None => b.full_like(*x, 0.0)?,
            });
        }
        let one = b.scalar(DType::F64, 1.0);
        let is_fixed = b.sub(one, free)?;
        let zero = b.scalar(DType::F64, 0.0);
        let is_fixed = b.gt(is_fixed, zero)?;
        let by_init = b.select(is_fixed, derivatives[0], zero)?;
        let none = types[2..ARGS].iter().map(|ty| b.full(ty, 0.0)).collect::<Result<Vec<_>, _>>()?;
        let by_templates = derivatives[2..].iter().copied();
        Ok([by_init, derivatives[1]].into_iter().chain(none).chain(by_templates).collect())
    })?;
    let out = b.push_multi(Control::CustomVjp { primal, forward, backward }, &operands)?;
    Ok([out[0], out[1]])
}
