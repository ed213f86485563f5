//! Every op's samples and their transforms.

use crate::check::{Tolerance, check, graph, optimized};
use wootz_ir::ops::{Op, Sample};
use wootz_ir::{Builder, DType, Dim, Graph, HostTensor, Role};
use wootz_passes::Optimize;
use wootz_transform::{jvp, vjp, vmap};

const LEVELS: [Optimize; 3] = [Optimize::None, Optimize::Basic, Optimize::Full];

fn sample_graph(sample: &Sample, roles: &[Role]) -> Graph {
    let mut b = Builder::new();
    let params: Vec<_> = sample.inputs.iter().map(|t| b.param(t.ty())).collect();
    let outputs = b.push_multi(sample.op.clone(), &params).unwrap();
    graph(b.finish(&outputs), roles, &[])
}

/// Samples of the dtypes whose plan keeps more precision than the reference are compared loosely.
fn tolerance(args: &[HostTensor]) -> Tolerance {
    let narrow = |t: &HostTensor| matches!(t.dtype(), DType::F16 | DType::BF16);
    if args.iter().any(narrow) { Tolerance::Excess } else { Tolerance::Order }
}

fn at_every_level(graph: &Graph, args: &[HostTensor], runs: usize) {
    for level in LEVELS {
        check(&optimized(graph, level), args, runs, tolerance(args));
    }
}

fn floats(args: &[HostTensor]) -> Vec<usize> {
    (0..args.len()).filter(|i| args[*i].dtype().is_float()).collect()
}

/// Numbers of size about one that depend on position.
fn wave(like: &HostTensor, phase: f64) -> HostTensor {
    let values: Vec<f64> = (0..like.len()).map(|i| (1.3 * i as f64 + phase).cos()).collect();
    HostTensor::from_f64(like.dtype(), like.dims(), &values)
}

#[test]
fn samples() {
    for sample in Op::samples() {
        for role in [Role::Input, Role::Param] {
            let roles = vec![role; sample.inputs.len()];
            at_every_level(&sample_graph(&sample, &roles), &sample.inputs, 2);
        }
    }
}

#[test]
fn samples_of_one_parameter_and_inputs() {
    for sample in Op::samples().iter().filter(|s| s.inputs.len() > 1) {
        for i in 0..sample.inputs.len() {
            let mut roles = vec![Role::Input; sample.inputs.len()];
            roles[i] = Role::Param;
            check(
                &optimized(&sample_graph(sample, &roles), Optimize::Basic),
                &sample.inputs,
                2,
                tolerance(&sample.inputs),
            );
        }
    }
}

#[test]
fn samples_with_their_results_in_place() {
    for sample in Op::samples() {
        let free = sample_graph(&sample, &[]);
        for o in 0..free.outputs.len() {
            for i in (0..free.inputs.len()).filter(|i| free.input_type(*i) == free.output_type(o)) {
                let mut aliased = free.clone();
                aliased.outputs[o].alias = Some(i);
                check(&optimized(&aliased, Optimize::Basic), &sample.inputs, 2, tolerance(&sample.inputs));
            }
        }
    }
}

#[test]
fn vjps_of_samples() {
    for sample in Op::samples() {
        let forward = sample_graph(&sample, &[]);
        let Ok(backward) = vjp(&forward, &floats(&sample.inputs)) else { continue };
        let results = wootz_ir::eval::region(&forward.body, &sample.inputs).unwrap();
        let cotangents = results.iter().filter(|r| r.dtype().is_float()).map(|r| wave(r, 0.4));
        let args: Vec<_> = sample.inputs.iter().cloned().chain(cotangents).collect();
        at_every_level(&backward, &args, 1);
    }
}

#[test]
fn jvps_of_samples() {
    for sample in Op::samples() {
        let wrt = floats(&sample.inputs);
        let Ok(forward) = jvp(&sample_graph(&sample, &[]), &wrt) else { continue };
        let tangents = wrt.iter().map(|i| wave(&sample.inputs[*i], 0.9));
        let args: Vec<_> = sample.inputs.iter().cloned().chain(tangents).collect();
        at_every_level(&forward, &args, 1);
    }
}

#[test]
fn batches_of_samples() {
    for sample in Op::samples() {
        let single = sample_graph(&sample, &[]);
        let (inputs, outputs) = (vec![Some(0); single.inputs.len()], vec![Some(0); single.outputs.len()]);
        let Ok(batched) = vmap(&single, &inputs, &outputs, &Dim::from(2usize)) else { continue };
        let twice = |t: &HostTensor| {
            let dims: Vec<usize> = [2].into_iter().chain(t.dims().iter().copied()).collect();
            HostTensor::from_bytes(t.dtype(), &dims, &[t.as_bytes(), t.as_bytes()].concat()).unwrap()
        };
        let args: Vec<_> = sample.inputs.iter().map(twice).collect();
        at_every_level(&batched, &args, 1);
    }
}
