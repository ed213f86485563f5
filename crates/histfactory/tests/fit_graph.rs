//! The fit as one graph against the driver's, alone and batched.

use std::collections::BTreeMap;
use std::sync::Arc;
use wootz_cpu::Cpu;
use wootz_histfactory::workload::Workload;
use wootz_histfactory::{FitOptions, GraphOptions, Inference, InferenceOptions, ModelOptions};
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
