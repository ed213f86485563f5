//! What an analysis is judged by, with its derivatives by every template and datum.
//!
//! By the envelope theorem the derivative of a profiled −ln L is its partial derivative at the fitted parameters. Derivatives of fitted
//! parameters follow from the implicit function theorem on those that no bound holds: dθ̂ = −H⁻¹·d(∇(−ln L)); where a bound takes hold or
//! lets go they are one-sided. Both have errors of first order in the gradient that a fit leaves, which is why fits here end
//! at a tight tolerance.

use super::derivatives::Derivatives;
use super::limit::root_at;
use super::{Fit, FitOptions, Inference, InferenceError, NotConverged, Statistic};

mod cls;

use cls::Tests;

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
    /// These counts, one a bin, and the auxiliary data at nominal; or counts and auxiliary data, which then stay what they are whatever the
    /// templates.
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

/// Derivatives have relative errors of about the gradient that a fit leaves. Where rounding ends a fit, this much of it is let pass.
const ROUNDED: f64 = 1e-8;
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
        let mut run = Run { poi, data, fit: fit.clone(), starts, inference: self };
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
    fit: FitOptions,
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
            ObjectiveData::Observed(given) => {
                let config = self.inference.model().config();
                let (expected, all) = (config.bins(), config.data_len());
                let values = match given.len() {
                    got if got == all => given.to_vec(),
                    got if got == expected => [given, &self.inference.nominal_auxdata()?].concat(),
                    got => return Err(InferenceError::Length { what: "the counts", expected, got }),
                };
                let options = started(&self.fit, self.starts.free.as_ref());
                let fit = self.fitted(&values, &options)?;
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
        let fit = self.fitted(&observed.values, &self.fit.from(start).at_poi(0.0))?;
        self.starts.nuisances = Some(fit.parameters.clone());
        let moving = fit.fitted.iter().zip(&fit.held).map(|(fitted, held)| *fitted && !held).collect();
        let values = self.inference.expected_data(&fit.parameters)?;
        let log_density = self.inference.log_density(&fit.parameters, &values)?;
        let free = fit.parameters.clone();
        Ok((Dataset { values, free, moving: Vec::new(), log_density }, fit.parameters, moving))
    }

    /// A fit whose result has derivatives. It has one start, so that it follows a minimum as templates change, and does not leave it for another.
    fn fitted(&mut self, data: &[f64], options: &FitOptions) -> Result<Fit, InferenceError> {
        let fit = self.inference.fit(data, &FitOptions { starts: 1, ..options.clone() })?;
        if fit.kkt <= options.tolerance.max(ROUNDED) {
            return Ok(fit);
        }
        Err(InferenceError::NotConverged {
            what: "what derivatives are taken of".to_owned(),
            reason: NotConverged::Rounding,
            iterations: fit.iterations,
            kkt: fit.kkt,
            tolerance: options.tolerance,
            parameters: fit.parameters,
        })
    }

    fn profile(&mut self, of: usize, dataset: &Dataset, mu: f64) -> Result<Profiled, InferenceError> {
        let start = self.starts.conditional[of].as_ref().unwrap_or(&dataset.free);
        let fit = self.fitted(&dataset.values, &self.fit.from(start).at_poi(mu))?;
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
            ObjectiveData::Observed(given) if given.len() == dataset.values.len() => {}
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

    /// Tests whose data's best fit no upper bound holds. Asimov data have none: their parameter of interest is 0.
    fn unbounded_tests(&mut self, which: Which) -> Result<Tests, InferenceError> {
        loop {
            let tests = Tests::new(self, which)?;
            let mu_hat = tests.observed.free[self.poi];
            match self.inference.widened(&self.fit, self.poi, mu_hat) {
                Some(wider) if tests.background.is_some() => self.fit = wider,
                _ => return Ok(tests),
            }
        }
    }

    fn limit(&mut self, level: f64, which: Which) -> Result<Evaluation, InferenceError> {
        if !(level > 0.0 && level < 1.0) {
            let what = "the level of a limit";
            return Err(InferenceError::Value { what, value: level, needs: "it must be between 0 and 1" });
        }
        let mut tests = self.unbounded_tests(which)?;
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

/// The options with another starting point, if there is one.
fn started(fit: &FitOptions, start: Option<&Vec<f64>>) -> FitOptions {
    match start {
        Some(start) => fit.from(start),
        None => fit.clone(),
    }
}
