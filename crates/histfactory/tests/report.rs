//! Intervals, rankings, goodness of fit, pulls and yields, against closed forms and against fits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wootz_cpu::Cpu;
use wootz_histfactory::workload::Workload;
use wootz_histfactory::{
    FitOptions, Inference, InferenceError, InferenceOptions, LimitOptions, ModelOptions, Observer, Statistic,
    ToyOptions, Workspace,
};

fn load(workspace: &Workspace) -> (Inference, Vec<f64>) {
    let model = workspace.model(&ModelOptions::default()).expect("a workload has a model");
    let data = workspace.data(&model).expect("a workload has data");
    let inference = Inference::new(Arc::new(model), Arc::new(Cpu::default()), InferenceOptions::default());
    (inference.expect("a model can be fitted"), data)
}

/// s = 10, b = 50 ± 7.
fn one_bin(observed: f64) -> (Inference, Vec<f64>) {
    let text = format!(
        r#"{{"version": "1.0.0",
            "channels": [{{"name": "SR", "samples": [
                {{"name": "signal", "data": [10], "modifiers": [{{"name": "mu", "type": "normfactor", "data": null}}]}},
                {{"name": "background", "data": [50], "modifiers": [{{"name": "b", "type": "shapesys", "data": [7]}}]}}]}}],
            "observations": [{{"name": "SR", "data": [{observed}]}}],
            "measurements": [{{"name": "m", "config": {{"poi": "mu", "parameters": []}}}}]}}"#
    );
    load(&Workspace::from_json(text.as_bytes()).expect("well formed"))
}

#[test]
fn intervals_end_where_the_profiled_likelihood_says() {
    let options = FitOptions::default();
    let (mut inference, data) = load(&Workload::Complex8p.workspace());
    let fit = inference.fit(&data, &options).unwrap();
    for index in 0..fit.parameters.len() {
        for sigmas in [1.0, 2.0] {
            let interval = inference.interval(index, sigmas, &fit, &data, &options).unwrap();
            for end in [interval.lower, interval.upper].into_iter().flatten() {
                let mut fixed = vec![false; fit.parameters.len()];
                fixed[index] = true;
                let mut init = fit.parameters.clone();
                init[index] = end;
                let held = FitOptions { fixed: Some(fixed), init: Some(init), ..options.clone() };
                let rise = inference.fit(&data, &held).unwrap().twice_nll - fit.twice_nll;
                assert!((rise - sigmas * sigmas).abs() < 1e-6, "{index} {end}: {rise}");
            }
        }
    }
}

struct Counter(AtomicUsize);

impl Observer for Counter {
    fn advance(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn observers_see_every_step() {
    let (mut inference, data) = load(&Workload::Simple.workspace());
    let counter = Arc::new(Counter(AtomicUsize::new(0)));
    inference.observe(Some(counter.clone()));
    let fit = inference.fit(&data, &FitOptions::default()).unwrap();
    let mut check = |steps: usize, run: &mut dyn FnMut(&mut Inference)| {
        run(&mut inference);
        assert_eq!(counter.0.swap(0, Ordering::Relaxed), steps);
    };
    let options = FitOptions::default();
    check(3, &mut |i| drop(i.scan(&[0.5, 1.0, 2.0], &data, &LimitOptions::default()).unwrap()));
    check(2, &mut |i| drop(i.profile(0, &[0.5, 1.0], &fit, &data, &options).unwrap()));
    check(2, &mut |i| drop(i.ranking(&fit, &data, &options).unwrap()));
    let toys = ToyOptions { toys: 10, threads: Some(2), ..ToyOptions::default() };
    check(20, &mut |i| drop(i.toys(1.0, &data, &toys).unwrap()));
}

#[test]
fn a_profile_is_the_statistic_of_each_value() {
    let options = FitOptions::default();
    let (mut inference, data) = load(&Workload::Complex8p.workspace());
    let fit = inference.fit(&data, &options).unwrap();
    let poi = inference.model().config().poi.unwrap();
    let values = [0.0, 0.4, fit.parameters[poi], 1.5, 3.0];
    let profile = inference.profile(poi, &values, &fit, &data, &options).unwrap();
    for (value, rise) in values.into_iter().zip(&profile) {
        let t = inference.test_statistic(Statistic::TmuTilde, value, &data, &options).unwrap().value;
        assert!((rise - t).abs() < 1e-9, "{value}: {rise} {t}");
    }
    let interval = inference.interval(2, 1.0, &fit, &data, &options).unwrap();
    let ends: Vec<f64> = [interval.lower, interval.upper].into_iter().flatten().collect();
    for rise in inference.profile(2, &ends, &fit, &data, &options).unwrap() {
        assert!((rise - 1.0).abs() < 1e-6, "{rise}");
    }
    // Held outside its bounds, it is profiled as well.
    let outside = inference.profile(poi, &[11.0], &fit, &data, &options).unwrap();
    assert!(outside[0] > *profile.last().unwrap());
    let conditional = inference.fit(&data, &options.at_poi(1.0)).unwrap();
    assert!(matches!(
        inference.profile(poi, &[1.0], &conditional, &data, &options),
        Err(InferenceError::ParameterFixed { .. })
    ));
    assert!(inference.profile(poi, &[f64::NAN], &fit, &data, &options).is_err());
}

#[test]
fn an_interval_may_end_at_a_bound_and_needs_a_free_parameter() {
    let (mut inference, data) = one_bin(55.0);
    let options = FitOptions::default();
    let fit = inference.fit(&data, &options).unwrap();
    let mu = inference.model().config().poi.unwrap();
    let interval = inference.interval(mu, 2.0, &fit, &data, &options).unwrap();
    assert_eq!(interval.lower, None);
    let at = interval.upper.unwrap();
    let t = inference.test_statistic(Statistic::TmuTilde, at, &data, &options).unwrap().value;
    assert!((t - 4.0).abs() < 1e-6, "{t}");
    let conditional = inference.fit(&data, &options.at_poi(1.0)).unwrap();
    assert!(matches!(
        inference.interval(mu, 1.0, &conditional, &data, &options),
        Err(InferenceError::ParameterFixed { .. })
    ));
}

#[test]
fn impacts_are_near_those_of_the_covariance_and_ordered() {
    let (mut inference, data) = load(&Workload::Complex8p.workspace());
    let options = FitOptions::default();
    let fit = inference.fit(&data, &options).unwrap();
    let covariance = inference.covariance(&fit, &data).unwrap();
    let (n, poi) = (fit.parameters.len(), inference.model().config().poi.unwrap());
    let ranking = inference.ranking(&fit, &data, &options).unwrap();
    assert_eq!(ranking.len(), n - 1);
    assert!(ranking.is_sorted_by(|a, b| a.size() >= b.size()));
    let poi_error = covariance[poi * n + poi].sqrt();
    for impact in &ranking {
        let i = impact.parameter;
        let linear = covariance[i * n + poi] / covariance[i * n + i].sqrt();
        // Likelihoods are not quite parabolic: a share of the uncertainty of the parameter of interest.
        assert!((impact.postfit[1] - linear).abs() < 0.05 * poi_error, "{impact:?} {linear}");
        assert!((impact.postfit[0] + linear).abs() < 0.05 * poi_error, "{impact:?} {linear}");
        if let Some(prefit) = impact.prefit {
            let before = prefit[0].abs().max(prefit[1].abs());
            assert!(before >= 0.9 * impact.size(), "{impact:?}");
        }
    }
}

#[test]
fn a_fit_that_meets_its_data_is_saturated() {
    let (mut inference, data) = one_bin(63.0);
    let fit = inference.fit(&data, &FitOptions::default()).unwrap();
    let goodness = inference.goodness_of_fit(&fit, &data).unwrap();
    assert!(goodness.chi2.abs() < 1e-9);
    assert_eq!((goodness.degrees_of_freedom, goodness.p_value), (0, None));
}

/// With the signal at 0 and one bin, χ² is that of one count and one measurement with one common mean.
#[test]
fn the_goodness_of_a_counting_experiment_has_a_closed_form() {
    let (mut inference, data) = one_bin(80.0);
    let fit = inference.fit(&data, &FitOptions::default().at_poi(0.0)).unwrap();
    let goodness = inference.goodness_of_fit(&fit, &data).unwrap();
    let tau = (50.0f64 / 7.0).powi(2);
    let gamma = (80.0 + tau) / (50.0 + tau);
    let deviance = |n: f64, rate: f64| 2.0 * (rate - n + n * (n / rate).ln());
    let expected = deviance(80.0, 50.0 * gamma) + deviance(tau, tau * gamma);
    assert!((goodness.chi2 - expected).abs() < 1e-8, "{} {expected}", goodness.chi2);
    assert_eq!(goodness.degrees_of_freedom, 1);
    // A χ² of one degree of freedom is a squared normal number.
    let p = libm::erfc((expected / 2.0).sqrt());
    assert!((goodness.p_value.unwrap() - p).abs() < 1e-12);
    let pulls = inference.pulls(&fit, &data).unwrap();
    let width = 7.0 / 50.0;
    let b = 1 - inference.model().config().poi.unwrap();
    assert!((pulls[b].unwrap().value - (gamma - 1.0) / width).abs() < 1e-7);
    assert_eq!(pulls[1 - b], None);
}

#[test]
fn yields_have_the_uncertainties_of_counts() {
    let (mut inference, data) = one_bin(63.0);
    let options = FitOptions { tolerance: 1e-10, ..FitOptions::default() };
    let fit = inference.fit(&data, &options).unwrap();
    let covariance = inference.covariance(&fit, &data).unwrap();
    let after = inference.prediction(&fit.parameters, &covariance).unwrap();
    // A free signal makes the fit to a bin its count.
    assert!((after.bins[0].value - 63.0).abs() < 1e-7);
    assert!((after.bins[0].uncertainty - 63f64.sqrt()).abs() < 1e-7);
    assert_eq!(after.bins, after.channels);
    let before = inference.prefit_prediction().unwrap();
    assert!((before.bins[0].value - 60.0).abs() < 1e-12);
    assert!((before.bins[0].uncertainty - 7.0).abs() < 1e-12);
    let samples = &inference.model().config().samples;
    let signal = samples.iter().position(|s| s == "signal").unwrap();
    assert_eq!(before.samples[signal][0].uncertainty, 0.0);
    assert!((before.sample_totals[1 - signal][0].uncertainty - 7.0).abs() < 1e-12);
}

#[test]
fn channels_correlate_their_bins() {
    let (mut inference, data) = load(&Workload::Complex8p.workspace());
    let fit = inference.fit(&data, &FitOptions::default()).unwrap();
    let covariance = inference.covariance(&fit, &data).unwrap();
    let after = inference.prediction(&fit.parameters, &covariance).unwrap();
    let rates = inference.expected_data(&fit.parameters).unwrap();
    for (bin, total) in after.bins.iter().enumerate() {
        assert!((total.value / rates[bin] - 1.0).abs() < 1e-12);
        let parts: f64 = after.samples.iter().map(|s| s[bin].value).sum();
        assert!((parts / total.value - 1.0).abs() < 1e-12);
    }
    let model = inference.model().clone();
    for (channel, total) in model.config().channels.iter().zip(&after.channels) {
        // The total along a direction, by differences.
        let h = 1e-5;
        let sum = |inference: &mut Inference, parameters: &[f64]| -> f64 {
            inference.expected_data(parameters).unwrap()[channel.slice.clone()].iter().sum()
        };
        let n = fit.parameters.len();
        let slopes: Vec<f64> = (0..n)
            .map(|i| {
                let mut at = [fit.parameters.clone(), fit.parameters.clone()];
                at[0][i] -= h;
                at[1][i] += h;
                (sum(&mut inference, &at[1]) - sum(&mut inference, &at[0])) / (2.0 * h)
            })
            .collect();
        let variance: f64 = (0..n * n).map(|ij| slopes[ij / n] * covariance[ij] * slopes[ij % n]).sum();
        assert!((total.uncertainty / variance.sqrt() - 1.0).abs() < 1e-6, "{total:?} {variance}");
    }
}
