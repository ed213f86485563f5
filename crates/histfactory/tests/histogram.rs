//! Compiled histograms against their definition, and their derivatives against differences.

use std::sync::Arc;
use wootz_cpu::Cpu;
use wootz_histfactory::{Ends, Events, InferenceError, SoftHistogram, Spread};

const EDGES: [f64; 5] = [-1.0, -0.25, 0.5, 0.75, 2.0];
const H: f64 = 0.3;
const SCALE: f64 = 1.7;

fn below(spread: Spread, t: f64) -> f64 {
    match spread {
        Spread::Normal => 0.5 * libm::erfc(-t / std::f64::consts::SQRT_2),
        Spread::Logistic => 1.0 / (1.0 + (-t).exp()),
    }
}

fn contents(x: &[f64], weights: &[f64], h: f64, spread: Spread, ends: Ends) -> Vec<f64> {
    let bins = EDGES.len() - 1;
    let share = |x: f64, bin: usize| {
        let at = |edge: usize| below(spread, (EDGES[edge] - x) / h);
        let lower = if ends == Ends::Infinite && bin == 0 { 0.0 } else { at(bin) };
        let upper = if ends == Ends::Infinite && bin + 1 == bins { 1.0 } else { at(bin + 1) };
        upper - lower
    };
    let content = |bin| x.iter().zip(weights).map(|(x, w)| SCALE * w * share(*x, bin)).sum();
    (0..bins).map(content).collect()
}

/// Events here and there, some far outside, and weights of either sign.
fn events(n: usize) -> (Vec<f64>, Vec<f64>) {
    let x = (0..n).map(|i| 3.0 * (7.3 * i as f64).sin() + if i % 97 == 3 { 1e6 } else { 0.0 });
    (x.collect(), (0..n).map(|i| (1.9 * i as f64).cos() + 0.4).collect())
}

#[track_caller]
fn assert_close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    let largest = expected.iter().fold(1.0, |a: f64, x| a.max(x.abs()));
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((got - expected).abs() <= tolerance * largest, "{i}: {got} instead of {expected}");
    }
}

fn each(mut check: impl FnMut(&mut SoftHistogram, Spread, Ends)) {
    for spread in [Spread::Normal, Spread::Logistic] {
        for ends in [Ends::Edges, Ends::Infinite] {
            let cpu = Arc::new(Cpu::default());
            check(&mut SoftHistogram::new(EDGES.len() - 1, spread, ends, cpu), spread, ends);
        }
    }
}

#[test]
fn contents_are_sums_of_shares() {
    each(|histogram, spread, ends| {
        for n in [0, 1, 7, 511, 512, 513, 1500] {
            let (x, weights) = events(n);
            let all = Events { x: &x, weights: Some(&weights) };
            let got = histogram.contents(all, &EDGES, H, SCALE).unwrap();
            assert_close(&got, &contents(&x, &weights, H, spread, ends), 1e-13);
            let got = histogram.contents(Events { x: &x, weights: None }, &EDGES, H, SCALE).unwrap();
            assert_close(&got, &contents(&x, &vec![1.0; n], H, spread, ends), 1e-13);
        }
    });
}

#[test]
fn no_bandwidth_makes_it_an_ordinary_histogram() {
    let x = [-3.0, -0.5, 0.0, 0.6, 1.0, 1.5, 9.0];
    each(|histogram, _, ends| {
        let got = histogram.contents(Events { x: &x, weights: None }, &EDGES, 1e-12, 1.0).unwrap();
        let expected = if ends == Ends::Infinite { [2.0, 1.0, 1.0, 3.0] } else { [1.0, 1.0, 1.0, 2.0] };
        assert_eq!(got, expected);
    });
}

#[test]
fn derivatives_are_differences() {
    let cotangent = [0.3, -1.1, 2.0, 0.7];
    let value = |contents: Vec<f64>| contents.iter().zip(cotangent).map(|(c, g)| c * g).sum::<f64>();
    each(|histogram, spread, ends| {
        let (mut x, mut weights) = events(700);
        let all = Events { x: &x, weights: Some(&weights) };
        let by_events = histogram.by_events(all, &EDGES, H, SCALE, &cotangent).unwrap();
        let by_weights = histogram.by_weights(all, &EDGES, H, SCALE, &cotangent).unwrap();
        let by_bandwidth = histogram.by_bandwidth(all, &EDGES, H, SCALE, &cotangent).unwrap();
        let unweighted = Events { x: &x, weights: None };
        let unweighted = histogram.by_events(unweighted, &EDGES, H, SCALE, &cotangent).unwrap();
        let weighted: Vec<f64> = unweighted.iter().zip(&weights).map(|(x, w)| x * w).collect();
        assert_close(&by_events, &weighted, 1e-14);

        // One event alone: the sum over the others would only add rounding.
        for i in (0..x.len()).step_by(61).chain([x.len() - 1]) {
            let at = |x: f64, w: f64, h: f64| value(contents(&[x], &[w], h, spread, ends));
            let step = 1e-6;
            let by_x = (at(x[i] + step, weights[i], H) - at(x[i] - step, weights[i], H)) / (2.0 * step);
            assert_close(&[by_events[i]], &[by_x], 1e-8);
            assert_close(&[by_weights[i]], &[at(x[i], 1.0, H)], 1e-13);
        }
        x.truncate(600);
        weights.truncate(600);
        let all = Events { x: &x, weights: Some(&weights) };
        let fewer = histogram.by_bandwidth(all, &EDGES, H, SCALE, &cotangent).unwrap();
        for (n, got) in [(700, by_bandwidth), (600, fewer)] {
            let (x, weights) = events(n);
            let at = |h: f64| value(contents(&x, &weights, h, spread, ends));
            assert_close(&[got], &[(at(H + 1e-5) - at(H - 1e-5)) / 2e-5], 1e-7);
        }
    });
}

#[test]
fn wrong_lengths_are_named() {
    each(|histogram, _, _| {
        let x = [0.0, 1.0];
        let (good, bad) = (Events { x: &x, weights: None }, Events { x: &x, weights: Some(&x[..1]) });
        for (found, what) in [
            (histogram.contents(good, &EDGES[..4], H, 1.0).err(), "edges"),
            (histogram.contents(bad, &EDGES, H, 1.0).err(), "weights"),
            (histogram.by_events(good, &EDGES, H, 1.0, &x).err(), "cotangents"),
            (histogram.by_weights(good, &EDGES, H, 1.0, &x).err(), "cotangents"),
            (histogram.by_bandwidth(good, &EDGES, H, 1.0, &x).err(), "cotangents"),
        ] {
            assert!(
                matches!(found, Some(InferenceError::Length { what: of, .. }) if of.contains(what)),
                "{what}"
            );
        }
    });
}
