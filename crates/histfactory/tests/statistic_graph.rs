//! Test statistics and asymptotic tests as graphs: alone, differentiated, and batched over toys, hypotheses and templates, against the driver's.

use std::collections::BTreeMap;
use std::sync::Arc;
use wootz_cpu::Cpu;
use wootz_histfactory::workload::Workload;
use wootz_histfactory::{
    Convention, FitOptions, GraphOptions, HypotestOptions, Inference, InferenceOptions, Model, ModelOptions,
    Objective, ObjectiveData, ProfileOptions, Starts, Statistic, Template, Which,
};
use wootz_ir::{DType, Dim, Graph, HostTensor};
use wootz_runtime::{Definition, Options, Params, compile};

/// The outputs of a graph, flat.
fn run(graph: Graph, inputs: &[(&str, &[usize], &[f64])]) -> Vec<Vec<f64>> {
    let program = compile(&Definition::from(graph), &BTreeMap::new(), &Cpu::default(), &Options::default())
        .expect("a program compiles");
    let inputs: Vec<_> =
        inputs.iter().map(|(name, dims, x)| (*name, HostTensor::from_f64(DType::F64, dims, x))).collect();
    let outputs = program.run(&Params::new([]), &inputs).expect("a program runs");
    outputs.iter().map(|(_, tensor)| tensor.to_f64()).collect()
}

fn cold(max_evaluations: usize) -> ProfileOptions {
    ProfileOptions { max_evaluations, warm: false }
}

fn close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    let scale = expected.iter().fold(1.0f64, |m, x| m.max(x.abs()));
    for (g, e) in got.iter().zip(expected) {
        assert!((g - e).abs() <= tolerance * scale, "{got:?} is not {expected:?}");
    }
}

fn setup(workload: Workload) -> (Arc<Model>, Vec<f64>) {
    let workspace = workload.workspace();
    let model = Arc::new(workspace.model(&ModelOptions::default()).expect("a workload has a model"));
    let data = workspace.data(&model).expect("a workload has data");
    (model, data)
}

/// Data that fluctuate by a known pattern.
fn toys(model: &Model, data: &[f64], count: usize) -> Vec<Vec<f64>> {
    let bins = model.config().bins();
    let toy = |t: usize| {
        let bin = |(i, n): (usize, &f64)| match i < bins {
            true => (n + n.sqrt() * ((3 * t + i) as f64).sin()).max(0.0),
            false => *n,
        };
        data.iter().enumerate().map(bin).collect()
    };
    (0..count).map(toy).collect()
}

#[test]
fn statistics_are_those_of_the_driver_over_toys_and_hypotheses() {
    const EVALUATIONS: usize = 100;
    for workload in [Workload::Simple, Workload::Complex8p] {
        let (model, data) = setup(workload);
        let fit = FitOptions { tolerance: FitOptions::TOLERANCE_FOR_GRADIENTS, ..FitOptions::default() };
        let mut driver =
            Inference::new(model.clone(), Arc::new(Cpu::default()), InferenceOptions::default()).unwrap();
        let sets = toys(&model, &data, 6);
        let mus = [0.2, 0.7, 1.0, 1.4, 2.0, 3.0];
        for statistic in [Statistic::QmuTilde, Statistic::TmuTilde] {
            let graph =
                model.test_statistic_graph(statistic, &GraphOptions::default(), cold(EVALUATIONS)).unwrap();
            let expected: Vec<_> = sets
                .iter()
                .zip(mus)
                .map(|(set, mu)| driver.test_statistic(statistic, mu, set, &fit).unwrap())
                .collect();
            let poi = model.config().poi.unwrap();
            let values: Vec<f64> = expected.iter().map(|t| t.value).collect();
            let best: Vec<f64> = expected.iter().map(|t| t.free.parameters[poi]).collect();
            let alone = run(graph.clone(), &[("mu", &[], &mus[1..2]), ("data", &[data.len()], &sets[1])]);
            close(&alone[0], &values[1..2], 1e-8);
            close(&alone[1], &best[1..2], 1e-7);

            let size = Dim::from(sets.len());
            let both = [Some(0), Some(0)];
            let batched = wootz_transform::vmap(&graph, &both, &both, &size).unwrap();
            let all = run(batched, &[("mu", &[6], &mus), ("data", &[6, data.len()], &sets.concat())]);
            close(&all[0], &values, 1e-8);
            close(&all[1], &best, 1e-7);

            // By μ and by the data, lane by lane as one at a time.
            let gradient = wootz_transform::grad(&graph, 0, &[0, 1]).unwrap();
            let out = vec![Some(0); gradient.outputs.len()];
            let batched = wootz_transform::vmap(&gradient, &both, &out, &size).unwrap();
            let all = run(batched, &[("mu", &[6], &mus), ("data", &[6, data.len()], &sets.concat())]);
            for (i, set) in sets.iter().enumerate() {
                let one = run(gradient.clone(), &[("mu", &[], &mus[i..=i]), ("data", &[data.len()], set)]);
                for (all, one) in all.iter().zip(&one) {
                    close(&all[i * one.len()..(i + 1) * one.len()], one, 1e-8);
                }
                let by_mu = 2.0 * expected[i].conditional.gradient[poi];
                let is_zero = values[i] == 0.0;
                close(&one[one.len() - 2], &[if is_zero { 0.0 } else { by_mu }], 1e-7);
            }
        }
    }
}

/// Nominal yields that change by a known pattern.
fn changed_templates(model: &Model, count: usize) -> Vec<Vec<f64>> {
    let nominal = model.template(Template::Nominal);
    let one = |k: usize| {
        let changed = |(i, x): (usize, &f64)| x * (1.0 + 0.02 * ((5 * k + i) as f64).cos());
        nominal.iter().enumerate().map(changed).collect()
    };
    (0..count).map(one).collect()
}

/// All lanes at once: inputs with an axis more where `batched`.
fn vmap(graph: &Graph, batched: &[bool], lanes: usize) -> Graph {
    let axes: Vec<Option<usize>> = batched.iter().map(|b| b.then_some(0)).collect();
    let out = vec![Some(0); graph.outputs.len()];
    wootz_transform::vmap(graph, &axes, &out, &Dim::from(lanes)).expect("a graph is batched")
}

#[test]
fn tests_are_those_of_the_driver_over_toys_and_hypotheses() {
    const LANES: usize = 6;
    for workload in [Workload::Simple, Workload::Complex8p] {
        let (model, data) = setup(workload);
        let fit = FitOptions { tolerance: FitOptions::TOLERANCE_FOR_GRADIENTS, ..FitOptions::default() };
        let mut driver =
            Inference::new(model.clone(), Arc::new(Cpu::default()), InferenceOptions::default()).unwrap();
        let sets = toys(&model, &data, LANES);
        for statistic in [Statistic::QmuTilde, Statistic::Qmu, Statistic::Q0] {
            // The first is below some best fits.
            let mus = match statistic {
                Statistic::Q0 => [0.0; LANES],
                _ => [0.05, 0.7, 1.0, 1.4, 2.0, 3.0],
            };
            let options = HypotestOptions { statistic, fit: fit.clone() };
            let graph = model.hypotest_graph(statistic, &GraphOptions::default(), cold(100)).unwrap();
            let all = run(
                vmap(&graph, &[true, true], LANES),
                &[("mu", &[LANES], &mus), ("data", &[LANES, data.len()], &sets.concat())],
            );
            let mut is_zero = [false; LANES];
            for (i, (set, mu)) in sets.iter().zip(mus).enumerate() {
                let expected = driver.hypotest(mu, set, &options).unwrap();
                is_zero[i] = expected.statistic == 0.0;
                close(&all[0][i..=i], &[expected.observed], 1e-8);
                close(&all[1][5 * i..5 * (i + 1)], &expected.expected, 1e-8);
                close(&all[2][i..=i], &[expected.statistic], 1e-8);
                close(&all[3][i..=i], &[expected.asimov], 1e-8);
                let best = driver.fit(set, &fit).unwrap().parameters[model.config().poi.unwrap()];
                close(&all[4][i..=i], &[best], 1e-7);
            }
            assert!(statistic == Statistic::Q0 || is_zero.contains(&true), "lanes on both sides");

            let gradient = wootz_transform::grad(&graph, 0, &[0, 1]).unwrap();
            let all = run(
                vmap(&gradient, &[true, true], LANES),
                &[("mu", &[LANES], &mus), ("data", &[LANES, data.len()], &sets.concat())],
            );
            for (i, set) in sets.iter().enumerate() {
                let one = run(gradient.clone(), &[("mu", &[], &mus[i..=i]), ("data", &[data.len()], set)]);
                for (all, one) in all.iter().zip(&one) {
                    close(&all[i * one.len()..(i + 1) * one.len()], one, 1e-8);
                }
            }
        }
    }
}

/// Of CLs, observed and expected, and of the best fit, over a batch of templates: by templates and data.
#[test]
fn derivatives_of_tests_and_best_fits_are_those_of_the_objectives() {
    const LANES: usize = 3;
    let mu = 1.1;
    for convention in [Convention::Frozen, Convention::Recomputed] {
        let (model, data) = setup(Workload::Complex8p);
        let data = toys(&model, &data, 2).remove(1);
        let options = GraphOptions { inputs: vec![Template::Nominal], convention };
        let inference_options = InferenceOptions { graph: options.clone(), ..InferenceOptions::default() };
        let mut driver = Inference::new(model.clone(), Arc::new(Cpu::default()), inference_options).unwrap();
        let fit = FitOptions { tolerance: FitOptions::TOLERANCE_FOR_GRADIENTS, ..FitOptions::default() };
        let (poi, nominal) = (model.config().poi.unwrap(), model.template(Template::Nominal).len());
        let batch = changed_templates(&model, LANES);
        let test = model.hypotest_graph(Statistic::QmuTilde, &options, cold(100)).unwrap();
        let statistic = model.test_statistic_graph(Statistic::QmuTilde, &options, cold(100)).unwrap();
        let expected = |sigmas: f64| Objective::Cls { mu, which: Which::Expected(sigmas) };
        let cases = [
            (&test, "observed", 0, Objective::Cls { mu, which: Which::Observed }),
            (&test, "expected", 0, expected(-2.0)),
            (&test, "expected", 2, expected(0.0)),
            (&test, "expected", 3, expected(1.0)),
            (&test, "mu_hat", 0, Objective::Parameter(poi)),
            (&statistic, "mu_hat", 0, Objective::Parameter(poi)),
        ];
        for (graph, output, element, objective) in cases {
            let pulled = wootz_transform::vjp(graph, &[1, 2]).unwrap();
            let batched: Vec<bool> = (0..pulled.inputs.len()).map(|i| i == 2).collect();
            let seeds: Vec<(String, usize)> = pulled.inputs[3..]
                .iter()
                .map(|input| (input.name.to_string(), if &*input.name == "ct.expected" { 5 } else { 1 }))
                .collect();
            let seed = |(name, size): &(String, usize)| {
                let is_asked = *name == format!("ct.{output}");
                let of = |i: usize| f64::from(u8::from(is_asked && i == element));
                (0..*size).map(of).collect::<Vec<f64>>()
            };
            let values: Vec<Vec<f64>> = seeds.iter().map(seed).collect();
            let all = batch.concat();
            let (data_len, dims) = (data.len(), [LANES, nominal]);
            let lens = [data_len];
            let mut inputs: Vec<(&str, &[usize], &[f64])> = vec![
                ("mu", &[], std::slice::from_ref(&mu)),
                ("data", &lens, &data),
                ("nominal", &dims, &all),
            ];
            for ((name, size), values) in seeds.iter().zip(&values) {
                inputs.push((name, if *size == 5 { &[5] } else { &[] }, values));
            }
            let found = run(vmap(&pulled, &batched, LANES), &inputs);
            let [by_data, by_nominal] = [&found[found.len() - 2], &found[found.len() - 1]];
            for (k, templates) in batch.iter().enumerate() {
                driver.set_template(Template::Nominal, templates).unwrap();
                let observed = ObjectiveData::Observed(&data);
                let expected = driver.objective(objective, observed, &fit, &mut Starts::default()).unwrap();
                let pairs = [
                    (&by_data[k * data_len..(k + 1) * data_len], &expected.derivatives.by_data),
                    (&by_nominal[k * nominal..(k + 1) * nominal], &expected.derivatives.by_template[0].1),
                ];
                for (got, expected) in pairs {
                    let scale = expected.iter().fold(0.0f64, |m, x| m.max(x.abs()));
                    assert!(scale > 1e-5, "the test tests something: {output} {scale}");
                    for (g, e) in got.iter().zip(expected) {
                        let close = (g - e).abs() <= 1e-7 * scale;
                        assert!(close, "{output} {element} {convention:?}: {got:?} is not {expected:?}");
                    }
                }
            }
        }
    }
}

/// A lane that has no fit is NaN, and no other lane notices.
#[test]
fn lanes_without_convergence_are_not_numbers() {
    let (model, data) = setup(Workload::Complex8p);
    let asimov = {
        let mut driver =
            Inference::new(model.clone(), Arc::new(Cpu::default()), InferenceOptions::default()).unwrap();
        driver.expected_data(&model.config().init).unwrap()
    };
    let far: Vec<f64> = data.iter().map(|n| 1.7 * n).collect();
    let sets = [asimov.as_slice(), &far].concat();
    // Asimov data are fitted at once, and tested at where they are from.
    let graph = model.test_statistic_graph(Statistic::QmuTilde, &GraphOptions::default(), cold(2)).unwrap();
    let found =
        run(vmap(&graph, &[false, true], 2), &[("mu", &[], &[1.0]), ("data", &[2, data.len()], &sets)]);
    assert!(found[0][0].abs() < 1e-12 && (found[1][0] - 1.0).abs() < 1e-12, "{found:?}");
    assert!(found[0][1].is_nan() && found[1][1].is_nan(), "{found:?}");
    let t = model.hypotest_graph(Statistic::Tmu, &GraphOptions::default(), cold(2));
    assert!(t.is_err_and(|error| error.to_string().contains("asymptotic")));
}

#[test]
fn gradients_by_templates_are_those_of_the_objective_over_a_batch_of_templates() {
    for convention in [Convention::Frozen, Convention::Recomputed] {
        let (model, data) = setup(Workload::Complex8p);
        let options = GraphOptions { inputs: vec![Template::Nominal], convention };
        let graph = model.test_statistic_graph(Statistic::Q0, &options, cold(100)).unwrap();
        let gradient = wootz_transform::grad(&graph, 0, &[2]).unwrap();
        let nominal = model.template(Template::Nominal);
        let batch = changed_templates(&model, 4);
        let batched = vmap(&gradient, &[false, false, true], batch.len());
        let inputs: [(&str, &[usize], &[f64]); 3] = [
            ("mu", &[], &[0.0]),
            ("data", &[data.len()], &data),
            ("nominal", &[batch.len(), nominal.len()], &batch.concat()),
        ];
        let found = run(batched, &inputs);

        // The driver lets auxiliary data follow the templates when recomputing; the graph's are given. The workload's staterror auxiliary data
        // are 1 either way.
        let inference_options = InferenceOptions { graph: options, ..InferenceOptions::default() };
        let mut driver = Inference::new(model.clone(), Arc::new(Cpu::default()), inference_options).unwrap();
        let fit = FitOptions { tolerance: FitOptions::TOLERANCE_FOR_GRADIENTS, ..FitOptions::default() };
        let counts = &data[..model.config().bins()];
        for (k, templates) in batch.iter().enumerate() {
            driver.set_template(Template::Nominal, templates).unwrap();
            let observed = ObjectiveData::Observed(counts);
            let expected = driver.objective(Objective::Q0, observed, &fit, &mut Starts::default()).unwrap();
            close(&found[0][k..=k], &[expected.value], 1e-8);
            let by = &expected.derivatives.by_template[0].1;
            assert!(expected.value > 0.0 && by.iter().any(|d| d.abs() > 1e-3), "the test tests something");
            close(&found[2][k * by.len()..(k + 1) * by.len()], by, 1e-7);
        }
    }
}

#[test]
fn warm_fits_start_where_the_last_ones_ended() {
    let (model, data) = setup(Workload::Complex8p);
    let (bins, init) = ([data.len()], model.config().init.clone());
    let mu: (&str, &[usize], &[f64]) = ("mu", &[], &[1.0]);
    let options = GraphOptions::default();
    let warm = |max_evaluations| ProfileOptions { max_evaluations, warm: true };
    for statistic in [Statistic::Q0, Statistic::QmuTilde] {
        let graph = |fits| model.test_statistic_graph(statistic, &options, fits).unwrap();
        let test = |fits| model.hypotest_graph(statistic, &options, fits).unwrap();
        let usual = run(graph(cold(100)), &[mu, ("data", &bins, &data)]);
        let at = |start: &[f64], graph: Graph| {
            run(graph, &[mu, ("data", &bins, &data), ("start", &[start.len()], start)])
        };
        let first = at(&init, graph(warm(100)));
        close(&first[0], &usual[0], 1e-12);
        let best = &first[2];
        // From the best fit nothing is left to do, from the initial values there is.
        let [near, far] = [at(best, graph(warm(3))), at(&init, graph(warm(3)))];
        close(&near[1], &usual[1], 1e-8);
        assert!(far[1][0].is_nan(), "{far:?}");
        assert_eq!(far[2], init, "a start that led nowhere is kept");
        let (from_best, from_init) = (at(best, test(warm(100))), at(&init, test(warm(100))));
        assert_eq!(from_best.len(), 6);
        from_best.iter().zip(&from_init).for_each(|(x, y)| close(x, y, 1e-7));
    }
}
