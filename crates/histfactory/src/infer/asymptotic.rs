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
    /// CLs = CLs+b / CLb, also where both underflow; for q0 the p-value of the background hypothesis.
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

/// From here on tails are taken relative to the normal density: long before they underflow.
const FAR: f64 = 4.0;

/// From here on only the first term of an expansion by a is left.
const VANISHING: f64 = 1e8;

/// 1/R(x) − x with Mills' ratio R(x) = Φ(−x)/φ(x), for x of 3 or more; R′ = −R·(1/R − x). By its continued fraction 1/(x + 2/(x + 3/(x + …))),
/// Abramowitz and Stegun 26.2.14.
fn mills_excess(x: f64) -> f64 {
    const TERMS: u32 = 50;
    1.0 / (x + (2..=TERMS).rev().fold(0.0, |rest, k| f64::from(k) / (x + rest)))
}

/// ln Φ(−(s + a)) / Φ(−s) for s far in the tail, less the change of −x²/2.
fn log_mills_change(s: f64, a: f64) -> f64 {
    // Both are infinite where a vanishes.
    if s.is_infinite() {
        return 0.0;
    }
    ((s + mills_excess(s)) / (s + a + mills_excess(s + a))).ln()
}

/// CLs = Φ(−(s + a)) / Φ(−s) of √q = `root` and of Asimov data, a = `asimov` ≥ 0, with its derivatives by both. s is √q − a, for q̃ above Asimov
/// data (q − a²)/2a. As a vanishes the latter tends to exp(−q/2).
pub(super) fn cls(root: f64, asimov: f64, is_tilde: bool) -> (f64, [f64; 2]) {
    let (r, a) = (root, asimov);
    let is_above = is_tilde && r > a;
    let s = shifted(r, a, is_tilde);
    if s < FAR {
        // The derivatives of s.
        let (by_r, by_a) = if is_above { (r / a, -0.5 * (r * r / (a * a) + 1.0)) } else { (1.0, -1.0) };
        let (both, below) = (normal_cdf(-(s + a)), normal_cdf(-s));
        let value = both / below;
        let slope =
            |by: f64, and: f64| (value * normal_density(s) * by - normal_density(s + a) * (by + and)) / below;
        return (value, [slope(by_r, 0.0), slope(by_a, 1.0)]);
    }
    if !is_above {
        let value = (log_mills_change(s, a) - a * (s + 0.5 * a)).exp();
        let (near, far) = (mills_excess(s), mills_excess(s + a));
        return (value, [-value * (a + far - near), value * -(near + s)]);
    }
    let value = (log_mills_change(s, a) - 0.5 * r * r).exp();
    if s > VANISHING {
        return (value, [-value * r, -4.0 * value * a / (r * r)]);
    }
    let (near, far) = (mills_excess(s), mills_excess(s + a));
    let ratio = r * r / (a * a);
    let by_a = 0.5 * (far * (ratio - 1.0) - near * (ratio + 1.0));
    (value, [value * ((near - far) * r / a - r), value * by_a])
}

/// The statistic less its mean under the background hypothesis, in standard deviations.
fn shifted(root: f64, asimov: f64, is_tilde: bool) -> f64 {
    // Above the Asimov value q̃ is not distributed as q.
    if is_tilde && root > asimov { (root * root - asimov * asimov) / (2.0 * asimov) } else { root - asimov }
}

/// The standard normal density.
pub(super) fn normal_density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
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
        if let Some(lower) = inference.lower(&self.free[of], &conditional, &self.data[of], &self.fit)? {
            self.free[of] = lower;
        }
        let free = &self.free[of];
        let value = self.statistic.value(mu, free.parameters[self.poi], &conditional, free);
        self.last[of] = conditional.parameters;
        Ok(value.sqrt())
    }

    /// The test of `mu`.
    pub(super) fn test(&mut self, inference: &mut Inference, mu: f64) -> Result<Hypotest, InferenceError> {
        let (root, asimov) = (self.root(inference, 0, mu)?, self.root(inference, 1, mu)?);
        let (is_tilde, is_discovery) =
            (self.statistic == Statistic::QmuTilde, self.statistic == Statistic::Q0);
        let shifted = shifted(root, asimov, is_tilde);
        let cls_b = normal_cdf(-(shifted + asimov));
        let expected = BAND.map(|n| {
            let cls_b = normal_cdf(-(n + asimov));
            if is_discovery { cls_b } else { cls_b / normal_cdf(-n) }
        });
        Ok(Hypotest {
            mu,
            observed: if is_discovery { cls_b } else { cls(root, asimov, is_tilde).0 },
            expected,
            cls_b,
            cl_b: normal_cdf(-shifted),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// By central differences where CLs is an ordinary number.
    #[test]
    fn cls_and_its_derivatives_agree_on_both_sides_of_the_tail() {
        for (r, a, is_tilde) in [
            (1.0, 0.4, false),
            (0.3, 0.9, true),
            (1.9, 0.5, true),
            (2.1, 0.5, true),
            (5.2, 0.9, false),
            (4.0, 0.7, true),
            (9.0, 2.0, true),
            (3.0, 0.01, true),
        ] {
            let (value, slopes) = cls(r, a, is_tilde);
            let h = 1e-5 * a;
            let by_r = (cls(r + h, a, is_tilde).0 - cls(r - h, a, is_tilde).0) / (2.0 * h);
            let by_a = (cls(r, a + h, is_tilde).0 - cls(r, a - h, is_tilde).0) / (2.0 * h);
            let allowed = 1e-6 * value.max(1e-30) + 1e-15 * value / h;
            assert!((slopes[0] - by_r).abs() < allowed, "{r} {a}: {slopes:?} {by_r} {by_a}");
            assert!((slopes[1] - by_a).abs() < allowed, "{r} {a}: {slopes:?} {by_r} {by_a}");
            let direct = normal_cdf(-(shifted(r, a, is_tilde) + a)) / normal_cdf(-shifted(r, a, is_tilde));
            if direct.is_finite() && direct > 1e-290 {
                assert!((value / direct - 1.0).abs() < 1e-10, "{r} {a}: {value} {direct}");
            }
        }
    }

    #[test]
    fn cls_is_a_number_where_both_tails_underflow() {
        // Φ(−40) and Φ(−41): the asymptotic series gives their ratio.
        let (value, _) = cls(41.0, 1.0, false);
        let series = |x: f64| (1.0 - 1.0 / (x * x) + 3.0 / x.powi(4) - 15.0 / x.powi(6)) / x;
        assert!((value / ((-40.5f64).exp() * series(41.0) / series(40.0)) - 1.0).abs() < 1e-8, "{value}");
        // As the Asimov value vanishes.
        for a in [1e-3, 1e-6, 1e-12, 1e-200, 0.0] {
            let (value, slopes) = cls(1.5, a, true);
            assert!((value - (-1.125f64).exp()).abs() < 2.0 * a * a + 1e-14, "{a}: {value}");
            assert!((slopes[0] + 1.5 * value).abs() < 1e-5 && slopes[1].abs() < 1e-2, "{a}: {slopes:?}");
        }
        assert_eq!(cls(0.0, 0.0, true).0, 1.0);
    }
}
