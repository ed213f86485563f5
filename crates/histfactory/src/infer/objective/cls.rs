//! CLs of any value of the parameter of interest, and the limit where it is at a level.

use super::super::InferenceError;
use super::super::asymptotic::{cls, normal_cdf, normal_density};
use super::super::limit::root;
use super::{ASIMOV, Dataset, Evaluation, OBSERVED, ObjectiveData, Root, Run, Which};

/// Tests of any μ with the same data.
pub(super) struct Tests {
    which: Which,
    pub(super) observed: Dataset,
    /// Asimov data of the background hypothesis with the fit that they are made from; for Asimov data, `observed` is that.
    pub(super) background: Option<(Dataset, Vec<f64>, Vec<bool>)>,
}

/// CLs of a μ and what it is made from.
pub(super) struct Test {
    pub(super) cls: f64,
    /// The derivatives of CLs by √q of observed and of Asimov data.
    by_root: [f64; 2],
    /// The derivative by μ.
    pub(super) slope: f64,
    observed: Option<Root>,
    pub(super) asimov: Root,
}

impl Tests {
    pub(super) fn new(run: &mut Run<'_>, which: Which) -> Result<Tests, InferenceError> {
        let observed = run.dataset(0.0)?;
        let background = match run.data {
            ObjectiveData::Observed(_) => Some(run.background(&observed)?),
            ObjectiveData::Asimov => None,
        };
        let which =
            if background.is_none() && which == Which::Observed { Which::Expected(0.0) } else { which };
        Ok(Tests { which, observed, background })
    }

    pub(super) fn at(&mut self, run: &mut Run<'_>, mu: f64) -> Result<Test, InferenceError> {
        let asimov = self.background.as_ref().map_or(&self.observed, |(dataset, ..)| dataset);
        let asimov = run.root(ASIMOV, asimov, mu)?;
        let a = asimov.value;
        let (cls, by_root, observed) = match self.which {
            Which::Expected(sigmas) => {
                let below = normal_cdf(sigmas);
                let cls = normal_cdf(sigmas - a) / below;
                (cls, [0.0, -normal_density(sigmas - a) / below], None)
            }
            Which::Observed => {
                let observed = run.root(OBSERVED, &self.observed, mu)?;
                let (cls, by_root) = cls(observed.value, a, true);
                (cls, by_root, Some(observed))
            }
        };
        let of_observed = observed.as_ref().map_or(0.0, |o| by_root[0] * o.slope);
        Ok(Test { cls, by_root, slope: of_observed + by_root[1] * asimov.slope, observed, asimov })
    }

    /// μ with CLs at the level: Newton's method for ln CLs, which is close to a parabola, or Brent's where it fails.
    pub(super) fn solve(
        &mut self,
        run: &mut Run<'_>,
        level: f64,
        guess: f64,
    ) -> Result<(f64, Test), InferenceError> {
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
    pub(super) fn evaluation(
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
