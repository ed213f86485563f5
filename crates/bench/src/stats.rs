//! Robust summaries and bootstrap intervals. Everything here is deterministic.

use serde::{Deserialize, Serialize};

use crate::cases::splitmix64;

/// Number of bootstrap resamples behind an interval.
pub const RESAMPLES: usize = 4000;

/// Order statistics of a sample. The unit is the sample's own.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Number of values.
    pub count: usize,
    /// Smallest value.
    pub min: f64,
    /// First quartile.
    pub q1: f64,
    /// Median.
    pub median: f64,
    /// Third quartile.
    pub q3: f64,
    /// Largest value.
    pub max: f64,
}

impl Summary {
    /// Summary of `values`; `None` if there are none or one is not finite.
    pub fn of(values: &[f64]) -> Option<Summary> {
        if values.is_empty() || values.iter().any(|v| !v.is_finite()) {
            return None;
        }
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Summary {
            count: sorted.len(),
            min: sorted[0],
            q1: quantile(&sorted, 0.25),
            median: quantile(&sorted, 0.5),
            q3: quantile(&sorted, 0.75),
            max: sorted[sorted.len() - 1],
        })
    }

    /// Interquartile range relative to the median.
    pub fn relative_spread(&self) -> f64 {
        (self.q3 - self.q1) / self.median
    }
}

/// An estimate with its 95 % interval.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The estimate.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Median of `values` with its percentile bootstrap interval (Efron 1979); `None` as [`Summary::of`].
pub fn bootstrap_median(values: &[f64], seed: u64) -> Option<Interval> {
    let estimate = Summary::of(values)?.median;
    let mut random = Random(seed);
    interval(estimate, || resampled_median(values, &mut random))
}

/// median(`numerator`) / median(`denominator`) of two independent samples, with its percentile bootstrap interval;
/// `None` if a sample is empty or has a value that is not finite and positive.
pub fn bootstrap_ratio(numerator: &[f64], denominator: &[f64], seed: u64) -> Option<Interval> {
    if numerator.iter().chain(denominator).any(|v| *v <= 0.0) {
        return None;
    }
    let estimate = Summary::of(numerator)?.median / Summary::of(denominator)?.median;
    let mut random = Random(seed);
    interval(estimate, || {
        resampled_median(numerator, &mut random) / resampled_median(denominator, &mut random)
    })
}

fn interval(estimate: f64, mut draw: impl FnMut() -> f64) -> Option<Interval> {
    let mut draws: Vec<f64> = (0..RESAMPLES).map(|_| draw()).collect();
    draws.sort_by(f64::total_cmp);
    Some(Interval { estimate, low: quantile(&draws, 0.025), high: quantile(&draws, 0.975) })
}

fn resampled_median(values: &[f64], random: &mut Random) -> f64 {
    let mut sample: Vec<f64> = (0..values.len()).map(|_| values[random.below(values.len())]).collect();
    sample.sort_by(f64::total_cmp);
    quantile(&sample, 0.5)
}

/// Quantile of sorted, non-empty values by linear interpolation (Hyndman and Fan's type 7).
pub(crate) fn quantile(sorted: &[f64], p: f64) -> f64 {
    let position = p * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = position.ceil() as usize;
    sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64)
}

struct Random(u64);

impl Random {
    /// Uniform in `0..bound` up to a bias of bound/2⁶⁴.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        ((u128::from(splitmix64(self.0)) * bound as u128) >> 64) as usize
    }
}
