//! Statistics against known answers.

use wootz_bench::compare::Verdict;
use wootz_bench::stats::{Interval, Summary, bootstrap_median, bootstrap_ratio};

#[test]
fn quartiles_are_those_of_type_seven() {
    // R: quantile(c(1, 2, 3, 4, 10), type = 7)
    let summary = Summary::of(&[10.0, 1.0, 4.0, 2.0, 3.0]).expect("finite values");
    assert_eq!(
        (summary.min, summary.q1, summary.median, summary.q3, summary.max),
        (1.0, 2.0, 3.0, 4.0, 10.0)
    );
    // R: quantile(c(1, 2, 3, 4), type = 7)
    let summary = Summary::of(&[1.0, 2.0, 3.0, 4.0]).expect("finite values");
    assert_eq!((summary.q1, summary.median, summary.q3), (1.75, 2.5, 3.25));
    assert_eq!(summary.relative_spread(), 0.6);
    assert!(Summary::of(&[]).is_none());
    assert!(Summary::of(&[1.0, f64::NAN]).is_none());
}

/// Of three values a resample's median is the smallest one with probability 7/27 ≈ 0.26, so the interval is the range.
#[test]
fn intervals_of_tiny_samples_are_known() {
    let interval = bootstrap_median(&[3.0, 1.0, 2.0], 0).expect("finite values");
    assert_eq!((interval.estimate, interval.low, interval.high), (2.0, 1.0, 3.0));
    let constant = bootstrap_median(&[5.0; 12], 0).expect("finite values");
    assert_eq!((constant.low, constant.high), (5.0, 5.0));
    let ratio = bootstrap_ratio(&[6.0; 10], &[3.0; 10], 0).expect("positive values");
    assert_eq!((ratio.estimate, ratio.low, ratio.high), (2.0, 2.0, 2.0));
    assert!(bootstrap_ratio(&[1.0], &[0.0], 0).is_none());
}

/// The median of n resamples lies between the order statistics given by the binomial distribution: for n = 21 the
/// 95 % percentile interval of the median is from the 6th or 7th to the 15th or 16th value.
#[test]
fn intervals_agree_with_order_statistics() {
    let values: Vec<f64> = (1..=21).map(f64::from).collect();
    let interval = bootstrap_median(&values, 7).expect("finite values");
    assert_eq!(interval.estimate, 11.0);
    assert!((6.0..=7.0).contains(&interval.low), "{interval:?}");
    assert!((15.0..=16.0).contains(&interval.high), "{interval:?}");
    assert_eq!(bootstrap_median(&values, 7), Some(interval), "the same seed gives the same interval");
}

/// The interval of a 95 % bootstrap holds the true median in most of many experiments, and not in all of them.
#[test]
fn intervals_cover_the_true_median() {
    let mut state = 1u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let experiments = 200;
    let covered = (0..experiments)
        .filter(|seed| {
            let sample: Vec<f64> = (0..25).map(|_| 1.0 + uniform()).collect();
            let interval = bootstrap_median(&sample, *seed).expect("finite values");
            interval.low <= 1.5 && 1.5 <= interval.high
        })
        .count();
    assert!((180..200).contains(&covered), "{covered} of {experiments}");
}

#[test]
fn verdicts_follow_the_interval() {
    let verdict = |low, high| Verdict::of(&Interval { estimate: 1.0, low, high });
    assert_eq!(verdict(0.8, 0.99), Verdict::Better);
    assert_eq!(verdict(1.01, 1.2), Verdict::Worse);
    assert_eq!(verdict(0.99, 1.01), Verdict::NoDifference);
    assert_eq!(verdict(1.0, 1.2), Verdict::NoDifference);
}
