//! Asymptotic p-values, CLs and significances, observed and expected.
//!
//! Formulae: Cowan, Cranmer, Gross, Vitells, Eur. Phys. J. C 71 (2011) 1554; conventions are those of pyhf: Asimov data are the expected data
//! at the parameters fitted to the observed ones with μ = 0 (μ = 1 for q0).

use super::statistic::check_mu;
use super::{Fit, FitOptions, Inference, InferenceError, Statistic};

/// How a hypothesis is tested.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HypotestOptions {
    /// q̃μ by default. One of q0, qμ, q̃μ.
    pub statistic: Statistic,
    /// How fits are made.
    pub fit: FitOptions,
}

/// The result of a test.
#[derive(Clone, Debug, PartialEq)]
pub struct Hypotest {
    /// The tested value of the parameter of interest.
    pub mu: f64,
    /// CLs = CLs+b / CLb; for q0 the p-value of the background hypothesis.
    pub observed: f64,
    /// Its median under the background (q0: signal) hypothesis and ±1σ, ±2σ, from −2σ to +2σ.
    pub expected: [f64; 5],
    /// The p-value of signal and background.
    pub cls_b: f64,
    /// The p-value of the background.
    pub cl_b: f64,
    /// The test statistic of the observed data.
    pub statistic: f64,
    /// The test statistic of Asimov data.
    pub asimov: f64,
    /// What to do if the lower bound of the parameter of interest does not suit the statistic.
    pub advice: Option<&'static str>,
}

/// The significance of a discovery.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Significance {
    /// Z = √q0.
    pub observed: f64,
    /// Its median if the signal is there with μ = 1.
    pub expected: f64,
    /// The p-value of the background hypothesis.
    pub p_value: f64,
    /// The best-fit parameter of interest.
    pub mu_hat: f64,
}

/// The standard normal distribution function.
pub(super) fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

/// The numbers of standard deviations of an expected band: from the strongest exclusion to the weakest.
pub(super) const BAND: [f64; 5] = [2.0, 1.0, 0.0, -1.0, -2.0];

/// Data with what does not depend on the tested value: Asimov data and both free fits.
pub(super) struct Prepared {
    statistic: Statistic,
    poi: usize,
    lower: f64,
    fit: FitOptions,
    data: [Vec<f64>; 2],
    free: [Fit; 2],
    /// The last conditional fits: where the next ones start.
    last: [Vec<f64>; 2],
}

impl Prepared {
    pub(super) fn new(
        inference: &mut Inference,
        statistic: Statistic,
        data: &[f64],
        fit: &FitOptions,
    ) -> Result<Prepared, InferenceError> {
        if matches!(statistic, Statistic::Tmu | Statistic::TmuTilde) {
            return Err(InferenceError::NotAsymptotic { statistic: statistic.name() });
        }
        let (poi, lower) = inference.poi(fit)?;
        let asimov_mu = if statistic == Statistic::Q0 { 1.0 } else { 0.0 };
        let free = inference.fit(data, fit)?;
        let nuisances = inference.fit(data, &fit.from(&free.parameters).at_poi(asimov_mu))?.parameters;
        let asimov = inference.expected_data(&nuisances)?;
        let asimov_free = inference.fit(&asimov, &fit.from(&nuisances))?;
        Ok(Prepared {
            statistic,
            poi,
            lower,
            fit: fit.clone(),
            data: [data.to_vec(), asimov],
            last: [free.parameters.clone(), nuisances],
            free: [free, asimov_free],
        })
    }

    pub(super) fn mu_hat(&self) -> f64 {
        self.free[0].parameters[self.poi]
    }

    /// The square root of the statistic of the observed data or (`of` is 1) of Asimov data.
    pub(super) fn root(
        &mut self,
        inference: &mut Inference,
        of: usize,
        mu: f64,
    ) -> Result<f64, InferenceError> {
        let options = self.fit.from(&self.last[of]).at_poi(mu);
        let conditional = inference.fit(&self.data[of], &options)?;
        let free = &self.free[of];
        let value = self.statistic.value(mu, free.parameters[self.poi], &conditional, free);
        self.last[of] = conditional.parameters;
        Ok(value.sqrt())
    }

    /// The test of `mu`.
    pub(super) fn test(&mut self, inference: &mut Inference, mu: f64) -> Result<Hypotest, InferenceError> {
        let (root, asimov) = (self.root(inference, 0, mu)?, self.root(inference, 1, mu)?);
        let shifted = match self.statistic {
            // Above the Asimov value q̃ is not distributed as q.
            Statistic::QmuTilde if root > asimov => (root * root - asimov * asimov) / (2.0 * asimov),
            _ => root - asimov,
        };
        let p_values = |shifted: f64| {
            let (cls_b, cl_b) = (normal_cdf(-(shifted + asimov)), normal_cdf(-shifted));
            (cls_b, cl_b, if self.statistic == Statistic::Q0 { cls_b } else { cls_b / cl_b })
        };
        let (cls_b, cl_b, observed) = p_values(shifted);
        Ok(Hypotest {
            mu,
            observed,
            expected: BAND.map(|n| p_values(n).2),
            cls_b,
            cl_b,
            statistic: root * root,
            asimov: asimov * asimov,
            advice: self.statistic.advice(self.lower),
        })
    }
}

impl Inference {
    /// Tests the value `mu` of the parameter of interest.
    ///
    /// # Errors
    /// If a fit does not converge; if there is no parameter of interest, or it is fixed; if the statistic has no asymptotic form here.
    pub fn hypotest(
        &mut self,
        mu: f64,
        data: &[f64],
        options: &HypotestOptions,
    ) -> Result<Hypotest, InferenceError> {
        check_mu(options.statistic, mu)?;
        Prepared::new(self, options.statistic, data, &options.fit)?.test(self, mu)
    }

    /// The expected data at the parameters fitted to `data` with the parameter of interest at `mu`.
    ///
    /// # Errors
    /// If the fit does not converge, or there is no parameter of interest.
    pub fn asimov_data(
        &mut self,
        mu: f64,
        data: &[f64],
        options: &FitOptions,
    ) -> Result<Vec<f64>, InferenceError> {
        let nuisances = self.fit(data, &options.at_poi(mu))?;
        self.expected_data(&nuisances.parameters)
    }

    /// The significance of a discovery: of the observed data over μ = 0.
    ///
    /// # Errors
    /// As [`hypotest`](Inference::hypotest).
    pub fn significance(
        &mut self,
        data: &[f64],
        options: &FitOptions,
    ) -> Result<Significance, InferenceError> {
        let mut prepared = Prepared::new(self, Statistic::Q0, data, options)?;
        let (observed, expected) = (prepared.root(self, 0, 0.0)?, prepared.root(self, 1, 0.0)?);
        Ok(Significance { observed, expected, p_value: normal_cdf(-observed), mu_hat: prepared.mu_hat() })
    }
}
