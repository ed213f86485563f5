//! Test statistics from profiled likelihoods.
//!
//! Definitions and names: Cowan, Cranmer, Gross, Vitells, *Asymptotic formulae for likelihood-based tests of new physics*, Eur. Phys. J. C 71
//! (2011) 1554; which fits are bounded follows pyhf: both fits use the same bounds, so that q̃ and t̃ are q and t with a lower bound of
//! 0 on the parameter of interest.

use super::{Fit, FitOptions, Inference, InferenceError};

/// A test statistic of a value μ of the parameter of interest.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum Statistic {
    /// q0: of μ = 0 for discovery; 0 if the best fit is below 0.
    Q0,
    /// qμ: for upper limits; 0 if the best fit is above μ. The parameter of interest may be negative.
    Qmu,
    /// q̃μ: qμ with a parameter of interest that is not negative.
    #[default]
    QmuTilde,
    /// tμ: two-sided. The parameter of interest may be negative.
    Tmu,
    /// t̃μ: tμ with a parameter of interest that is not negative.
    TmuTilde,
}

impl Statistic {
    /// Every statistic.
    pub const ALL: [Statistic; 5] =
        [Statistic::Q0, Statistic::Qmu, Statistic::QmuTilde, Statistic::Tmu, Statistic::TmuTilde];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Statistic::Q0 => "q0",
            Statistic::Qmu => "q",
            Statistic::QmuTilde => "qtilde",
            Statistic::Tmu => "t",
            Statistic::TmuTilde => "ttilde",
        }
    }

    /// The statistic of this name.
    pub fn parse(name: &str) -> Option<Statistic> {
        Statistic::ALL.into_iter().find(|s| s.name() == name)
    }

    /// What to do if the lower bound of the parameter of interest does not suit the statistic.
    pub fn advice(self, lower_bound: f64) -> Option<&'static str> {
        match self {
            Statistic::Qmu if lower_bound == 0.0 => Some(
                "q is for a parameter of interest that may be negative, but its lower bound is 0: use qtilde",
            ),
            Statistic::QmuTilde if lower_bound != 0.0 => Some(
                "qtilde is for a parameter of interest with a lower bound of 0, which this one has not: use q",
            ),
            Statistic::Tmu if lower_bound == 0.0 => Some(
                "t is for a parameter of interest that may be negative, but its lower bound is 0: use ttilde",
            ),
            Statistic::TmuTilde if lower_bound != 0.0 => Some(
                "ttilde is for a parameter of interest with a lower bound of 0, which this one has not: use t",
            ),
            _ => None,
        }
    }

    /// Its value, given both fits.
    pub(super) fn value(self, mu: f64, best: f64, conditional: &Fit, free: &Fit) -> f64 {
        let is_zero = match self {
            Statistic::Q0 => best < 0.0,
            Statistic::Qmu | Statistic::QmuTilde => best > mu,
            Statistic::Tmu | Statistic::TmuTilde => false,
        };
        if is_zero { 0.0 } else { (conditional.twice_nll - free.twice_nll).max(0.0) }
    }
}

/// A test statistic and the fits behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct TestStatistic {
    /// Which.
    pub statistic: Statistic,
    /// The tested value of the parameter of interest.
    pub mu: f64,
    /// The statistic.
    pub value: f64,
    /// The fit with the parameter of interest held at `mu`.
    pub conditional: Fit,
    /// The fit of all parameters.
    pub free: Fit,
    /// What to do if the lower bound of the parameter of interest does not suit the statistic.
    pub advice: Option<&'static str>,
}

/// By so much −2 ln L of a conditional fit must be below that of a free one to show a lower minimum and not rounding.
const LOWER: f64 = 1e-7;

impl Inference {
    /// A test statistic of `mu` (which must be 0 for [`Statistic::Q0`]).
    ///
    /// # Errors
    /// If a fit does not converge; if there is no parameter of interest, or it is fixed.
    pub fn test_statistic(
        &mut self,
        statistic: Statistic,
        mu: f64,
        data: &[f64],
        options: &FitOptions,
    ) -> Result<TestStatistic, InferenceError> {
        let (poi, lower) = self.poi(options)?;
        check_mu(statistic, mu)?;
        let free = self.fit(data, options)?;
        let conditional = self.fit(data, &options.from(&free.parameters).at_poi(mu))?;
        let free = self.lower(&free, &conditional, data, options)?.unwrap_or(free);
        let value = statistic.value(mu, free.parameters[poi], &conditional, &free);
        Ok(TestStatistic { statistic, mu, value, conditional, free, advice: statistic.advice(lower) })
    }

    /// The free fit made again from the conditional one, if that is lower: it was in the wrong minimum then.
    pub(super) fn lower(
        &mut self,
        free: &Fit,
        conditional: &Fit,
        data: &[f64],
        options: &FitOptions,
    ) -> Result<Option<Fit>, InferenceError> {
        let by = free.twice_nll - conditional.twice_nll;
        let poi = self.model().config().poi.ok_or(InferenceError::NoPoi)?;
        let bounds = options.bounds.as_ref().unwrap_or(&self.model().config().bounds);
        // A tested value outside the bounds may well be better than all inside.
        let is_inside = (bounds[poi].0..=bounds[poi].1).contains(&conditional.parameters[poi]);
        if by <= LOWER || !is_inside {
            return Ok(None);
        }
        let again = self.fit(data, &FitOptions { starts: 1, ..options.from(&conditional.parameters) })?;
        Ok((again.twice_nll < free.twice_nll).then_some(again))
    }

    /// The position of the parameter of interest, which must be free, and its lower bound.
    pub(super) fn poi(&self, options: &FitOptions) -> Result<(usize, f64), InferenceError> {
        let config = self.model().config();
        let poi = config.poi.ok_or(InferenceError::NoPoi)?;
        let fixed = options.fixed.as_ref().unwrap_or(&config.fixed);
        if options.poi.is_some() || fixed.get(poi).copied().unwrap_or(false) {
            return Err(InferenceError::PoiFixed { name: config.names[poi].clone() });
        }
        let bounds = options.bounds.as_ref().unwrap_or(&config.bounds);
        Ok((poi, bounds.get(poi).map_or(f64::NEG_INFINITY, |b| b.0)))
    }
}

pub(super) fn check_mu(statistic: Statistic, mu: f64) -> Result<(), InferenceError> {
    let what = "the tested value of the parameter of interest";
    if !mu.is_finite() {
        return Err(InferenceError::Value { what, value: mu, needs: "it must be finite" });
    }
    if statistic == Statistic::Q0 && mu != 0.0 {
        return Err(InferenceError::Value { what, value: mu, needs: "q0 tests 0" });
    }
    Ok(())
}
