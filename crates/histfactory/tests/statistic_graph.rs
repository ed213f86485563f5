//! Test statistics as graphs: alone, differentiated, and batched over toys, hypotheses and templates, against the driver's.

use std::collections::BTreeMap;
use std::sync::Arc;
use wootz_cpu::Cpu;
use wootz_histfactory::workload::Workload;
use wootz_histfactory::{
    Convention, FitOptions, GraphOptions, Inference, InferenceOptions, Model, ModelOptions, Objective,
    ObjectiveData, Starts, Statistic, Template,
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
            let graph = model.test_statistic_graph(statistic, &GraphOptions::default(), EVALUATIONS).unwrap();
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

#[test]
fn gradients_by_templates_are_those_of_the_objective_over_a_batch_of_templates() {
    for convention in [Convention::Frozen, Convention::Recomputed] {
        let (model, data) = setup(Workload::Complex8p);
        let options = GraphOptions { inputs: vec![Template::Nominal], convention };
        let graph = model.test_statistic_graph(Statistic::Q0, &options, 100).unwrap();
        let gradient = wootz_transform::grad(&graph, 0, &[2]).unwrap();
        let nominal = model.template(Template::Nominal);
        let batch: Vec<Vec<f64>> = (0..4)
            .map(|k| {
                let changed = |(i, x): (usize, &f64)| x * (1.0 + 0.02 * ((5 * k + i) as f64).cos());
                nominal.iter().enumerate().map(changed).collect()
            })
            .collect();
        let axes = [None, None, Some(0)];
        let out = vec![Some(0); gradient.outputs.len()];
        let batched = wootz_transform::vmap(&gradient, &axes, &out, &Dim::from(batch.len())).unwrap();
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
