//! Fits, tests and limits on the native CPU backend, against closed forms and against themselves.

use std::sync::Arc;
use wootz_cpu::Cpu;
use wootz_histfactory::workload::Workload;
use wootz_histfactory::{
    Convergence, FitOptions, HypotestOptions, Inference, InferenceError, InferenceOptions, LimitOptions,
    ModelOptions, Statistic, ToyOptions, Workspace,
};

fn load(workspace: &Workspace) -> (Inference, Vec<f64>) {
    let model = workspace.model(&ModelOptions::default()).expect("a workload has a model");
    let data = workspace.data(&model).expect("a workload has data");
    let backend = Arc::new(Cpu::default());
    (
        Inference::new(Arc::new(model), backend, InferenceOptions::default()).expect("a model can be fitted"),
        data,
    )
}

fn one_bin(signal: f64, background: f64, error: f64, observed: f64) -> Workspace {
    let text = format!(
        r#"{{"version": "1.0.0",
            "channels": [{{"name": "SR", "samples": [
                {{"name": "signal", "data": [{signal}], "modifiers": [{{"name": "mu", "type": "normfactor", "data": null}}]}},
                {{"name": "background", "data": [{background}], "modifiers": [{{"name": "b", "type": "shapesys", "data": [{error}]}}]}}]}}],
            "observations": [{{"name": "SR", "data": [{observed}]}}],
            "measurements": [{{"name": "m", "config": {{"poi": "mu", "parameters": []}}}}]}}"#
    );
    Workspace::from_json(text.as_bytes()).expect("well formed")
}

#[test]
fn every_workload_is_fitted() {
    for workload in Workload::ALL {
        let (mut inference, data) = load(&workload.workspace());
        for tolerance in [FitOptions::TOLERANCE, FitOptions::TOLERANCE_FOR_GRADIENTS] {
            let options = FitOptions { tolerance, ..FitOptions::default() };
            let fit = inference.fit(&data, &options).unwrap();
            println!(
                "{} {tolerance:.0e}: {} iterations, {} evaluations, kkt {:.1e}, -2lnL {:.12}, {:?}",
                workload.name(),
                fit.iterations,
                fit.evaluations,
                fit.kkt,
                fit.twice_nll,
                fit.convergence
            );
            assert!(fit.kkt <= tolerance && fit.convergence == Convergence::Gradient);
            // The Karush-Kuhn-Tucker conditions of what a bound holds.
            let bounds = &inference.model().config().bounds;
            for i in (0..fit.parameters.len()).filter(|i| fit.held[*i]) {
                let (x, g) = (fit.parameters[i], fit.gradient[i]);
                assert!(g == 0.0 || (x == bounds[i].0 && g > 0.0) || (x == bounds[i].1 && g < 0.0));
            }
        }
    }
}

/// Z² of one bin with a shapesys background of absolute error σ, n = s + b.
fn asimov_significance(s: f64, b: f64, sigma: f64) -> f64 {
    let v = sigma * sigma;
    let first = (s + b) * ((s + b) * (b + v) / (b * b + (s + b) * v)).ln();
    let second = b * b / v * (1.0 + v * s / (b * (b + v))).ln();
    (2.0 * (first - second)).sqrt()
}

#[test]
fn one_bin_has_the_closed_form() {
    for (s, b, sigma) in [(10.0, 50.0, 7.0), (3.0, 2.0, 1.5), (200.0, 1e4, 30.0)] {
        let (mut inference, data) = load(&one_bin(s, b, sigma, s + b));
        let z = inference.significance(&data, &FitOptions::default()).unwrap();
        let expected = asimov_significance(s, b, sigma);
        assert!((z.observed - expected).abs() < 1e-9, "{} {expected}", z.observed);
        assert!((z.expected - expected).abs() < 1e-9, "{} {expected}", z.expected);
        assert!((z.mu_hat - 1.0).abs() < 1e-7);
    }
    let (mut inference, data) = load(&one_bin(10.0, 50.0, 7.0, 60.0));
    let z = inference.significance(&data, &FitOptions::default()).unwrap().observed;
    assert!((z - 0.959_075).abs() < 5e-7, "{z}");
}

#[test]
fn a_deficit_has_no_significance_and_is_held_by_the_bound() {
    let (mut inference, data) = load(&one_bin(10.0, 50.0, 7.0, 20.0));
    let fit = inference.fit(&data, &FitOptions::default()).unwrap();
    let mu = inference.model().config().poi.unwrap();
    assert_eq!((fit.parameters[mu], fit.held[mu]), (0.0, true));
    assert_eq!(inference.significance(&data, &FitOptions::default()).unwrap().observed, 0.0);
}

#[test]
fn starting_points_do_not_matter() {
    let (mut inference, data) = load(&Workload::Complex8p.workspace());
    let cold = inference.fit(&data, &FitOptions::default()).unwrap();
    let bounds = inference.model().config().bounds.clone();
    for share in [0.2, 0.4, 0.7] {
        let init: Vec<f64> = bounds.iter().map(|(lower, upper)| lower + share * (upper - lower)).collect();
        let other = inference.fit(&data, &FitOptions::default().from(&init)).unwrap();
        assert!((other.twice_nll - cold.twice_nll).abs() < 1e-9, "{share}: {other:?}");
    }
}

#[test]
fn the_covariance_of_a_counting_experiment_is_that_of_its_counts() {
    // n = μ·s + β with β = b ± σ measured apart: var(μ·s) = n + σ².
    let (s, b, sigma) = (10.0, 50.0, 7.0);
    let (mut inference, data) = load(&one_bin(s, b, sigma, s + b));
    let fit = inference.fit(&data, &FitOptions { tolerance: 1e-10, ..FitOptions::default() }).unwrap();
    let covariance = inference.covariance(&fit, &data).unwrap();
    let n = fit.parameters.len();
    let mu = inference.model().config().poi.unwrap();
    let expected = (s + b + sigma * sigma) / (s * s);
    assert!(
        (covariance[mu * n + mu] / expected - 1.0).abs() < 1e-7,
        "{} {expected}",
        covariance[mu * n + mu]
    );
}

#[test]
fn the_limit_is_where_cls_is_the_level() {
    for workload in [Workload::Simple, Workload::Complex8p] {
        let (mut inference, data) = load(&workload.workspace());
        let limit = inference.upper_limit(&data, &LimitOptions::default()).unwrap();
        let test = LimitOptions::default().test;
        let at = inference.hypotest(limit.observed, &data, &test).unwrap();
        assert!((at.observed - 0.05).abs() < 1e-7, "{at:?}");
        for (i, limit) in limit.expected.iter().enumerate() {
            let at = inference.hypotest(*limit, &data, &test).unwrap();
            assert!((at.expected[i] - 0.05).abs() < 1e-7, "{i}: {at:?}");
        }
        assert!(limit.expected.is_sorted());
        let values: Vec<f64> = (0..40).map(|i| limit.observed * (0.5 + f64::from(i) / 40.0)).collect();
        let scan = inference.scan(&values, &data, &LimitOptions::default()).unwrap();
        assert!((scan.observed.unwrap() / limit.observed - 1.0).abs() < 1e-3);
    }
}

#[test]
fn what_cannot_be_done_is_an_error() {
    let (mut inference, data) = load(&one_bin(10.0, 50.0, 7.0, 60.0));
    let fixed = FitOptions { fixed: Some(vec![true; 2]), ..FitOptions::default() };
    assert!(matches!(
        inference.test_statistic(Statistic::QmuTilde, 1.0, &data, &fixed),
        Err(InferenceError::PoiFixed { .. })
    ));
    let crossed = FitOptions { bounds: Some(vec![(1.0, 0.0); 2]), ..FitOptions::default() };
    assert!(matches!(inference.fit(&data, &crossed), Err(InferenceError::Bounds { .. })));
    let once = FitOptions { max_iterations: 1, init: Some(vec![9.0, 0.1]), ..FitOptions::default() };
    assert!(matches!(inference.fit(&data, &once), Err(InferenceError::NotConverged { .. })));
    assert!(matches!(
        inference.test_statistic(Statistic::Q0, 1.0, &data, &FitOptions::default()),
        Err(InferenceError::Value { .. })
    ));
    let nothing = FitOptions { init: Some(vec![f64::NAN, 1.0]), ..FitOptions::default() };
    assert!(matches!(inference.fit(&data, &nothing), Err(InferenceError::Model(_))));
}

/// Where nothing is expected and something counted.
#[test]
fn empty_bins_are_named() {
    let (mut inference, data) = load(&one_bin(10.0, 0.0, 1.0, 60.0));
    let error = inference.hypotest(1.0, &data, &LimitOptions::default().test).unwrap_err();
    let InferenceError::NoDensity { what, empty: Some(bin), negative: None, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!((bin.channel.as_str(), bin.bin, bin.count), ("SR", 0, 60.0));
    assert!(what.contains("mu = 0"), "{what}");
    assert!(error.to_string().contains("channel `SR`, bin 0 has 60 counts"), "{error}");
}

/// k1·k2 on one sample: the fit is one of many, and has no covariance.
#[test]
fn parameters_that_cannot_be_told_apart_are_fitted_without_a_covariance() {
    let factor = |name: &str| format!(r#"{{"name": "{name}", "type": "normfactor", "data": null}}"#);
    let text = format!(
        r#"{{"version": "1.0.0",
            "channels": [{{"name": "SR", "samples": [
                {{"name": "signal", "data": [10, 3, 1], "modifiers": [{}, {}, {}]}},
                {{"name": "background", "data": [50, 40, 30], "modifiers": []}}]}}],
            "observations": [{{"name": "SR", "data": [75, 48, 30]}}],
            "measurements": [{{"name": "m", "config": {{"poi": "mu", "parameters": []}}}}]}}"#,
        factor("mu"),
        factor("k1"),
        factor("k2"),
    );
    let (mut inference, data) = load(&Workspace::from_json(text.as_bytes()).unwrap());
    let fit = inference.fit(&data, &FitOptions::default()).unwrap();
    assert!(fit.kkt <= FitOptions::TOLERANCE);
    assert!(matches!(inference.covariance(&fit, &data), Err(InferenceError::SingularHessian)));
}

/// q with the width of a large normal constraint: were auxiliary data not drawn, the statistic would vary less by far.
#[test]
fn toys_draw_auxiliary_data() {
    let (mut inference, data) = load(&one_bin(10.0, 100.0, 20.0, 90.0));
    let poi = inference.model().config().poi.unwrap();
    let mut bounds = inference.model().config().bounds.clone();
    bounds.iter_mut().for_each(|b| *b = (-50.0, 50.0));
    bounds[1 - poi] = (1e-10, 10.0);
    let fit = FitOptions { bounds: Some(bounds), ..FitOptions::default() };
    let statistic = Statistic::Qmu;
    let options = ToyOptions { toys: 2000, seed: 2, statistic, fit: fit.clone(), ..ToyOptions::default() };
    let toys = inference.toys(1.0, &data, &options).unwrap();
    let asymptotic = inference.hypotest(1.0, &data, &HypotestOptions { statistic, fit }).unwrap();
    assert!(asymptotic.cls_b > 0.1, "{asymptotic:?}");
    assert!((toys.cls_b - asymptotic.cls_b).abs() < 0.05, "{} {}", toys.cls_b, asymptotic.cls_b);
    assert!((toys.cl_b - asymptotic.cl_b).abs() < 0.05, "{} {}", toys.cl_b, asymptotic.cl_b);
}

/// So few counts that no toy is as far from the signal.
#[test]
fn toys_that_say_nothing_have_no_cls() {
    let (mut inference, data) = load(&one_bin(50.0, 100.0, 2.0, 20.0));
    let toys = inference.toys(1.0, &data, &ToyOptions { toys: 20, ..ToyOptions::default() }).unwrap();
    assert_eq!((toys.cls_b, toys.cl_b), (0.0, 0.0));
    assert!(toys.observed.is_nan());
    assert!(toys.expected.iter().all(|x| x.is_finite()));
}

#[test]
fn toys_of_every_statistic_are_near_its_asymptotic_distribution() {
    let (mut inference, data) = load(&one_bin(30.0, 100.0, 8.0, 115.0));
    let poi = inference.model().config().poi.unwrap();
    for statistic in Statistic::ALL {
        let mut bounds = inference.model().config().bounds.clone();
        if matches!(statistic, Statistic::Qmu | Statistic::Tmu) {
            bounds[poi] = (-5.0, 10.0);
        }
        let fit = FitOptions { bounds: Some(bounds), ..FitOptions::default() };
        let mu = if statistic == Statistic::Q0 { 0.0 } else { 1.0 };
        let options =
            ToyOptions { toys: 2000, seed: 7, statistic, fit: fit.clone(), ..ToyOptions::default() };
        let toys = inference.toys(mu, &data, &options).unwrap();
        assert_eq!((toys.failed, toys.signal.len(), toys.background.len()), (0, 2000, 2000));
        let share = |of: &[f64]| of.iter().filter(|t| **t >= toys.statistic).count() as f64 / of.len() as f64;
        assert_eq!((toys.cls_b, toys.cl_b), (share(&toys.signal), share(&toys.background)));
        // t is χ² distributed under the tested hypothesis, t̃ nearly so.
        let expected = match statistic {
            Statistic::Tmu | Statistic::TmuTilde => libm::erfc((0.5 * toys.statistic).sqrt()),
            _ => inference.hypotest(mu, &data, &HypotestOptions { statistic, fit }).unwrap().cls_b,
        };
        // Three standard deviations of 2000 toys, and what asymptotic formulae miss at 100 events.
        assert!((toys.cls_b - expected).abs() < 0.05, "{statistic:?}: {} {expected}", toys.cls_b);
    }
}

#[test]
fn toys_do_not_depend_on_threads_and_agree_with_the_asymptotic_test() {
    let (mut inference, data) = load(&one_bin(30.0, 100.0, 8.0, 110.0));
    let options =
        |threads| ToyOptions { toys: 3000, seed: 5, threads: Some(threads), ..ToyOptions::default() };
    let one = inference.toys(1.0, &data, &options(1)).unwrap();
    assert_eq!(one, inference.toys(1.0, &data, &options(3)).unwrap());
    assert_eq!((one.failed, one.signal.len()), (0, 3000));
    let asymptotic = inference.hypotest(1.0, &data, &LimitOptions::default().test).unwrap();
    // Three standard deviations of 3000 toys, and what asymptotic formulae miss at 100 events.
    assert!((one.cl_b - asymptotic.cl_b).abs() < 0.05, "{} {}", one.cl_b, asymptotic.cl_b);
    assert!((one.cls_b - asymptotic.cls_b).abs() < 0.03, "{} {}", one.cls_b, asymptotic.cls_b);
    assert!(one.expected.is_sorted());
}
