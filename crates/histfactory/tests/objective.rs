//! Derivatives of objectives against closed forms and differences of fits.

use std::sync::Arc;
use wootz_cpu::Cpu;
use wootz_histfactory::workload::Workload;
use wootz_histfactory::{
    Convention, Evaluation, FitOptions, GraphOptions, HypotestOptions, Inference, InferenceOptions,
    LimitOptions, ModelOptions, Objective, ObjectiveData, Starts, Statistic, Template, Which,
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

fn evaluate(inference: &mut Inference, objective: Objective, data: ObjectiveData<'_>) -> Evaluation {
    inference.objective(objective, data, &tight(), &mut Starts::default()).expect("fits converge")
}

fn check(workload: Workload, convention: Convention, objective: Objective, is_asimov: bool) {
    let (mut inference, counts) = load(workload, convention);
    let data = if is_asimov { ObjectiveData::Asimov } else { ObjectiveData::Observed(&counts) };
    let at = evaluate(&mut inference, objective, data);
    assert!(at.value > 0.0);
    let case = format!("{objective:?} {convention:?} {} {is_asimov}", workload.name());
    for (template, gradient) in &at.derivatives.by_template {
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
                    evaluate(&mut inference, objective, data).value
                },
                1e-3 * values[i].abs(),
            );
            inference.set_template(*template, &values).expect("of that size");
            // Differences carry the rounding of fits, some 1e-12, divided by the step.
            let allowed = 10.0 * error + 1e-9 * at.value.max(1.0) / values[i].abs() + 1e-7 * expected.abs();
            let got = gradient[i];
            assert!(
                (got - expected).abs() <= allowed,
                "{case} {template:?}[{i}]: {got} {expected} ± {allowed}"
            );
        }
    }
    if is_asimov {
        return;
    }
    for i in 0..counts.len() {
        let (expected, error) = difference(
            |h| {
                let mut moved = counts.clone();
                moved[i] += h;
                evaluate(&mut inference, objective, ObjectiveData::Observed(&moved)).value
            },
            1e-3 * counts[i].abs(),
        );
        let allowed = 10.0 * error + 1e-9 * at.value.max(1.0) / counts[i].abs() + 1e-7 * expected.abs();
        let got = at.derivatives.by_data[i];
        assert!((got - expected).abs() <= allowed, "{case} counts[{i}]: {got} {expected} ± {allowed}");
    }
}

fn check_everywhere(objectives: &[Objective]) {
    for objective in objectives {
        for convention in [Convention::Frozen, Convention::Recomputed] {
            for workload in [Workload::Simple, Workload::Complex8p] {
                for is_asimov in [false, true] {
                    check(workload, convention, *objective, is_asimov);
                }
            }
        }
    }
}

#[test]
fn derivatives_of_a_discovery_are_those_of_differences() {
    check_everywhere(&[Objective::Q0, Objective::Z0]);
}

#[test]
fn derivatives_of_cls_are_those_of_differences() {
    let of = |mu, which| Objective::Cls { mu, which };
    check_everywhere(&[
        of(2.5, Which::Observed),
        of(1.0, Which::Expected(0.0)),
        of(1.0, Which::Expected(-1.0)),
    ]);
}

#[test]
fn derivatives_of_limits_are_those_of_differences() {
    let of = |level, which| Objective::UpperLimit { level, which };
    check_everywhere(&[
        of(0.05, Which::Observed),
        of(0.05, Which::Expected(0.0)),
        of(0.1, Which::Expected(2.0)),
    ]);
}

#[test]
fn derivatives_of_parameters_and_uncertainties_are_those_of_differences() {
    check_everywhere(&[Objective::Uncertainty(0), Objective::Uncertainty(1)]);
    for convention in [Convention::Frozen, Convention::Recomputed] {
        check(Workload::Simple, convention, Objective::Parameter(0), false);
        check(Workload::Complex8p, convention, Objective::Parameter(0), false);
        check(Workload::Complex8p, convention, Objective::Parameter(5), false);
    }
}

/// The same numbers as tests and limits without derivatives.
#[test]
fn objectives_are_what_tests_and_limits_give() {
    for workload in [Workload::Simple, Workload::Complex8p] {
        let (mut inference, counts) = load(workload, Convention::Frozen);
        let data = [&counts[..], &inference.model().config().auxdata.clone()].concat();
        let observed = ObjectiveData::Observed(&counts);
        let test = HypotestOptions { fit: tight(), ..HypotestOptions::default() };
        for mu in [1.8, 2.5] {
            let expected = inference.hypotest(mu, &data, &test).unwrap();
            let mut cls = |which| evaluate(&mut inference, Objective::Cls { mu, which }, observed).value;
            assert!((cls(Which::Observed) - expected.observed).abs() < 1e-10);
            for (i, sigmas) in [-2.0, -1.0, 0.0, 1.0, 2.0].into_iter().enumerate() {
                assert!((cls(Which::Expected(sigmas)) - expected.expected[i]).abs() < 1e-10);
            }
        }
        let limits = inference.upper_limit(&data, &LimitOptions { test, ..LimitOptions::default() }).unwrap();
        let mut limit =
            |which| evaluate(&mut inference, Objective::UpperLimit { level: 0.05, which }, observed).value;
        assert!((limit(Which::Observed) / limits.observed - 1.0).abs() < 1e-7);
        for (i, sigmas) in [-2.0, -1.0, 0.0, 1.0, 2.0].into_iter().enumerate() {
            assert!((limit(Which::Expected(sigmas)) / limits.expected[i] - 1.0).abs() < 1e-7);
        }
        let q0 = inference.test_statistic(Statistic::Q0, 0.0, &data, &tight()).unwrap().value;
        let at = evaluate(&mut inference, Objective::Q0, observed);
        assert!((at.value - q0).abs() < 1e-9 * q0);
    }
}

#[test]
fn warm_starts_change_nothing() {
    for objective in [
        Objective::Z0,
        Objective::Cls { mu: 2.5, which: Which::Observed },
        Objective::UpperLimit { level: 0.05, which: Which::Expected(0.0) },
    ] {
        for is_asimov in [false, true] {
            let (mut inference, counts) = load(Workload::Complex8p, Convention::Recomputed);
            let data = if is_asimov { ObjectiveData::Asimov } else { ObjectiveData::Observed(&counts) };
            let mut starts = Starts::default();
            let nominal = inference.model().template(Template::Nominal).to_vec();
            for step in 0..4 {
                let moved: Vec<f64> = nominal.iter().map(|x| x * (1.0 + 0.02 * f64::from(step))).collect();
                inference.set_template(Template::Nominal, &moved).unwrap();
                let warm = inference.objective(objective, data, &tight(), &mut starts).unwrap();
                let cold = evaluate(&mut inference, objective, data);
                assert!((warm.value - cold.value).abs() <= 1e-8 * cold.value, "{objective:?} {step}");
                for (w, c) in warm.derivatives.by_template.iter().zip(&cold.derivatives.by_template) {
                    let size = c.1.iter().fold(0.0f64, |m, x| m.max(x.abs()));
                    assert!(w.1.iter().zip(&c.1).all(|(w, c)| (w - c).abs() <= 1e-8 * size), "{objective:?}");
                }
            }
        }
    }
}

/// ∂q0/∂s = 2κ·ln(n / ν(0, θ̂̂)) for Asimov data under `Frozen`.
#[test]
fn derivatives_by_the_signal_have_a_closed_form() {
    let (mut inference, _) = load(Workload::Simple, Convention::Frozen);
    let at = evaluate(&mut inference, Objective::Q0, ObjectiveData::Asimov);
    let model = inference.model().clone();
    let config = model.config();
    let mut start = config.init.clone();
    start[config.poi.unwrap()] = 1.0;
    let counts = inference.expected_data(&start).unwrap();
    let without = inference.expected_data(at.conditional.as_ref().unwrap()).unwrap();
    let (channel, gradient) = (&config.channels[0], &at.derivatives.by_template[0].1);
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
    let at = evaluate(&mut inference, Objective::Z0, ObjectiveData::Observed(&few));
    assert_eq!((at.statistic, at.value), (Some(0.0), 1e-6));
    assert!(at.derivatives.by_template.iter().all(|(_, g)| g.iter().all(|g| *g == 0.0)));
}
