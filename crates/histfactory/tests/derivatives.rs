//! Compiled programs against the reference interpreter, gradients against differences of values, and growth with the size of a model.

use std::collections::BTreeMap;
use std::sync::Arc;
use wootz_histfactory::workload::{Workload, scaling};
use wootz_histfactory::{
    GraphOptions, Inference, InferenceOptions, Model, ModelOptions, Template, Workspace,
};
use wootz_ir::{DType, Graph, HostTensor, eval};
use wootz_runtime::{Definition, Options, compile};

fn model(workspace: &Workspace) -> (Model, Vec<f64>) {
    let model = workspace.model(&ModelOptions::default()).expect("the workload is well formed");
    let data = workspace.data(&model).expect("the workload is well formed");
    (model, data)
}

fn vector(values: &[f64]) -> HostTensor {
    HostTensor::from_f64(DType::F64, &[values.len()], values)
}

/// A point away from the initial values and from kinks.
fn point(model: &Model) -> Vec<f64> {
    let config = model.config();
    (0..config.parameters())
        .map(|i| {
            config.init[i]
                + if config.bounds[i].0 < -1.0 { 0.9 } else { 0.1 } * ((i * 37 % 17) as f64 / 8.0 - 1.03)
        })
        .collect()
}

fn run(graph: &Graph, inputs: &[(&str, HostTensor)]) -> BTreeMap<String, Vec<f64>> {
    let program = compile(
        &Definition::from(graph.clone()),
        &BTreeMap::new(),
        &wootz_cpu::Cpu::default(),
        &Options::default(),
    )
    .expect("the workload is well formed");
    let out = program
        .run(&program.init(0).expect("the workload is well formed"), inputs)
        .expect("the workload is well formed");
    out.iter().map(|(name, value)| (name.to_string(), value.to_f64())).collect()
}

/// Channels one parameter at a time, all at once, against all parameters one at a time.
#[test]
fn hessians_are_those_of_the_graph() {
    let sizes = [scaling(45, 7), scaling(60, 90)];
    for workspace in Workload::ALL.into_iter().map(|w| w.workspace()).chain(sizes) {
        let (model, data) = model(&workspace);
        let at = point(&model);
        let graph = model.logpdf_graph(&GraphOptions::default()).expect("the workload is well formed");
        let hessian = wootz_transform::hessian(&graph, 0, &[0]).expect("the workload is well formed");
        let expected = run(&hessian, &[("parameters", vector(&at)), ("data", vector(&data))]);
        let expected = &expected[&*hessian.outputs.last().expect("there are outputs").name];
        let cpu = Arc::new(wootz_cpu::Cpu::default());
        let mut inference =
            Inference::new(Arc::new(model), cpu, InferenceOptions::default()).expect("it compiles");
        let got = inference.hessian(&at, &data).expect("it compiles");
        let scale = expected.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(expected) {
            assert!((got + expected).abs() <= 1e-12 * scale, "{got} {expected}");
        }
    }
}

#[test]
fn programs_are_the_reference() {
    for workload in Workload::ALL {
        let (model, data) = model(&workload.workspace());
        let at = point(&model);
        let inputs = [("parameters", vector(&at)), ("data", vector(&data))];
        let graph = model.logpdf_graph(&GraphOptions::default()).expect("the workload is well formed");
        let gradient = wootz_transform::grad(&graph, 0, &[0]).expect("the workload is well formed");
        let got = run(&gradient, &inputs);
        let expected =
            eval::region(&gradient.body, &[vector(&at), vector(&data)]).expect("the workload is well formed");
        for (output, expected) in gradient.outputs.iter().zip(&expected) {
            let scale = expected.to_f64().iter().fold(1.0, |m: f64, x| m.max(x.abs()));
            for (got, expected) in got[&*output.name].iter().zip(expected.to_f64()) {
                assert!(
                    (got - expected).abs() <= 1e-12 * scale,
                    "{} {}: {got} {expected}",
                    workload.name(),
                    output.name
                );
            }
        }
    }
}

#[test]
fn gradients_are_differences() {
    for workload in [Workload::Simple, Workload::Complex8p] {
        let (model, data) = model(&workload.workspace());
        let at = point(&model);
        let graph = model.logpdf_graph(&GraphOptions::default()).expect("the workload is well formed");
        let gradient = wootz_transform::grad(&graph, 0, &[0]).expect("the workload is well formed");
        let gradient = eval::region(&gradient.body, &[vector(&at), vector(&data)])
            .expect("the workload is well formed")[1]
            .to_f64();
        for i in 0..at.len() {
            let value = |step: f64| {
                let mut moved = at.clone();
                moved[i] += step;
                model.eval_logpdf(&moved, &data).expect("the workload is well formed")
            };
            let central = |h: f64| (value(h) - value(-h)) / (2.0 * h);
            let expected = (4.0 * central(5e-4) - central(1e-3)) / 3.0;
            assert!(
                (gradient[i] - expected).abs() <= 1e-7 * expected.abs().max(1.0),
                "{i}: {} {expected}",
                gradient[i]
            );
        }
    }
}

#[test]
fn templates_as_inputs_change_nothing_at_their_values() {
    let (model, data) = model(&Workload::Complex8p.workspace());
    let at = point(&model);
    let expected = model.eval_logpdf(&at, &data).expect("the workload is well formed");
    for convention in [wootz_histfactory::Convention::Frozen, wootz_histfactory::Convention::Recomputed] {
        let options = GraphOptions { inputs: Template::ALL.to_vec(), convention };
        let graph = model.logpdf_graph(&options).expect("the workload is well formed");
        let templates = Template::ALL.map(|t| vector(model.template(t)));
        let inputs: Vec<HostTensor> = [vector(&at), vector(&data)].into_iter().chain(templates).collect();
        let got = eval::region(&graph.body, &inputs).expect("the workload is well formed")[0].to_f64()[0];
        assert!((got - expected).abs() <= 1e-12 * expected.abs(), "{got} {expected}");
    }
}

/// 10,000 bins and 2,000 parameters: work as the compiled program counts it, and values.
#[test]
fn the_largest_scaling_is_twice_its_half() {
    let gradient = |bins: usize, systematics: usize| {
        let (model, data) = model(&scaling(bins, systematics));
        let graph = model.logpdf_graph(&GraphOptions::default()).expect("the workload is well formed");
        let gradient = wootz_transform::grad(&graph, 0, &[0]).expect("the workload is well formed");
        let options = Options::default();
        let definition = Definition::from(gradient.clone());
        let program = compile(&definition, &BTreeMap::new(), &wootz_cpu::Cpu::default(), &options)
            .expect("the workload is well formed");
        let kernels = program.report().description.kernels;
        let work = kernels.iter().map(|k| [k.flops, k.bytes]).fold([0, 0], |a, k| [a[0] + k[0], a[1] + k[1]]);
        (work, gradient, point(&model), data)
    };
    let (half, ..) = gradient(5000, 1000);
    let (all, gradient, at, data) = gradient(10_000, 1999);
    for (half, all) in half.iter().zip(all) {
        assert!(*half > 0 && 10 * all <= 21 * half, "{half} {all}");
    }
    let got = run(&gradient, &[("parameters", vector(&at)), ("data", vector(&data))]);
    let expected = eval::region(&gradient.body, &[vector(&at), vector(&data)]).expect("it evaluates");
    for (output, expected) in gradient.outputs.iter().zip(&expected) {
        let expected = expected.to_f64();
        let scale = expected.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
        let off = got[&*output.name].iter().zip(&expected).fold(0.0, |m: f64, (g, e)| m.max((g - e).abs()));
        assert!(off <= 1e-12 * scale, "{}: {off} of {scale}", output.name);
    }
}

/// The elements that a graph computes, over all its nodes.
fn elements(graph: &Graph) -> usize {
    let size =
        |v| graph.body.ty(v).shape.concrete().expect("the workload is well formed").iter().product::<usize>();
    graph.body.nodes().iter().flat_map(|n| n.outputs().collect::<Vec<_>>()).map(size).sum()
}

#[test]
fn work_grows_with_the_entries() {
    let work = |bins: usize, systematics: usize| {
        let (model, _) = model(&scaling(bins, systematics));
        let graph = model.logpdf_graph(&GraphOptions::default()).expect("the workload is well formed");
        elements(&wootz_transform::grad(&graph, 0, &[0]).expect("the workload is well formed"))
    };
    let (small, large) = (work(500, 100), work(2000, 100));
    assert!(large <= 5 * small, "{small} {large}");
    let (few, many) = (work(2000, 20), work(2000, 400));
    assert!(many <= 2 * few, "{few} {many}");
    let (half, all) = (work(5000, 1000), work(10_000, 1999));
    assert!(10 * all <= 21 * half, "{half} {all}");
}
