//! Times of inference on the shipped workloads, without Python: `cargo bench --package wootz-histfactory [-- WORKLOAD…]`.
//!
//! Medians over rounds, each long enough for the clock. Peers and a protocol: `wootz bench histfactory`.

// Reason: a developer's tool ends where something is wrong.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wootz_cpu::Cpu;
use wootz_histfactory::workload::Workload;
use wootz_histfactory::{
    FitOptions, GraphOptions, HypotestOptions, Inference, InferenceOptions, LimitOptions, ModelOptions,
    Objective, ObjectiveData, Starts, Statistic, Template, Workspace,
};
use wootz_ir::Graph;
use wootz_runtime::{Definition, Options, Params, Session, compile};

/// The median time of a call over rounds of some milliseconds.
fn time(name: &str, mut call: impl FnMut()) {
    const ROUND: Duration = Duration::from_millis(10);
    call();
    let mut rounds: Vec<f64> = (0..15)
        .map(|_| {
            let begin = Instant::now();
            let mut calls = 0u32;
            while begin.elapsed() < ROUND {
                call();
                calls += 1;
            }
            begin.elapsed().as_secs_f64() / f64::from(calls)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("  {name:34} {:12.2} µs", rounds[rounds.len() / 2] * 1e6);
}

fn session(graph: Graph, inputs: &[&[f64]]) -> Session {
    let program =
        compile(&Definition::from(graph), &BTreeMap::new(), &Cpu::default(), &Options::default()).unwrap();
    let mut session = program.session(&Params::new([])).unwrap();
    for (i, values) in inputs.iter().enumerate() {
        session.input_mut(i).unwrap().as_mut_slice::<f64>().copy_from_slice(values);
    }
    session
}

fn workload(workload: Workload) {
    let text = workload.workspace().to_json();
    println!("{}:", workload.name());
    let begin = Instant::now();
    let workspace = Workspace::from_json(text.as_bytes()).unwrap();
    let model = Arc::new(workspace.model(&ModelOptions::default()).unwrap());
    let read = begin.elapsed();
    let options = GraphOptions::default();
    let begin = Instant::now();
    let mut inference =
        Inference::new(model.clone(), Arc::new(Cpu::default()), InferenceOptions::default()).unwrap();
    println!(
        "  workspace read {:.2} ms, fits compiled {:.2} ms",
        read.as_secs_f64() * 1e3,
        begin.elapsed().as_secs_f64() * 1e3
    );
    let data = workspace.data(&model).unwrap();
    let init = &model.config().init;
    let logpdf = model.logpdf_graph(&options).unwrap();
    let mut nll = session(logpdf.clone(), &[init, &data]);
    time("NLL", || nll.run().unwrap());
    let gradient = wootz_transform::grad(&logpdf, 0, &[0]).unwrap();
    let mut gradient = session(gradient, &[init, &data]);
    time("NLL, gradient by parameters", || gradient.run().unwrap());
    let nominal = GraphOptions { inputs: vec![Template::Nominal], ..options };
    let graph = wootz_transform::grad(&model.logpdf_graph(&nominal).unwrap(), 0, &[0, 2]).unwrap();
    let mut gradient = session(graph, &[init, &data, model.template(Template::Nominal)]);
    time("NLL, gradient by all and by yields", || gradient.run().unwrap());
    let fit = FitOptions::default();
    let found = inference.fit(&data, &fit).unwrap();
    println!("  fit: {} iterations, {} evaluations", found.iterations, found.evaluations);
    time("free fit", || {
        black_box(inference.fit(&data, &fit).unwrap());
    });
    time("q0", || {
        black_box(inference.test_statistic(Statistic::Q0, 0.0, &data, &fit).unwrap());
    });
    time("observed and expected CLs", || {
        black_box(inference.hypotest(1.0, &data, &HypotestOptions::default()).unwrap());
    });
    time("upper limits", || {
        black_box(inference.upper_limit(&data, &LimitOptions::default()).unwrap());
    });
    let options = InferenceOptions { graph: nominal, ..InferenceOptions::default() };
    let mut inference = Inference::new(model.clone(), Arc::new(Cpu::default()), options).unwrap();
    let tight = FitOptions { tolerance: FitOptions::TOLERANCE_FOR_GRADIENTS, ..fit };
    let counts = &data[..model.config().bins()];
    for (name, data) in [
        ("q0 with gradient, observed", ObjectiveData::Observed(counts)),
        ("q0 with gradient, Asimov, warm", ObjectiveData::Asimov),
    ] {
        let mut starts = Starts::default();
        time(name, || {
            if let ObjectiveData::Observed(_) = data {
                starts = Starts::default();
            }
            black_box(inference.objective(Objective::Q0, data, &tight, &mut starts).unwrap());
        });
    }
}

fn main() {
    let named: Vec<Workload> = std::env::args().skip(1).filter_map(|name| Workload::parse(&name)).collect();
    let all = if named.is_empty() { Workload::ALL.to_vec() } else { named };
    all.into_iter().for_each(workload);
}
