//! What an analysis is judged by, with its derivatives by every template and datum.
//!
//! By the envelope theorem the derivative of a profiled −ln L is its partial derivative at the fitted parameters. Derivatives of fitted
//! parameters follow from the implicit function theorem on those that no bound holds: dθ̂ = −H⁻¹·d(∇(−ln L)); where a bound takes hold or
//! lets go they are one-sided. Both have errors of first order in the gradient that a fit leaves, which is why fits here end
//! at a tight tolerance.

use super::asymptotic::normal_cdf;
use super::derivatives::Derivatives;
use super::limit::{root, root_at};
use super::{FitOptions, Inference, InferenceError, Statistic};

/// What is differentiated. Tests of μ are by q̃μ or qμ, which agree on everything here but observed CLs above the best fit, where it is q̃μ's.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum Objective {
    /// q0, the statistic of a discovery.
    Q0,
    /// Z = √(q0 + 10⁻¹²); the constant keeps its derivative finite where there is no signal.
    Z0,
    /// CLs of the value `mu` of the parameter of interest.
    Cls {
        /// The tested value.
        mu: f64,
        /// Observed or expected.
        which: Which,
    },
    /// The upper limit on the parameter of interest.
    UpperLimit {
        /// CLs below which a value is excluded.
        level: f64,
        /// Observed or expected.
        which: Which,
    },
    /// The best-fit value of a parameter.
    Parameter(usize),
    /// The uncertainty of a parameter: the root of its variance by the inverse Hessian.
    Uncertainty(usize),
}

/// Observed or expected.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum Which {
    /// Of the data. For Asimov data that is the expected one.
    Observed,
    /// As expected without a signal, this many standard deviations from the median.
    Expected(f64),
}

/// The data of which an objective is taken.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum ObjectiveData<'a> {
    /// These counts, one a bin, and the auxiliary data at nominal.
    Observed(&'a [f64]),
    /// What the templates predict at the initial parameters, with a parameter of interest of 0 for CLs and limits and 1 otherwise. The free fit is
    /// known, then: it is there.
    Asimov,
}

/// Where fits start: where those of a previous call ended. New ones are cold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Starts {
    free: Option<Vec<f64>>,
    conditional: [Option<Vec<f64>>; 2],
    nuisances: Option<Vec<f64>>,
    limit: Option<f64>,
}

/// An objective and its derivatives.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The objective.
    pub value: f64,
    /// q0, or the square of what a test of μ is made from; `None` for parameters and uncertainties.
    pub statistic: Option<f64>,
    /// The best-fit parameter of interest. Below or at 0, q0 and its derivatives are 0.
    pub mu_hat: f64,
    /// The best-fit parameters.
    pub free: Vec<f64>,
    /// Those with the parameter of interest at the tested value.
    pub conditional: Option<Vec<f64>>,
    /// The derivatives. For Asimov data those by the data are part of those by the templates already.
    pub derivatives: Derivatives,
}

/// Data and their free fit.
struct Dataset {
    values: Vec<f64>,
    free: Vec<f64>,
    /// Which parameters the free fit may move.
    moving: Vec<bool>,
    log_density: f64,
}

/// A profiled −2 ln λ(μ).
struct Profiled {
    value: f64,
    conditional: Vec<f64>,
    /// Its derivative by μ.
    slope: f64,
}

/// A quantity that tests are made from: √q, and its derivatives.
struct Root {
    value: f64,
    slope: f64,
    profiled: Profiled,
}

const OBSERVED: usize = 0;
const ASIMOV: usize = 1;

impl Inference {
    /// An objective and its derivatives by every template that is an input, and by the data.
    ///
    /// # Errors
    /// If a fit does not converge; if there is no parameter of interest, or it is fixed; if a limit does not exist.
    pub fn objective(
        &mut self,
        objective: Objective,
        data: ObjectiveData<'_>,
        fit: &FitOptions,
        starts: &mut Starts,
    ) -> Result<Evaluation, InferenceError> {
        let (poi, _) = self.poi(fit)?;
        let mut run = Run { poi, data, fit, starts, inference: self };
        match objective {
            Objective::Q0 | Objective::Z0 => run.discovery(objective),
            Objective::Cls { mu, which } => run.cls(mu, which),
            Objective::UpperLimit { level, which } => run.limit(level, which),
            Objective::Parameter(index) => run.parameter(index),
            Objective::Uncertainty(index) => run.uncertainty(index),
        }
    }
}

struct Run<'a> {
    inference: &'a mut Inference,
    poi: usize,
    data: ObjectiveData<'a>,
    fit: &'a FitOptions,
    starts: &'a mut Starts,
}

impl Run<'_> {
    /// The data with their free fit. Asimov data have a parameter of interest of `mu`.
    fn dataset(&mut self, mu: f64) -> Result<Dataset, InferenceError> {
        match self.data {
            ObjectiveData::Asimov => {
                let config = self.inference.model().config();
                let mut free = self.fit.init.clone().unwrap_or_else(|| config.init.clone());
                if let Some(poi) = free.get_mut(self.poi) {
                    *poi = mu;
                }
                let fixed = self.fit.fixed.as_ref().unwrap_or(&config.fixed);
                let moving = fixed.iter().map(|f| !f).collect();
                let values = self.inference.expected_data(&free)?;
                let log_density = self.inference.log_density(&free, &values)?;
                Ok(Dataset { values, free, moving, log_density })
            }
            ObjectiveData::Observed(counts) => {
                let expected = self.inference.model().config().bins();
                if counts.len() != expected {
                    return Err(InferenceError::Length { what: "the counts", expected, got: counts.len() });
                }
                let values = [counts, &self.inference.nominal_auxdata()?].concat();
                let options = started(self.fit, self.starts.free.as_ref());
                let fit = self.inference.fit(&values, &options)?;
                self.starts.free = Some(fit.parameters.clone());
                Ok(Dataset {
                    values,
                    moving: fit.fitted.iter().zip(&fit.held).map(|(fitted, held)| *fitted && !held).collect(),
                    log_density: -0.5 * fit.twice_nll,
                    free: fit.parameters,
                })
            }
        }
    }

    /// Asimov data of the background hypothesis, as observed data suggest them, and the nuisance parameters with what may move.
    fn background(&mut self, observed: &Dataset) -> Result<(Dataset, Vec<f64>, Vec<bool>), InferenceError> {
        let start = self.starts.nuisances.as_ref().unwrap_or(&observed.free);
        let fit = self.inference.fit(&observed.values, &self.fit.from(start).at_poi(0.0))?;
        self.starts.nuisances = Some(fit.parameters.clone());
        let moving = fit.fitted.iter().zip(&fit.held).map(|(fitted, held)| *fitted && !held).collect();
        let values = self.inference.expected_data(&fit.parameters)?;
        let log_density = self.inference.log_density(&fit.parameters, &values)?;
        let free = fit.parameters.clone();
        Ok((Dataset { values, free, moving: Vec::new(), log_density }, fit.parameters, moving))
    }

    fn profile(&mut self, of: usize, dataset: &Dataset, mu: f64) -> Result<Profiled, InferenceError> {
        let start = self.starts.conditional[of].as_ref().unwrap_or(&dataset.free);
        let fit = self.inference.fit(&dataset.values, &self.fit.from(start).at_poi(mu))?;
        self.starts.conditional[of] = Some(fit.parameters.clone());
        Ok(Profiled {
            value: (fit.twice_nll + 2.0 * dataset.log_density).max(0.0),
            slope: 2.0 * fit.gradient[self.poi],
            conditional: fit.parameters,
        })
    }

    /// √q of an upper limit; 0 where the best fit is above μ.
    fn root(&mut self, of: usize, dataset: &Dataset, mu: f64) -> Result<Root, InferenceError> {
        let profiled = self.profile(of, dataset, mu)?;
        let value = if dataset.free[self.poi] > mu { 0.0 } else { profiled.value.sqrt() };
        let slope = if value > 0.0 { profiled.slope / (2.0 * value) } else { 0.0 };
        Ok(Root { value, slope, profiled })
    }

    /// Adds `weight` times the derivatives of a profiled statistic by data and templates.
    fn add_profiled(
        &mut self,
        sum: &mut Derivatives,
        weight: f64,
        dataset: &Dataset,
        profiled: &Profiled,
    ) -> Result<(), InferenceError> {
        self.inference.add_partial(sum, 2.0 * weight, &dataset.free, &dataset.values)?;
        self.inference.add_partial(sum, -2.0 * weight, &profiled.conditional, &dataset.values)
    }

    /// Adds `weight` times the derivatives of √q, which are taken to be 0 at 0.
    fn add_root(
        &mut self,
        sum: &mut Derivatives,
        weight: f64,
        dataset: &Dataset,
        root: &Root,
    ) -> Result<(), InferenceError> {
        if root.value == 0.0 || weight == 0.0 {
            return Ok(());
        }
        self.add_profiled(sum, weight / (2.0 * root.value), dataset, &root.profiled)
    }

    /// Adds what follows from derivatives by fitted parameters.
    fn add_fitted(
        &mut self,
        sum: &mut Derivatives,
        by_parameters: &[f64],
        parameters: &[f64],
        data: &[f64],
        moving: &[bool],
    ) -> Result<(), InferenceError> {
        let n = parameters.len();
        let covariance = self.inference.covariance_of(parameters, data, moving)?;
        let direction: Vec<f64> = (0..n)
            .map(|i| covariance[i * n..(i + 1) * n].iter().zip(by_parameters).map(|(c, x)| c * x).sum())
            .collect();
        self.inference.add_mixed(sum, 1.0, parameters, data, &direction)
    }

    /// Follows the data to the templates they depend on.
    fn finish(&mut self, mut sum: Derivatives, dataset: &Dataset) -> Result<Derivatives, InferenceError> {
        match self.data {
            ObjectiveData::Observed(_) => self.inference.add_nominal_auxdata(&mut sum)?,
            ObjectiveData::Asimov => {
                let by_data = sum.by_data.clone();
                self.inference.add_expected(&mut sum, &by_data, &dataset.free)?;
            }
        }
        Ok(sum)
    }

    fn discovery(&mut self, objective: Objective) -> Result<Evaluation, InferenceError> {
        let dataset = self.dataset(1.0)?;
        let profiled = self.profile(OBSERVED, &dataset, 0.0)?;
        let mu_hat = dataset.free[self.poi];
        let q0 = if mu_hat > 0.0 { profiled.value } else { 0.0 };
        let mut derivatives = self.inference.zero_derivatives();
        if q0 > 0.0 {
            self.add_profiled(&mut derivatives, 1.0, &dataset, &profiled)?;
            derivatives = self.finish(derivatives, &dataset)?;
        }
        let z = (q0 + 1e-12).sqrt();
        let is_z = objective == Objective::Z0;
        if is_z {
            derivatives.scale(0.5 / z);
        }
        Ok(Evaluation {
            value: if is_z { z } else { q0 },
            statistic: Some(q0),
            mu_hat,
            free: dataset.free,
            conditional: Some(profiled.conditional),
            derivatives,
        })
    }

    fn cls(&mut self, mu: f64, which: Which) -> Result<Evaluation, InferenceError> {
        super::statistic::check_mu(Statistic::QmuTilde, mu)?;
        let mut tests = Tests::new(self, which)?;
        let at = tests.at(self, mu)?;
        tests.evaluation(self, &at, at.cls, 1.0)
    }

    fn limit(&mut self, level: f64, which: Which) -> Result<Evaluation, InferenceError> {
        if !(level > 0.0 && level < 1.0) {
            let what = "the level of a limit";
            return Err(InferenceError::Value { what, value: level, needs: "it must be between 0 and 1" });
        }
        let mut tests = Tests::new(self, which)?;
        let guess = match self.starts.limit {
            Some(limit) => limit,
            None => {
                let root = tests.at(self, 1.0)?.asimov.value;
                let sigmas = if let Which::Expected(sigmas) = which { sigmas } else { 0.0 };
                if root > 0.0 { root_at(-sigmas, level) / root } else { 1.0 }
            }
        };
        let (mu, at) = tests.solve(self, level, guess)?;
        self.starts.limit = Some(mu);
        tests.evaluation(self, &at, mu, -1.0 / at.slope)
    }

    fn parameter(&mut self, index: usize) -> Result<Evaluation, InferenceError> {
        self.check_index(index)?;
        let dataset = self.dataset(1.0)?;
        let mut derivatives = self.inference.zero_derivatives();
        // Asimov data are fitted by what they were made from, whatever the templates.
        if matches!(self.data, ObjectiveData::Observed(_)) && dataset.moving[index] {
            let mut by_parameters = vec![0.0; dataset.free.len()];
            by_parameters[index] = 1.0;
            let Dataset { free, values, moving, .. } = &dataset;
            self.add_fitted(&mut derivatives, &by_parameters, free, values, moving)?;
            derivatives = self.finish(derivatives, &dataset)?;
        }
        Ok(self.of_fit(dataset.free[index], dataset, derivatives))
    }

    fn uncertainty(&mut self, index: usize) -> Result<Evaluation, InferenceError> {
        self.check_index(index)?;
        let dataset = self.dataset(1.0)?;
        let mut derivatives = self.inference.zero_derivatives();
        let n = dataset.free.len();
        let covariance = self.inference.covariance_of(&dataset.free, &dataset.values, &dataset.moving)?;
        let error = covariance[index * n + index].sqrt();
        if error > 0.0 {
            // dV = −uᵀ·dH·u with u the row of the covariance.
            let row = &covariance[index * n..(index + 1) * n];
            let Dataset { free, values, moving, .. } = &dataset;
            let weight = 0.5 / error;
            let by_parameters = self.inference.add_curved(&mut derivatives, weight, free, values, row)?;
            if matches!(self.data, ObjectiveData::Observed(_)) {
                self.add_fitted(&mut derivatives, &by_parameters, free, values, moving)?;
            }
            derivatives = self.finish(derivatives, &dataset)?;
        }
        Ok(self.of_fit(error, dataset, derivatives))
    }

    fn of_fit(&self, value: f64, dataset: Dataset, derivatives: Derivatives) -> Evaluation {
        let mu_hat = dataset.free[self.poi];
        Evaluation { value, statistic: None, mu_hat, free: dataset.free, conditional: None, derivatives }
    }

    fn check_index(&self, index: usize) -> Result<(), InferenceError> {
        let expected = self.inference.model().config().parameters();
        match index < expected {
            true => Ok(()),
            false => Err(InferenceError::Value {
                what: "the position of a parameter",
                value: index as f64,
                needs: "it must be one of the model's",
            }),
        }
    }
}

/// Tests of any μ with the same data.
struct Tests {
    which: Which,
    observed: Dataset,
    /// Asimov data of the background hypothesis with the fit that they are made from; for Asimov data, `observed` is that.
    background: Option<(Dataset, Vec<f64>, Vec<bool>)>,
}

/// CLs of a μ and what it is made from.
struct Test {
    cls: f64,
    /// The derivatives of CLs by √q of observed and of Asimov data.
    by_root: [f64; 2],
    /// The derivative by μ.
    slope: f64,
    observed: Option<Root>,
    asimov: Root,
}

impl Tests {
    fn new(run: &mut Run<'_>, which: Which) -> Result<Tests, InferenceError> {
        let observed = run.dataset(0.0)?;
        let background = match run.data {
            ObjectiveData::Observed(_) => Some(run.background(&observed)?),
            ObjectiveData::Asimov => None,
        };
        let which =
            if background.is_none() && which == Which::Observed { Which::Expected(0.0) } else { which };
        Ok(Tests { which, observed, background })
    }

    fn at(&mut self, run: &mut Run<'_>, mu: f64) -> Result<Test, InferenceError> {
        let asimov = self.background.as_ref().map_or(&self.observed, |(dataset, ..)| dataset);
        let asimov = run.root(ASIMOV, asimov, mu)?;
        let a = asimov.value;
        let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let (cls, by_root, observed) = match self.which {
            Which::Expected(sigmas) => {
                let below = normal_cdf(sigmas);
                let cls = normal_cdf(sigmas - a) / below;
                (cls, [0.0, -density(sigmas - a) / below], None)
            }
            Which::Observed => {
                let observed = run.root(OBSERVED, &self.observed, mu)?;
                let r = observed.value;
                // The statistic less its mean under the background hypothesis, and its derivatives.
                let (shifted, by_r, by_a) = match r > a && a > 0.0 {
                    true => ((r * r - a * a) / (2.0 * a), r / a, -0.5 * (r * r / (a * a) + 1.0)),
                    false => (r - a, 1.0, -1.0),
                };
                let (both, below) = (normal_cdf(-(shifted + a)), normal_cdf(-shifted));
                let cls = both / below;
                let slope = |by: f64, and: f64| {
                    (-density(shifted + a) * (by + and) + cls * density(shifted) * by) / below
                };
                (cls, [slope(by_r, 0.0), slope(by_a, 1.0)], Some(observed))
            }
        };
        let of_observed = observed.as_ref().map_or(0.0, |o| by_root[0] * o.slope);
        Ok(Test { cls, by_root, slope: of_observed + by_root[1] * asimov.slope, observed, asimov })
    }

    /// μ with CLs at the level: Newton's method for ln CLs, which is close to a parabola, or Brent's where it fails.
    fn solve(&mut self, run: &mut Run<'_>, level: f64, guess: f64) -> Result<(f64, Test), InferenceError> {
        const STEPS: usize = 12;
        let mut mu = guess;
        for _ in 0..STEPS {
            let at = self.at(run, mu)?;
            let step = -(at.cls / level).ln() * at.cls / at.slope;
            if !step.is_finite() {
                break;
            }
            if step.abs() <= 1e-10 * mu.abs() {
                return Ok((mu, at));
            }
            mu = (mu + step).clamp(0.25 * mu, 4.0 * mu);
        }
        let value = |mu: f64| Ok((self.at(run, mu)?.cls / level).ln());
        let found = root(value, guess, 1e-12)?;
        let mu = found.map_err(|value| run.inference.no_limit(run.poi, value, level))?;
        let at = self.at(run, mu)?;
        Ok((mu, at))
    }

    /// A value whose derivative by CLs is `weight`.
    fn evaluation(
        self,
        run: &mut Run<'_>,
        at: &Test,
        value: f64,
        weight: f64,
    ) -> Result<Evaluation, InferenceError> {
        let mut derivatives = run.inference.zero_derivatives();
        if let Some(observed) = &at.observed {
            run.add_root(&mut derivatives, weight * at.by_root[0], &self.observed, observed)?;
        }
        match &self.background {
            None => run.add_root(&mut derivatives, weight * at.by_root[1], &self.observed, &at.asimov)?,
            Some((dataset, nuisances, moving)) => {
                let mut of_asimov = run.inference.zero_derivatives();
                run.add_root(&mut of_asimov, weight * at.by_root[1], dataset, &at.asimov)?;
                let by_data = std::mem::take(&mut of_asimov.by_data);
                derivatives.by_template.iter_mut().zip(&of_asimov.by_template).for_each(
                    |((_, sum), (_, row))| {
                        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
                    },
                );
                let by_parameters = run.inference.add_expected(&mut derivatives, &by_data, nuisances)?;
                run.add_fitted(&mut derivatives, &by_parameters, nuisances, &self.observed.values, moving)?;
            }
        }
        let derivatives = run.finish(derivatives, &self.observed)?;
        let tested = at.observed.as_ref().unwrap_or(&at.asimov);
        Ok(Evaluation {
            value,
            statistic: Some(tested.profiled.value),
            mu_hat: self.observed.free[run.poi],
            free: self.observed.free,
            conditional: Some(tested.profiled.conditional.clone()),
            derivatives,
        })
    }
}

/// The options with another starting point, if there is one.
fn started(fit: &FitOptions, start: Option<&Vec<f64>>) -> FitOptions {
    match start {
        Some(start) => fit.from(start),
        None => fit.clone(),
    }
}
