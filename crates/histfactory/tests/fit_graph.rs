//! The fit as one graph against the driver's, alone and batched.

use std::collections::BTreeMap;
use std::sync::Arc;
use wootz_cpu::Cpu;
use wootz_histfactory::workload::Workload;
use wootz_histfactory::{
    Convention, FitOptions, GraphOptions, Inference, InferenceOptions, ModelOptions, Objective,
    ObjectiveData, Starts, Template,
};
use wootz_ir::{DType, Dim, Graph, HostTensor};
use wootz_runtime::{Definition, Options, Outputs, Params, compile};

fn vector(values: &[f64]) -> HostTensor {
    HostTensor::from_f64(DType::F64, &[values.len()], values)
}

fn run(graph: Graph, inputs: &[(&str, HostTensor)]) -> Outputs {
    let program = compile(&Definition::from(graph), &BTreeMap::new(), &Cpu::default(), &Options::default())
        .expect("a program runs");
    program.run(&Params::new([]), inputs).expect("a program runs")
}

#[test]
fn one_graph_fits_as_the_driver_does_alone_and_batched() {
    for workload in [Workload::Simple, Workload::Complex8p] {
        let workspace = workload.workspace();
        let model = Arc::new(workspace.model(&ModelOptions::default()).unwrap());
        let data = workspace.data(&model).unwrap();
        let config = model.config();
        let graph = model.fit_graph(&GraphOptions::default(), 100).unwrap();
        let free: Vec<f64> = config.fixed.iter().map(|f| f64::from(u8::from(!f))).collect();
        let (lower, upper): (Vec<f64>, Vec<f64>) = config.bounds.iter().copied().unzip();
        let shared = |data: HostTensor| {
            vec![
                ("init", vector(&config.init)),
                ("data", data),
                ("free", vector(&free)),
                ("lower", vector(&lower)),
                ("upper", vector(&upper)),
                ("tolerance", HostTensor::scalar(DType::F64, 1e-9)),
            ]
        };
        let options = FitOptions { tolerance: 1e-9, ..FitOptions::default() };
        let mut driver =
            Inference::new(model.clone(), Arc::new(Cpu::default()), InferenceOptions::default()).unwrap();

        let sets: Vec<Vec<f64>> = (0..5)
            .map(|set| {
                let counts = data.iter().enumerate().map(|(i, n)| match i < config.bins() {
                    true => (n * (1.0 + 0.2 * f64::from(set) * (i as f64 + 1.0).sin())).max(0.0),
                    false => *n,
                });
                counts.collect()
            })
            .collect();
        let fits: Vec<_> = sets.iter().map(|set| driver.fit(set, &options).unwrap()).collect();
        let one = run(graph.clone(), &shared(vector(&sets[1])));
        assert_eq!(one.get("converged").unwrap().to_i64(), [1]);
        let close = |got: &[f64], expected: &[f64]| {
            got.iter().zip(expected).all(|(g, e)| (g - e).abs() <= 1e-7 * (1.0 + e.abs()))
        };
        assert!(close(&one.get("parameters").unwrap().to_f64(), &fits[1].parameters));
        assert!((2.0 * one.get("nll").unwrap().to_f64()[0] - fits[1].twice_nll).abs() < 1e-9);

        let in_axes = [None, Some(0), None, None, None, None];
        let batched = wootz_transform::vmap(&graph, &in_axes, &[Some(0); 5], &Dim::from(sets.len())).unwrap();
        let all = HostTensor::from_f64(DType::F64, &[sets.len(), data.len()], &sets.concat());
        let many = run(batched, &shared(all));
        assert!(many.get("converged").unwrap().to_i64().iter().all(|c| *c == 1));
        let parameters = many.get("parameters").unwrap().to_f64();
        for (fit, row) in fits.iter().zip(parameters.chunks(config.parameters())) {
            assert!(close(row, &fit.parameters), "{row:?} {:?}", fit.parameters);
        }
    }
}

/// ∂θ̂/∂(data, nominal) of some parameters against the driver's, one template at a time and over a batch of templates.
#[test]
fn best_fit_parameters_have_derivatives_alone_and_batched() {
    const INPUTS: usize = 7;
    for workload in [Workload::Simple, Workload::Complex8p] {
        let workspace = workload.workspace();
        let model = Arc::new(workspace.model(&ModelOptions::default()).unwrap());
        let data = workspace.data(&model).unwrap();
        let config = model.config();
        let options = GraphOptions { inputs: vec![Template::Nominal], convention: Convention::Frozen };
        let graph = model.fit_graph(&options, 100).unwrap();
        let pulled = wootz_transform::vjp(&graph, &[1, 6]).unwrap();
        let free: Vec<f64> = config.fixed.iter().map(|f| f64::from(u8::from(!f))).collect();
        let (lower, mut upper): (Vec<f64>, Vec<f64>) = config.bounds.iter().copied().unzip();
        // One parameter ends at a bound, and the others follow what is left.
        let last = config.parameters() - 1;
        upper[last] = 0.999;
        let bounds: Vec<(f64, f64)> = lower.iter().copied().zip(upper.iter().copied()).collect();
        let fit = FitOptions {
            tolerance: FitOptions::TOLERANCE_FOR_GRADIENTS,
            bounds: Some(bounds),
            ..FitOptions::default()
        };
        let mut driver = Inference::new(
            model.clone(),
            Arc::new(Cpu::default()),
            InferenceOptions { graph: options, ..InferenceOptions::default() },
        )
        .unwrap();
        let nominal = model.template(Template::Nominal);
        let batch: Vec<Vec<f64>> = (0..3)
            .map(|k| {
                let changed = |(i, x): (usize, &f64)| x * (1.0 + 0.03 * ((5 * k + i) as f64).cos());
                nominal.iter().enumerate().map(changed).collect()
            })
            .collect();
        let mut init = config.init.clone();
        init[last] = 0.999;
        let inputs = |nominal: HostTensor| {
            vec![
                ("init", vector(&init)),
                ("data", vector(&data)),
                ("free", vector(&free)),
                ("lower", vector(&lower)),
                ("upper", vector(&upper)),
                ("tolerance", HostTensor::scalar(DType::F64, 1e-10)),
                ("nominal", nominal),
            ]
        };
        let with_seed = |mut inputs: Vec<(&'static str, HostTensor)>, parameter: usize| {
            let one_hot: Vec<f64> =
                (0..config.parameters()).map(|i| f64::from(u8::from(i == parameter))).collect();
            for input in pulled.inputs.iter().skip(INPUTS) {
                let name: &'static str = match &*input.name {
                    "ct.parameters" => "ct.parameters",
                    "ct.nll" => "ct.nll",
                    "ct.kkt" => "ct.kkt",
                    other => panic!("another cotangent: {other}"),
                };
                let seed = if name == "ct.parameters" {
                    vector(&one_hot)
                } else {
                    HostTensor::scalar(DType::F64, 0.0)
                };
                inputs.push((name, seed));
            }
            inputs
        };
        let axes: Vec<Option<usize>> =
            (0..pulled.inputs.len()).map(|i| (i == INPUTS - 1).then_some(0)).collect();
        let out = vec![Some(0); pulled.outputs.len()];
        let batched = wootz_transform::vmap(&pulled, &axes, &out, &Dim::from(batch.len())).unwrap();
        let all = HostTensor::from_f64(DType::F64, &[batch.len(), nominal.len()], &batch.concat());
        let mut seen = 0.0f64;
        for parameter in 0..config.parameters() {
            let many = run(batched.clone(), &with_seed(inputs(all.clone()), parameter));
            let rows: Vec<Vec<f64>> = many.iter().map(|(_, t)| t.to_f64()).collect();
            let [by_data, by_nominal] = [&rows[rows.len() - 2], &rows[rows.len() - 1]];
            for (k, templates) in batch.iter().enumerate() {
                driver.set_template(Template::Nominal, templates).unwrap();
                let observed = ObjectiveData::Observed(&data);
                let objective = Objective::Parameter(parameter);
                let expected = driver.objective(objective, observed, &fit, &mut Starts::default()).unwrap();
                let of = |rows: &[f64], n: usize| rows[k * n..(k + 1) * n].to_vec();
                let pairs = [
                    (of(by_data, data.len()), &expected.derivatives.by_data),
                    (of(by_nominal, nominal.len()), &expected.derivatives.by_template[0].1),
                ];
                for (got, expected) in pairs {
                    let scale = expected.iter().fold(1e-6f64, |m, x| m.max(x.abs()));
                    seen = seen.max(scale);
                    for (g, e) in got.iter().zip(expected) {
                        assert!((g - e).abs() <= 1e-6 * scale, "{parameter}: {got:?} is not {expected:?}");
                    }
                }
            }
        }
        assert!(seen > 1e-3, "the test tests something");
    }
}
