//! How well a fit describes its data, and how far it pulled its parameters.

use super::{Fit, Inference, InferenceError};

/// The test of a fit against the saturated model, in which every count and auxiliary measurement has its own free mean.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct GoodnessOfFit {
    /// −2 ln of the likelihood ratio (R. D. Cousins, *Generalization of chisquare goodness-of-fit test for binned data using saturated models*, 2013).
    pub chi2: f64,
    /// Bins and auxiliary measurements less parameters that the fit could move.
    pub degrees_of_freedom: usize,
    /// The probability of a larger one; `None` without degrees of freedom.
    pub p_value: Option<f64>,
}

/// How far a fit moved a constrained parameter.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Pull {
    /// (best fit − auxiliary measurement) / uncertainty before the fit.
    pub value: f64,
    /// Uncertainty after the fit / uncertainty before it.
    pub uncertainty: f64,
}

impl Inference {
    /// The saturated goodness of fit.
    ///
    /// # Errors
    /// If a program cannot be built, compiled or run.
    pub fn goodness_of_fit(&mut self, fit: &Fit, data: &[f64]) -> Result<GoodnessOfFit, InferenceError> {
        let expected = self.expected_data(&fit.parameters)?;
        let model = self.model().clone();
        let bins = model.config().bins();
        let constraints = model.constraints();
        // Normal measurements: what the density gains if each is where the fit expects it.
        let mut moved = data.to_vec();
        constraints.normal.iter().map(|t| bins + t.auxiliary).for_each(|i| moved[i] = expected[i]);
        let normal = self.log_density(&fit.parameters, &moved)? - self.log_density(&fit.parameters, data)?;
        let counted = constraints.poisson.iter().map(|t| bins + t.auxiliary);
        let poisson: f64 = (0..bins).chain(counted).map(|i| deviance(data[i], expected[i])).sum();
        let free = fit.fitted.iter().zip(&fit.held).filter(|(fitted, held)| **fitted && !**held).count();
        // The constraint of a fixed parameter tests nothing that the fit could have adjusted.
        let is_free = |parameter: usize| fit.fitted[parameter];
        let measured = constraints.normal.iter().map(|t| t.parameter);
        let measured = measured.chain(constraints.poisson.iter().map(|t| t.parameter));
        let measurements = bins + measured.filter(|p| is_free(*p)).count();
        let degrees_of_freedom = measurements.saturating_sub(free);
        let chi2 = 2.0 * normal + poisson;
        let p_value = (degrees_of_freedom > 0)
            .then(|| upper_gamma(0.5 * degrees_of_freedom as f64, 0.5 * chi2.max(0.0)));
        Ok(GoodnessOfFit { chi2, degrees_of_freedom, p_value })
    }

    /// Pulls and constraints, one a parameter; `None` for those without a constraint or fixed ones.
    ///
    /// # Errors
    /// If the Hessian is not positive definite.
    pub fn pulls(&mut self, fit: &Fit, data: &[f64]) -> Result<Vec<Option<Pull>>, InferenceError> {
        let covariance = self.covariance(fit, data)?;
        let model = self.model();
        let (n, bins) = (fit.parameters.len(), model.config().bins());
        let before = model.prefit_uncertainties();
        let constraints = model.constraints();
        let normal = constraints.normal.iter().map(|t| (t.parameter, data[bins + t.auxiliary]));
        let poisson = constraints.poisson.iter().map(|t| (t.parameter, data[bins + t.auxiliary] / t.rate));
        let mut out = vec![None; n];
        for (i, measured) in normal.chain(poisson).filter(|(i, _)| fit.fitted[*i]) {
            let value = (fit.parameters[i] - measured) / before[i];
            let uncertainty = covariance[i * n + i].sqrt() / before[i];
            out[i] = Some(Pull { value, uncertainty });
        }
        Ok(out)
    }
}

/// 2·(ln Poisson(n|n) − ln Poisson(n|ν)).
fn deviance(n: f64, rate: f64) -> f64 {
    let logs = if n > 0.0 { n * (n / rate).ln() } else { 0.0 };
    2.0 * (rate - n + logs)
}

/// The regularised upper incomplete gamma function Q(a, x): by its series below a + 1, by Lentz's continued fraction above (Abramowitz, Stegun 6.5.29
/// and 6.5.31).
fn upper_gamma(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let scale = (a * x.ln() - x - libm::lgamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum, mut k) = (1.0 / a, 1.0 / a, a);
        while term > sum * f64::EPSILON {
            k += 1.0;
            term *= x / k;
            sum += term;
        }
        return 1.0 - scale * sum;
    }
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (f64::MAX, 1.0 / b);
    let mut h = d;
    for i in 1..1000 {
        let i = f64::from(i);
        let an = -i * (i - a);
        b += 2.0;
        d = 1.0 / (an * d + b);
        c = b + an / c;
        h *= c * d;
        if (c * d - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    scale * h
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of mpmath's `gammainc(a, x, regularized=True)` to 15 digits.
    #[test]
    fn the_incomplete_gamma_function_is_that_of_tables() {
        for (a, x, expected) in [
            (0.5, 0.5, 0.317_310_507_862_914),
            (1.0, 2.0, 0.135_335_283_236_613),
            (2.5, 1.0, 0.849_145_036_084_61),
            (5.0, 12.0, 0.007_600_390_681_067),
            (20.5, 18.0, 0.692_120_491_350_377),
        ] {
            assert!((upper_gamma(a, x) - expected).abs() < 1e-13, "{a} {x}: {}", upper_gamma(a, x));
        }
    }
}
