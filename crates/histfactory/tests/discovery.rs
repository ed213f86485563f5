//! Derivatives of q0 against closed forms and differences of fits.

use std::sync::Arc;
use wootz_cpu::Cpu;
use wootz_histfactory::workload::Workload;
use wootz_histfactory::{
    Convention, Discovery, DiscoveryData, FitOptions, GraphOptions, Inference, InferenceOptions,
    ModelOptions, Template,
};

fn tight() -> FitOptions {
    FitOptions { tolerance: FitOptions::TOLERANCE_FOR_GRADIENTS, ..FitOptions::default() }
}

/// The inference with these templates as inputs, and counts with an excess where there is a signal.
fn load(workload: Workload, convention: Convention) -> (Inference, Vec<f64>) {
    let model =
        Arc::new(workload.workspace().model(&ModelOptions::default()).expect("a workload has a model"));
    let inputs: Vec<Template> =
        Template::ALL.into_iter().filter(|t| !model.template(*t).is_empty()).collect();
    let graph = GraphOptions { inputs, convention };
    let options = InferenceOptions { graph, ..InferenceOptions::default() };
    let mut inference =
        Inference::new(model.clone(), Arc::new(Cpu::default()), options).expect("a model can be fitted");
    let mut signal = model.config().init.clone();
    signal[model.config().poi.expect("there is one")] = 1.6;
    let expected = inference.expected_data(&signal).expect("in bounds");
    let counts = expected[..model.config().bins()].iter().enumerate();
    let counts = counts.map(|(i, n)| n * (1.0 + 0.03 * (i as f64).sin())).collect();
    (inference, counts)
}

/// (f(x + h) − f(x − h)) / 2h, extrapolated to h = 0 once (Richardson), with an estimate of its error.
fn difference(mut f: impl FnMut(f64) -> f64, h: f64) -> (f64, f64) {
    let mut central = |h: f64| (f(h) - f(-h)) / (2.0 * h);
    let (wide, narrow) = (central(h), central(h / 2.0));
    ((4.0 * narrow - wide) / 3.0, (narrow - wide).abs() / 3.0)
}

fn check(workload: Workload, convention: Convention, is_asimov: bool) {
    let (mut inference, counts) = load(workload, convention);
    let run = |inference: &mut Inference| -> Discovery {
        let data = if is_asimov { DiscoveryData::Asimov } else { DiscoveryData::Observed(&counts) };
        inference.discovery(data, &tight()).expect("fits converge")
    };
    let at = run(&mut inference);
    assert!(at.q0 > 0.0 && at.mu_hat > 0.0);
    for (template, gradient) in &at.by_template {
        let values = inference.model().template(*template).to_vec();
        // Evenly spread over the elements.
        for i in (0..values.len()).step_by(values.len().div_ceil(6)) {
            if values[i] == 0.0 {
                continue;
            }
            let (expected, error) = difference(
                |h| {
                    let mut moved = values.clone();
                    moved[i] += h;
                    inference.set_template(*template, &moved).expect("of that size");
                    run(&mut inference).q0
                },
                1e-3 * values[i].abs(),
            );
            inference.set_template(*template, &values).expect("of that size");
            // Differences of q0 carry its rounding, some 1e-12, divided by the step.
            let allowed = 10.0 * error + 1e-9 / values[i].abs() + 1e-7 * expected.abs();
            let got = gradient[i];
            assert!((got - expected).abs() <= allowed, "{template:?}[{i}]: {got} {expected} ± {allowed}");
        }
    }
}

#[test]
fn derivatives_by_every_template_are_those_of_differences() {
    for convention in [Convention::Frozen, Convention::Recomputed] {
        for workload in [Workload::Simple, Workload::Complex8p] {
            check(workload, convention, false);
            check(workload, convention, true);
        }
    }
}

/// ∂q0/∂s = 2κ·ln(n / ν(0, θ̂̂)) for Asimov data under `Frozen`.
#[test]
fn derivatives_by_the_signal_have_a_closed_form() {
    let (mut inference, _) = load(Workload::Simple, Convention::Frozen);
    let at = inference.discovery(DiscoveryData::Asimov, &tight()).unwrap();
    let model = inference.model().clone();
    let config = model.config();
    let mut start = config.init.clone();
    start[config.poi.unwrap()] = 1.0;
    let counts = inference.expected_data(&start).unwrap();
    let without = inference.expected_data(&at.conditional.parameters).unwrap();
    let (channel, gradient) = (&config.channels[0], &at.by_template[0].1);
    let signal = model.nominal_slice(&channel.name, "signal").unwrap();
    for (cell, bin) in signal.zip(channel.slice.clone()) {
        let expected = 2.0 * (counts[bin] / without[bin]).ln();
        assert!((gradient[cell] - expected).abs() < 1e-9 * expected.abs(), "{} {expected}", gradient[cell]);
    }
}

#[test]
fn without_an_excess_there_is_nothing_to_differentiate() {
    let (mut inference, counts) = load(Workload::Simple, Convention::Frozen);
    let few: Vec<f64> = counts.iter().map(|n| 0.5 * n).collect();
    let at = inference.discovery(DiscoveryData::Observed(&few), &tight()).unwrap();
    assert_eq!((at.q0, at.significance()), (0.0, 1e-6));
    assert!(at.by_template.iter().all(|(_, g)| g.iter().all(|g| *g == 0.0)));
}
