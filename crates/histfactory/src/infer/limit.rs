//! Upper limits on the parameter of interest, by root finding and by scan.

use super::asymptotic::{BAND, Prepared, normal_cdf};
use super::{FitOptions, Hypotest, HypotestOptions, Inference, InferenceError, Statistic};

/// How a limit is found.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitOptions {
    /// CLs below which a value is excluded.
    pub level: f64,
    /// The limit's relative precision.
    pub tolerance: f64,
    /// The test; its statistic is qμ or q̃μ.
    pub test: HypotestOptions,
}

impl Default for LimitOptions {
    fn default() -> Self {
        LimitOptions { level: 0.05, tolerance: 1e-8, test: HypotestOptions::default() }
    }
}

/// An upper limit.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct UpperLimit {
    /// The value above which CLs is below the level.
    pub observed: f64,
    /// The limit expected without a signal and its band, from −2σ to +2σ.
    pub expected: [f64; 5],
    /// The upper bound that the parameter of interest was given, if the model's was in the way.
    pub widened: Option<f64>,
}

/// Tests at several values.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// One test a value.
    pub tests: Vec<Hypotest>,
    /// The limit that a straight line between the tests on both sides of the level gives, if there are such.
    pub observed: Option<f64>,
    /// The same for the expected band, from −2σ to +2σ.
    pub expected: [Option<f64>; 5],
}

/// The most doublings of the value tried first.
const DOUBLINGS: usize = 60;

impl Inference {
    /// The upper limit on the parameter of interest, by root finding.
    ///
    /// # Errors
    /// If a fit does not converge; if there is no parameter of interest; if no value is excluded.
    pub fn upper_limit(
        &mut self,
        data: &[f64],
        options: &LimitOptions,
    ) -> Result<UpperLimit, InferenceError> {
        let LimitOptions { level, tolerance, ref test } = *options;
        if !(level > 0.0 && level < 1.0) {
            let what = "the level of a limit";
            return Err(InferenceError::Value { what, value: level, needs: "it must be between 0 and 1" });
        }
        if test.statistic == Statistic::Q0 {
            return Err(InferenceError::NotAsymptotic { statistic: "q0" });
        }
        let (poi, _) = self.poi(&test.fit)?;
        let mut fit = test.fit.clone();
        let mut widened = None;
        let mut prepared = loop {
            let prepared = Prepared::new(self, test.statistic, data, &fit)?;
            let Some(wider) = self.widened(&fit, poi, prepared.mu_hat()) else { break prepared };
            fit = wider;
            widened = fit.bounds.as_ref().map(|bounds| bounds[poi].1);
        };
        // √q of Asimov data is nearly proportional to μ, and the median limit is where it is near 2.
        let one = prepared.root(self, 1, 1.0)?;
        let scale = if one > 0.0 { 2.0 / one } else { 1.0 };
        let expected = BAND.map(|n| {
            let target = root_at(n, level);
            let value = |mu: f64| {
                self.advance();
                Ok(target - prepared.root(self, 1, mu)?)
            };
            self::root(value, scale, tolerance)
        });
        let mut out = [0.0; 5];
        for (slot, limit) in out.iter_mut().zip(expected) {
            *slot = limit?.map_err(|mu| self.no_limit(poi, mu, level))?;
        }
        // On a logarithmic scale CLs is close to a parabola.
        let guess = out[2].max(prepared.mu_hat());
        let value = |mu: f64| {
            self.advance();
            Ok((prepared.test(self, mu)?.observed / level).ln())
        };
        let observed = root(value, guess, tolerance)?;
        let observed = observed.map_err(|mu| self.no_limit(poi, mu, level))?;
        Ok(UpperLimit { observed, expected: out, widened })
    }

    /// Tests values of the parameter of interest, which must ascend.
    ///
    /// # Errors
    /// As [`hypotest`](Inference::hypotest).
    pub fn scan(
        &mut self,
        values: &[f64],
        data: &[f64],
        options: &LimitOptions,
    ) -> Result<Scan, InferenceError> {
        if let Some(pair) =
            values.windows(2).find(|w| w[0].partial_cmp(&w[1]) != Some(std::cmp::Ordering::Less))
        {
            let what = "a value to scan";
            return Err(InferenceError::Value { what, value: pair[1], needs: "values must ascend" });
        }
        let mut prepared = Prepared::new(self, options.test.statistic, data, &options.test.fit)?;
        let mut tests: Vec<Hypotest> = Vec::with_capacity(values.len());
        for mu in values {
            tests.push(prepared.test(self, *mu)?);
            self.advance();
        }
        let crossing = |of: &dyn Fn(&Hypotest) -> f64| {
            tests.windows(2).find_map(|pair| {
                let (a, b) = (of(&pair[0]), of(&pair[1]));
                let crosses = a >= options.level && b < options.level;
                crosses.then(|| pair[0].mu + (pair[1].mu - pair[0].mu) * (a - options.level) / (a - b))
            })
        };
        let expected = std::array::from_fn(|i| crossing(&|t| t.expected[i]));
        Ok(Scan { observed: crossing(&|t| t.observed), expected, tests })
    }

    /// The options with a higher upper bound on the parameter of interest, if its best fit is at the one there is: that would make every
    /// statistic one of the bound.
    pub(super) fn widened(&self, fit: &FitOptions, poi: usize, mu_hat: f64) -> Option<FitOptions> {
        let mut bounds = fit.bounds.clone().unwrap_or_else(|| self.model().config().bounds.clone());
        let upper = bounds[poi].1;
        if mu_hat < upper || !upper.is_finite() {
            return None;
        }
        bounds[poi].1 = 2.0 * upper.abs().max(1.0);
        Some(FitOptions { bounds: Some(bounds), ..fit.clone() })
    }

    pub(super) fn no_limit(&self, poi: usize, mu: f64, level: f64) -> InferenceError {
        InferenceError::NoLimit { poi: self.model().config().names[poi].clone(), value: mu, level }
    }
}

/// √qA at which CLs expected at `n` standard deviations is `level`: Φ(−(n + √qA)) = level · Φ(−n).
pub(super) fn root_at(n: f64, level: f64) -> f64 {
    let target = level * normal_cdf(-n);
    let (mut low, mut high) = (-n, 40.0);
    while high - low > 4.0 * f64::EPSILON * high {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if normal_cdf(-(n + middle)) > target { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The zero above 0 of a function that is positive at 0 and falls, first looked for around `guess`; the largest value tried if
/// there is none. Brackets, then Brent's method.
pub(super) fn root(
    mut f: impl FnMut(f64) -> Result<f64, InferenceError>,
    guess: f64,
    tolerance: f64,
) -> Result<Result<f64, f64>, InferenceError> {
    let (mut low, mut high) = (0.0, if guess > 0.0 && guess.is_finite() { guess } else { 1.0 });
    let (mut f_low, mut f_high) = (f64::INFINITY, f(high)?);
    let mut doublings = 0;
    while f_high > 0.0 {
        if doublings == DOUBLINGS {
            return Ok(Err(high));
        }
        (low, f_low) = (high, f_high);
        high *= 2.0;
        f_high = f(high)?;
        doublings += 1;
    }
    // The lower end must be a number: 0 may have none (√q = 0 there, and CLs is 1).
    let mut halvings = 0;
    while !f_low.is_finite() || f_low < 0.0 {
        low = 0.5 * high;
        f_low = f(low)?;
        if f_low < 0.0 {
            (high, f_high) = (low, f_low);
        }
        halvings += 1;
        if halvings == DOUBLINGS {
            return Ok(Ok(low));
        }
    }
    brent(f, (low, f_low), (high, f_high), tolerance).map(Ok)
}

/// Brent's method (R. P. Brent, *Algorithms for Minimization without Derivatives*, 1973, chapter 4).
fn brent(
    mut f: impl FnMut(f64) -> Result<f64, InferenceError>,
    (mut a, mut fa): (f64, f64),
    (mut b, mut fb): (f64, f64),
    tolerance: f64,
) -> Result<f64, InferenceError> {
    let (mut c, mut fc) = (a, fa);
    let mut step = b - a;
    let mut before = step;
    for _ in 0..200 {
        if fb.signum() == fc.signum() {
            (c, fc) = (a, fa);
            step = b - a;
            before = step;
        }
        if fc.abs() < fb.abs() {
            (a, b, c) = (b, c, b);
            (fa, fb, fc) = (fb, fc, fb);
        }
        let least = 2.0 * f64::EPSILON * b.abs() + 0.5 * tolerance * b.abs();
        let half = 0.5 * (c - b);
        if half.abs() <= least || fb == 0.0 {
            break;
        }
        if before.abs() < least || fa.abs() <= fb.abs() {
            (step, before) = (half, half);
        } else {
            let s = fb / fa;
            let (mut p, mut q) = if a == c {
                (2.0 * half * s, 1.0 - s)
            } else {
                let (q, r) = (fa / fc, fb / fc);
                (s * (2.0 * half * q * (q - r) - (b - a) * (r - 1.0)), (q - 1.0) * (r - 1.0) * (s - 1.0))
            };
            if p > 0.0 {
                q = -q
            } else {
                p = -p
            }
            if 2.0 * p < (3.0 * half * q - (least * q).abs()).min((before * q).abs()) {
                (before, step) = (step, p / q);
            } else {
                (step, before) = (half, half);
            }
        }
        (a, fa) = (b, fb);
        b += if step.abs() > least { step } else { least.copysign(half) };
        fb = f(b)?;
    }
    Ok(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_found_from_either_side() {
        for guess in [0.001, 1.0, 3.0, 1000.0] {
            let found = root(|x| Ok(2.0 - x * x), guess, 1e-12).unwrap().unwrap();
            assert!((found - 2f64.sqrt()).abs() < 1e-11, "{guess}: {found}");
        }
        assert!(root(|_| Ok(1.0), 1.0, 1e-12).unwrap().is_err());
    }

    #[test]
    fn the_median_limit_of_a_counting_experiment_has_a_closed_form() {
        // Φ(−√q) = level / 2 for n = 0.
        assert!((root_at(0.0, 0.05) - 1.959_963_984_540_054).abs() < 1e-12);
    }
}
