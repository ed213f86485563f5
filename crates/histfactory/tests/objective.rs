//! Derivatives of objectives against closed forms and differences of fits.

use serde_json::{Value, json};
use std::sync::Arc;
use wootz_cpu::Cpu;
use wootz_histfactory::workload::Workload;
use wootz_histfactory::{
    Convention, Evaluation, FitOptions, GraphOptions, HypotestOptions, Inference, InferenceOptions,
    LimitOptions, ModelOptions, Objective, ObjectiveData, Starts, Statistic, Template, Which, Workspace,
};

fn tight() -> FitOptions {
    FitOptions { tolerance: FitOptions::TOLERANCE_FOR_GRADIENTS, ..FitOptions::default() }
}

/// A workload's inference, and counts with an excess where there is a signal.
fn load(workload: Workload, convention: Convention) -> (Inference, Vec<f64>) {
    let mut inference = of_workspace(&workload.workspace(), convention);
    let config = inference.model().config().clone();
    let mut signal = config.init.clone();
    signal[config.poi.expect("there is one")] = 1.6;
    let expected = inference.expected_data(&signal).expect("in bounds");
    let counts = expected[..config.bins()].iter().enumerate();
    let counts = counts.map(|(i, n)| n * (1.0 + 0.03 * (i as f64).sin())).collect();
    (inference, counts)
}

/// The inference with every template that there is as an input.
fn of_workspace(workspace: &Workspace, convention: Convention) -> Inference {
    let model = Arc::new(workspace.model(&ModelOptions::default()).expect("a workload has a model"));
    let inputs: Vec<Template> =
        Template::ALL.into_iter().filter(|t| !model.template(*t).is_empty()).collect();
    let graph = GraphOptions { inputs, convention };
    let options = InferenceOptions { graph, ..InferenceOptions::default() };
    Inference::new(model, Arc::new(Cpu::default()), options).expect("a model can be fitted")
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

/// What is checked against differences.
struct Check<'a> {
    case: String,
    objective: Objective,
    fit: FitOptions,
    /// Counts, perhaps with auxiliary data; `None` for Asimov data.
    data: Option<&'a [f64]>,
    /// The most elements of each template, and of the data.
    elements: usize,
}

impl Check<'_> {
    fn evaluate(&self, inference: &mut Inference, data: Option<&[f64]>) -> Evaluation {
        let data = data.map_or(ObjectiveData::Asimov, ObjectiveData::Observed);
        inference.objective(self.objective, data, &self.fit, &mut Starts::default()).expect("fits converge")
    }

    fn run(&self, inference: &mut Inference) -> Evaluation {
        let at = self.evaluate(inference, self.data);
        let close = |got: f64, (expected, error): (f64, f64), x: f64, what: &str| {
            // Differences carry the rounding of fits, some 1e-12, divided by the step: 2 of them by half the step count 4/3, 2 by the step 1/3.
            let rounding = 3.0 * 1e-12 / (1e-3 * x.abs());
            let allowed = 10.0 * error + rounding * at.value.max(1.0) + 1e-7 * expected.abs();
            assert!((got - expected).abs() <= allowed, "{} {what}: {got} {expected} ± {allowed}", self.case);
        };
        for (template, gradient) in &at.derivatives.by_template {
            let values = inference.model().template(*template).to_vec();
            // Evenly spread over the elements.
            for i in (0..values.len()).step_by(values.len().div_ceil(self.elements)) {
                if values[i] == 0.0 {
                    continue;
                }
                let moved = |h: f64| {
                    let mut moved = values.clone();
                    moved[i] += h;
                    inference.set_template(*template, &moved).expect("of that size");
                    self.evaluate(inference, self.data).value
                };
                let expected = difference(moved, 1e-3 * values[i].abs());
                inference.set_template(*template, &values).expect("of that size");
                close(gradient[i], expected, values[i], &format!("{template:?}[{i}]"));
            }
        }
        let data = self.data.unwrap_or_default();
        for i in (0..data.len()).step_by(data.len().div_ceil(self.elements).max(1)) {
            let moved = |h: f64| {
                let mut moved = data.to_vec();
                moved[i] += h;
                self.evaluate(inference, Some(&moved)).value
            };
            // Auxiliary data are near 0 or 1, their widths a tenth of that or more.
            let size = if data[i] == 0.0 { 1.0 } else { data[i].abs() };
            close(at.derivatives.by_data[i], difference(moved, 1e-3 * size), size, &format!("data[{i}]"));
        }
        at
    }
}

fn check(workload: Workload, convention: Convention, objective: Objective, is_asimov: bool) {
    let (mut inference, counts) = load(workload, convention);
    let case = format!("{objective:?} {convention:?} {} {is_asimov}", workload.name());
    let data = (!is_asimov).then_some(&counts[..]);
    let at = Check { case, objective, fit: tight(), data, elements: 6 }.run(&mut inference);
    assert!(at.value > 0.0);
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

const ALL: [Objective; 8] = [
    Objective::Q0,
    Objective::Z0,
    Objective::Cls { mu: 2.5, which: Which::Observed },
    Objective::Cls { mu: 1.0, which: Which::Expected(-1.0) },
    Objective::UpperLimit { level: 0.05, which: Which::Observed },
    Objective::UpperLimit { level: 0.05, which: Which::Expected(0.0) },
    Objective::Parameter(0),
    Objective::Uncertainty(0),
];

/// One parameter is held by its bound: derivatives are on the others.
#[test]
fn derivatives_with_a_parameter_at_its_bound_are_those_of_differences() {
    let (mut inference, _) = load(Workload::Complex8p, Convention::Recomputed);
    let config = inference.model().config().clone();
    let jes = config.names.iter().position(|name| name == "jes").unwrap();
    let mut pulled = config.init.clone();
    (pulled[config.poi.unwrap()], pulled[jes]) = (1.6, -0.8);
    let counts = inference.expected_data(&pulled).unwrap()[..config.bins()].to_vec();
    let mut bounds = config.bounds.clone();
    bounds[jes] = (0.0, 5.0);
    let fit = FitOptions { bounds: Some(bounds), ..tight() };
    for objective in ALL {
        let case = format!("{objective:?}");
        let check = Check { case, objective, fit: fit.clone(), data: Some(&counts), elements: 4 };
        let at = check.run(&mut inference);
        assert_eq!(at.free[jes], 0.0);
    }
    // What is held does not depend on anything.
    let objective = Objective::Parameter(jes);
    let held = inference
        .objective(objective, ObjectiveData::Observed(&counts), &fit, &mut Starts::default())
        .unwrap();
    assert!(held.derivatives.by_data.iter().all(|d| *d == 0.0));
}

/// Counts and auxiliary data.
#[test]
fn derivatives_by_auxiliary_data_are_those_of_differences() {
    for convention in [Convention::Frozen, Convention::Recomputed] {
        for workload in [Workload::Simple, Workload::Complex8p] {
            let (mut inference, counts) = load(workload, convention);
            let auxiliary = inference.model().config().auxdata.clone();
            let auxiliary = auxiliary.iter().enumerate().map(|(i, a)| a + 0.02 * (1.0 + i as f64).cos());
            let data: Vec<f64> = counts.into_iter().chain(auxiliary).collect();
            for objective in ALL {
                let case = format!("{objective:?} {convention:?} {}", workload.name());
                let elements = data.len();
                Check { case, objective, fit: tight(), data: Some(&data), elements }.run(&mut inference);
            }
        }
    }
}

/// At 184 parameters.
#[test]
fn derivatives_of_a_large_model_are_those_of_differences() {
    for convention in [Convention::Frozen, Convention::Recomputed] {
        let (mut inference, counts) = load(Workload::ThuLike, convention);
        for data in [None, Some(&counts[..])] {
            let case = format!("{convention:?} {}", data.is_some());
            Check { case, objective: Objective::Z0, fit: tight(), data, elements: 2 }.run(&mut inference);
        }
    }
}

/// Where the yields of one sample change, `Recomputed` is the workspace written anew, and `Frozen` that with errors and variations such that
/// widths and absolute variations stay.
#[test]
fn conventions_are_rebuilt_workspaces() {
    for workload in [Workload::Simple, Workload::Complex8p] {
        for convention in [Convention::Frozen, Convention::Recomputed] {
            let (mut inference, counts) = load(workload, convention);
            let text = serde_json::to_value(workload.workspace()).unwrap();
            let model = inference.model().clone();
            let nominal = model.template(Template::Nominal).to_vec();
            for (c, channel) in text["channels"].as_array().unwrap().iter().enumerate() {
                for (s, sample) in channel["samples"].as_array().unwrap().iter().enumerate() {
                    let factor = |bin: usize| 1.0 + 0.05 * (1.0 + (c + 2 * s + bin) as f64).sin();
                    let name = |of: &Value| of["name"].as_str().unwrap().to_owned();
                    let mut moved = nominal.clone();
                    let slice = model.nominal_slice(&name(channel), &name(sample)).unwrap();
                    moved[slice].iter_mut().enumerate().for_each(|(bin, x)| *x *= factor(bin));
                    inference.set_template(Template::Nominal, &moved).unwrap();
                    let other = rebuilt(&text, (c, s), factor, convention == Convention::Frozen);
                    let mut other = of_workspace(&other, convention);
                    for objective in ALL {
                        for data in [ObjectiveData::Asimov, ObjectiveData::Observed(&counts)] {
                            let got = evaluate(&mut inference, objective, data);
                            let expected = evaluate(&mut other, objective, data);
                            let case = format!("{objective:?} {convention:?} {c} {s}");
                            let close = |a: f64, b: f64| (a - b).abs() <= 1e-8 * b.abs().max(1e-3);
                            assert!(
                                close(got.value, expected.value),
                                "{case}: {} {}",
                                got.value,
                                expected.value
                            );
                            let (got, expected) = (got.derivatives.by_data, expected.derivatives.by_data);
                            let mut pairs = got.iter().zip(&expected);
                            assert!(pairs.all(|(a, b)| (a - b).abs() <= 1e-7 * b.abs().max(1e-2)), "{case}");
                        }
                    }
                }
            }
        }
    }
}

/// The workspace with one sample's yields multiplied; with everything that depends on them kept, if `keep`.
fn rebuilt(
    workspace: &Value,
    (channel, sample): (usize, usize),
    factor: impl Fn(usize) -> f64,
    keep: bool,
) -> Workspace {
    let mut out = workspace.clone();
    let numbers = |of: &Value| -> Vec<f64> {
        of.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
    };
    let samples = out["channels"][channel]["samples"].as_array_mut().expect("a list");
    let old = numbers(&samples[sample]["data"]);
    let new: Vec<f64> = old.iter().enumerate().map(|(bin, x)| x * factor(bin)).collect();
    samples[sample]["data"] = json!(new);
    if keep {
        let is_staterror = |m: &Value| m["type"] == "staterror";
        // Staterrors are relative to the sum of the samples that carry them.
        let carriers: Vec<usize> = (0..samples.len())
            .filter(|s| samples[*s]["modifiers"].as_array().expect("a list").iter().any(is_staterror))
            .collect();
        let sum = |bin: usize| carriers.iter().map(|s| numbers(&samples[*s]["data"])[bin]).sum::<f64>();
        let after: Vec<f64> = (0..new.len()).map(sum).collect();
        let carries = carriers.contains(&sample);
        let before = |bin: usize| after[bin] - if carries { new[bin] - old[bin] } else { 0.0 };
        for (s, other) in samples.iter_mut().enumerate() {
            for modifier in other["modifiers"].as_array_mut().expect("a list") {
                let kind = modifier["type"].as_str().expect("a name").to_owned();
                let data = &mut modifier["data"];
                let change = |data: &mut Value, f: &dyn Fn(usize, f64) -> f64| {
                    *data =
                        json!(numbers(data).iter().enumerate().map(|(b, x)| f(b, *x)).collect::<Vec<_>>());
                };
                match kind.as_str() {
                    "staterror" => change(data, &|b, x| x * after[b] / before(b)),
                    "shapesys" if s == sample => change(data, &|b, x| x * new[b] / old[b]),
                    "histosys" if s == sample => {
                        change(&mut data["lo_data"], &|b, x| x + new[b] - old[b]);
                        change(&mut data["hi_data"], &|b, x| x + new[b] - old[b]);
                    }
                    _ => {}
                }
            }
        }
    }
    Workspace::from_json(out.to_string().as_bytes()).expect("still a workspace")
}

/// s = 0.5, b = 50 ± 7 and 80 counted: the best fit is far above the bound of 10.
#[test]
fn limits_do_not_depend_on_the_bound_of_the_parameter_of_interest() {
    let text = r#"{"version": "1.0.0",
        "channels": [{"name": "SR", "samples": [
            {"name": "signal", "data": [0.5], "modifiers": [{"name": "mu", "type": "normfactor", "data": null}]},
            {"name": "background", "data": [50], "modifiers": [{"name": "b", "type": "shapesys", "data": [7]}]}]}],
        "observations": [{"name": "SR", "data": [80]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}]}"#;
    let workspace = Workspace::from_json(text.as_bytes()).unwrap();
    let mut inference = of_workspace(&workspace, Convention::Frozen);
    let counts = [80.0];
    let data = [&counts[..], &inference.model().config().auxdata.clone()].concat();
    let poi = inference.model().config().poi.unwrap();
    let mut limits = Vec::new();
    for (upper, is_widened) in [(10.0, true), (20.0, true), (1000.0, false)] {
        let mut bounds = inference.model().config().bounds.clone();
        bounds[poi] = (0.0, upper);
        let fit = FitOptions { bounds: Some(bounds), ..tight() };
        let test = HypotestOptions { fit: fit.clone(), ..HypotestOptions::default() };
        let limit = inference.upper_limit(&data, &LimitOptions { test, ..LimitOptions::default() }).unwrap();
        assert_eq!(limit.widened.is_some(), is_widened, "{limit:?}");
        limits.push((limit.observed, limit.expected));
        for (which, expected) in
            [(Which::Observed, limit.observed), (Which::Expected(0.0), limit.expected[2])]
        {
            let objective = Objective::UpperLimit { level: 0.05, which };
            let case = format!("{which:?} {upper}");
            let check = Check { case, objective, fit: fit.clone(), data: Some(&counts), elements: 4 };
            let at = check.run(&mut inference);
            assert!((at.value / expected - 1.0).abs() < 1e-7, "{which:?} {upper}: {} {expected}", at.value);
        }
    }
    for other in &limits {
        assert!((other.0 / limits[2].0 - 1.0).abs() < 1e-7, "{limits:?}");
        assert!(other.1.iter().zip(&limits[2].1).all(|(a, b)| (a / b - 1.0).abs() < 1e-7), "{limits:?}");
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
