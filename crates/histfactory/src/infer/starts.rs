//! Fits from further starting points, where the first one leaves a doubt.
//!
//! −ln L of a binned model is close to a parabola where rates are close to linear in the parameters, and has one minimum then. It can have several
//! where variations bend the rates, where free factors multiply each other, and at the kinks of interpolation codes 0 and 1. A fit sees that on its
//! way: its steps bring more or less than the parabola through their start says, or it ends with a free factor at a bound. Fits without such a sign
//! are left alone, so that they cost what one start costs.

use super::fit::{Problem, Run};
use super::{Fit, FitOptions, Inference, InferenceError, NotConverged};
use crate::model::Constraint;
use crate::{HistosysCode, Model, NormsysCode};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

/// Another minimum must be lower than this and than rounding to be taken.
const LOWER: f64 = 1e-9;
/// How widely starts are drawn: variations in standard deviations.
const WIDTH: f64 = 1.2;
/// With a kink at its initial value a parameter starts at least this far on the other side of it.
const BEYOND_KINK: f64 = 0.1;

impl Inference {
    /// The maximum likelihood fit.
    ///
    /// Where the first fit ends in doubt (see [`FitOptions::starts`]), further ones start elsewhere and the lowest minimum is the result: with the
    /// variations of the first result mirrored at their initial values and all else at its own; at the first result with the factors that
    /// nothing constrains at their initial values; then at points drawn around the initial values, always the same ones.
    ///
    /// # Errors
    /// If it does not converge; if the options or the data are not right.
    pub fn fit(&mut self, data: &[f64], options: &FitOptions) -> Result<Fit, InferenceError> {
        let mut problem = Problem::new(self, data, options)?;
        problem.bind(self, data)?;
        let mut run = Run::new(self, &problem, data);
        let first = run.minimise();
        let (mut evaluations, is_bent) = (run.evaluations, run.is_bent);
        if options.starts <= 1 || !is_doubtful(self.model(), &problem, &first, is_bent) {
            return first;
        }
        let found = match &first {
            Ok(fit) => fit.parameters.clone(),
            Err(InferenceError::NotConverged { parameters, .. }) => parameters.clone(),
            Err(_) => return first,
        };
        let (mut best, mut starts) = (first, 1);
        let mut tried = vec![problem.start.clone()];
        for number in 1..options.starts {
            let start = further(self.model(), &problem, &found, number);
            if tried.contains(&start) {
                continue;
            }
            problem.start = start.clone();
            tried.push(start);
            problem.bind(self, data)?;
            let mut run = Run::new(self, &problem, data);
            let fit = run.minimise();
            evaluations += run.evaluations;
            starts += 1;
            best = match (best, fit) {
                (Ok(best), Ok(fit)) => {
                    let is_lower = fit.twice_nll < best.twice_nll - 2.0 * problem.noise.max(LOWER);
                    Ok(if is_lower { fit } else { best })
                }
                (Err(_), Ok(fit)) => Ok(fit),
                (best, Err(InferenceError::NotConverged { .. } | InferenceError::NoDensity { .. })) => best,
                (_, Err(error)) => return Err(error),
            };
        }
        best.map(|fit| Fit { starts, evaluations, ..fit })
    }
}

/// Whether there may be a lower minimum than the one found.
fn is_doubtful(model: &Model, problem: &Problem, found: &Result<Fit, InferenceError>, is_bent: bool) -> bool {
    match found {
        Ok(fit) => is_bent || has_kinks(model) || has_factor_at_bound(model, problem, fit),
        // A fit that only was not given the iterations that it needs would need as many elsewhere.
        Err(InferenceError::NotConverged { reason: NotConverged::Iterations, .. }) => {
            is_bent || has_kinks(model)
        }
        Err(error) => matches!(error, InferenceError::NotConverged { .. }),
    }
}

/// Whether the derivatives of rates jump.
fn has_kinks(model: &Model) -> bool {
    let (settings, s) = (model.options().settings, model.structure());
    (settings.normsys == NormsysCode::Code1 && !s.normsys.is_empty())
        || (settings.histosys != HistosysCode::Code4p && !s.histosys.is_empty())
}

/// Whether a parameter that nothing constrains ends at a bound. That of interest may: its best fit is 0 in half of all experiments without signal.
fn has_factor_at_bound(model: &Model, problem: &Problem, fit: &Fit) -> bool {
    let poi = model.config().poi;
    factors(model).any(|i| {
        let x = fit.parameters[i];
        fit.held[i] && Some(i) != poi && (x <= problem.lower[i] || x >= problem.upper[i])
    })
}

/// The parameters that nothing constrains.
fn factors(model: &Model) -> impl Iterator<Item = usize> {
    let sets = model.config().parameter_sets.iter();
    sets.filter(|set| set.constraint == Constraint::None).flat_map(|set| set.slice.clone())
}

/// The parameters of variations, some more than once.
fn variations(model: &Model) -> impl Iterator<Item = usize> {
    let s = model.structure();
    s.normsys.iter().map(|e| e.parameter).chain(s.histosys.iter().map(|e| e.parameter))
}

/// A further starting point, numbered from 1.
fn further(model: &Model, problem: &Problem, found: &[f64], number: usize) -> Vec<f64> {
    let init = &model.config().init;
    let mut start = if number == 2 { found.to_vec() } else { init.clone() };
    match number {
        1 => {
            let least = if has_kinks(model) { BEYOND_KINK } else { 0.0 };
            for i in variations(model) {
                let shift = init[i] - found[i];
                start[i] = init[i] + if shift < 0.0 { shift.min(-least) } else { shift.max(least) };
            }
        }
        2 => factors(model).for_each(|i| start[i] = init[i]),
        _ => {
            let mut random = ChaCha8Rng::seed_from_u64(number as u64);
            let mut normal = || -> f64 { StandardNormal.sample(&mut random) };
            for i in variations(model) {
                start[i] = init[i] + WIDTH * normal();
            }
            for i in factors(model) {
                start[i] = init[i] * normal().exp();
            }
        }
    }
    for i in 0..start.len() {
        start[i] = match problem.free[i] > 0.0 {
            true => start[i].clamp(problem.lower[i], problem.upper[i]),
            false => problem.start[i],
        };
    }
    start
}
