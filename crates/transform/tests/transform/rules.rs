//! Every op's rules at its samples.
//!
//! Tolerances are relative, in the maximum norm of the derivative by one operand: 1e-6 for first derivatives against extrapolated
//! differences in f64 (their own error is near 1e-9), 1e-5 for second derivatives against differences of first ones, 1e-10
//! for forward against reverse mode and 1e-12 for batching, where only the order of sums may differ.

use crate::common::{distance, gradient, inner, noise, run, single};
use std::collections::BTreeSet;
use wootz_ir::ops::{
    ArgReduce, Binary, Cast, Compare, Composite, Control, Cumsum, Dot, Family, Gather, Linalg, Movement,
    Random, Reduce, Sample, Scatter, Segment, Source, Ternary, Unary,
};
use wootz_ir::{DType, Dim, Graph, HostTensor, Op};
use wootz_transform::{jvp, vjp, vmap};

const FIRST: f64 = 1e-6;
const SECOND: f64 = 1e-5;
const MODES: f64 = 1e-10;
const BATCH: f64 = 1e-12;
/// Derivatives smaller than this are compared absolutely.
const FLOOR: f64 = 1e-3;

macro_rules! families {
    ($($name:ident $family:ident;)*) => {
        mod derivatives { use super::*; $(
            #[test]
            fn $name() {
                check(stringify!($family), $family::samples(), derivatives_of);
            }
        )* }
        mod batching { use super::*; $(
            #[test]
            fn $name() {
                check(stringify!($family), $family::samples(), batching_of);
            }
        )* }
    };
}
families! {
    unary Unary; binary Binary; compare Compare; ternary Ternary; cast Cast; reduce Reduce; arg_reduce ArgReduce;
    movement Movement; dot Dot; gather Gather; scatter Scatter; segment Segment; cumsum Cumsum; linalg Linalg; source Source; random Random;
    composite Composite; control Control;
}

fn check(family: &str, samples: Vec<Sample>, test: fn(&Sample) -> Vec<String>) {
    assert!(!samples.is_empty(), "{family} has samples");
    let failures: Vec<String> = samples
        .iter()
        .enumerate()
        .flat_map(|(i, sample)| {
            let failures = test(sample);
            failures.into_iter().map(move |f| format!("{} (sample {i}): {f}", sample.op.name()))
        })
        .collect();
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

/// Collects what goes wrong.
#[derive(Default)]
struct Failures(Vec<String>);

impl Failures {
    fn close(&mut self, what: &str, got: &[f64], expected: &[f64], tolerance: f64) {
        let apart = distance(got, expected, FLOOR);
        if apart > tolerance {
            self.0
                .push(format!("{what}: off by {apart:.1e}\n  got      {got:.9?}\n  expected {expected:.9?}"));
        }
    }

    fn ok<T>(&mut self, what: &str, result: Result<T, wootz_transform::TransformError>) -> Option<T> {
        result.map_err(|e| self.0.push(format!("{what}: {e}"))).ok()
    }
}

fn float_outputs(graph: &Graph) -> Vec<usize> {
    (0..graph.outputs.len()).filter(|i| graph.output_type(*i).dtype.is_float()).collect()
}

fn pick<T: Clone>(items: &[T], which: &[usize]) -> Vec<T> {
    which.iter().map(|i| items[*i].clone()).collect()
}

fn derivatives_of(sample: &Sample) -> Vec<String> {
    let mut failures = Failures::default();
    let graph = single(&sample.op, &sample.inputs);
    let (wrt, floats) = (&sample.smooth, float_outputs(&graph));
    if wrt.is_empty() {
        return failures.0;
    }
    let Some(reverse) = failures.ok("vjp", vjp(&graph, wrt)) else { return failures.0 };
    let Some(forward) = failures.ok("jvp", jvp(&graph, wrt)) else { return failures.0 };
    let outputs = graph.outputs.len();

    let at = run(&graph, &sample.inputs);
    let cotangents: Vec<HostTensor> = floats.iter().map(|i| weights(&at[*i], *i)).collect();
    let pulled = run(&reverse, &[&sample.inputs[..], &cotangents].concat());
    let (values, gradients) = pulled.split_at(outputs);
    if values != at {
        failures.0.push("vjp changes the results".into());
    }
    let weighted = |args: &[HostTensor]| inner(&pick(&run(&graph, args), &floats), &cotangents);
    for (i, found) in wrt.iter().zip(gradients) {
        let expected = gradient(&weighted, &sample.inputs, *i);
        failures.close(&format!("vjp by operand {i}"), &found.to_f64(), &expected, FIRST);
    }

    let tangents: Vec<HostTensor> = wrt.iter().map(|i| noise(graph.input_type(*i), 50 + i)).collect();
    let pushed = run(&forward, &[&sample.inputs[..], &tangents].concat());
    if pushed[..outputs] != *values {
        failures.0.push("jvp changes the results".into());
    }
    let (by_forward, by_reverse) = (inner(&pushed[outputs..], &cotangents), inner(gradients, &tangents));
    failures.close("jvp against vjp", &[by_forward], &[by_reverse], MODES);
    second_order(&mut failures, sample, &reverse, &cotangents, outputs);
    failures.0
}

/// Weights for the elements of a result; none for infinite ones (an empty segment's maximum), which have no differences.
fn weights(result: &HostTensor, seed: usize) -> HostTensor {
    let noise = noise(&result.ty(), seed).to_f64();
    let finite = result.to_f64().into_iter().zip(noise).map(|(v, w)| if v.is_finite() { w } else { 0.0 });
    HostTensor::from_f64(result.dtype(), result.dims(), &finite.collect::<Vec<_>>())
}

/// Reverse over reverse against differences of reverse, and forward over reverse against reverse over reverse.
fn second_order(
    failures: &mut Failures,
    sample: &Sample,
    reverse: &Graph,
    cotangents: &[HostTensor],
    outputs: usize,
) {
    let wrt = &sample.smooth;
    let Some(twice) = failures.ok("vjp of vjp", vjp(reverse, wrt)) else { return };
    let Some(mixed) = failures.ok("jvp of vjp", jvp(reverse, wrt)) else { return };
    let args = [&sample.inputs[..], cotangents].concat();
    let floats = float_outputs(reverse);
    // Only the gradients are followed further: the values' derivatives are checked above.
    let seeds: Vec<HostTensor> = floats
        .iter()
        .map(|i| match noise(reverse.output_type(*i), 20 + i) {
            seed if *i >= outputs => seed,
            seed => HostTensor::zeros(seed.dtype(), seed.dims()).unwrap(),
        })
        .collect();
    let found = run(&twice, &[&args[..], &seeds].concat()).split_off(reverse.outputs.len());
    let weighted = |args: &[HostTensor]| inner(&pick(&run(reverse, args), &floats), &seeds);
    for (i, found) in wrt.iter().zip(&found) {
        let expected = gradient(&weighted, &args, *i);
        failures.close(&format!("vjp of vjp by operand {i}"), &found.to_f64(), &expected, SECOND);
    }
    let tangents: Vec<HostTensor> = wrt.iter().map(|i| noise(reverse.input_type(*i), 70 + i)).collect();
    let pushed = run(&mixed, &[&args[..], &tangents].concat()).split_off(reverse.outputs.len());
    failures.close("jvp of vjp", &[inner(&pushed, &seeds)], &[inner(&found, &tangents)], MODES);
}

const LANES: usize = 3;

fn batching_of(sample: &Sample) -> Vec<String> {
    let mut failures = Failures::default();
    let graph = single(&sample.op, &sample.inputs);
    let n = sample.inputs.len();
    for subset in 1..1usize << n.min(5) {
        let mapped: Vec<bool> = (0..n).map(|i| subset >> i.min(4) & 1 == 1).collect();
        batch(&mut failures, "batched", &graph, &sample.inputs, &mapped, false);
    }
    if n > 0 {
        batch(&mut failures, "batched along the last axis", &graph, &sample.inputs, &vec![true; n], true);
    }
    if !sample.smooth.is_empty()
        && let Some(reverse) = failures.ok("vjp", vjp(&graph, &sample.smooth))
    {
        let cotangents = float_outputs(&graph).into_iter().map(|i| noise(graph.output_type(i), i));
        let args: Vec<HostTensor> = sample.inputs.iter().cloned().chain(cotangents).collect();
        let all = vec![true; args.len()];
        batch(&mut failures, "the vjp, batched", &reverse, &args, &all, false);
        let given: Vec<bool> = (0..args.len()).map(|i| i >= n).collect();
        batch(&mut failures, "the vjp, batched over cotangents", &reverse, &args, &given, false);
    }
    failures.0
}

/// Compares `vmap` of the graph with the graph run lane by lane.
fn batch(
    failures: &mut Failures,
    what: &str,
    graph: &Graph,
    args: &[HostTensor],
    mapped: &[bool],
    last: bool,
) {
    let axis = |rank: usize| if last { rank } else { 0 };
    let in_axes: Vec<Option<usize>> =
        args.iter().zip(mapped).map(|(x, mapped)| mapped.then_some(axis(x.dims().len()))).collect();
    let out_axes: Vec<Option<usize>> =
        (0..graph.outputs.len()).map(|i| Some(axis(graph.output_type(i).rank()))).collect();
    let what = format!("{what} {mapped:?}");
    let Some(batched) = failures.ok(&what, vmap(graph, &in_axes, &out_axes, &Dim::from(LANES))) else {
        return;
    };
    let lane = |k: usize| -> Vec<HostTensor> {
        args.iter().zip(mapped).map(|(x, mapped)| if *mapped { vary(x, k) } else { x.clone() }).collect()
    };
    let stacked: Vec<HostTensor> = (0..args.len())
        .map(|i| match in_axes[i] {
            Some(axis) => stack(&(0..LANES).map(|k| lane(k)[i].clone()).collect::<Vec<_>>(), axis),
            None => args[i].clone(),
        })
        .collect();
    let found = run(&batched, &stacked);
    let lanes: Vec<Vec<HostTensor>> = (0..LANES).map(|k| run(graph, &lane(k))).collect();
    for (i, found) in found.iter().enumerate() {
        let axis = out_axes[i].unwrap();
        let expected = stack(&lanes.iter().map(|lane| lane[i].clone()).collect::<Vec<_>>(), axis);
        assert_eq!(found.ty(), expected.ty(), "{what}");
        let tolerance = if found.dtype().is_float() { BATCH } else { 0.0 };
        failures.close(&format!("{what}, result {i}"), &found.to_f64(), &expected.to_f64(), tolerance);
    }
}

/// The argument of lane `k`: floats shrink, bools alternate, integers shift (sorted ids stay sorted).
fn vary(x: &HostTensor, k: usize) -> HostTensor {
    match x.dtype() {
        d if d.is_float() => {
            let values: Vec<f64> = x.to_f64().iter().map(|v| v * (1.0 - k as f64 / 16.0)).collect();
            HostTensor::from_f64(d, x.dims(), &values)
        }
        DType::Bool => {
            let values: Vec<i64> = x.to_i64().iter().map(|v| v ^ (k as i64 & 1)).collect();
            HostTensor::from_i64(DType::Bool, x.dims(), &values)
        }
        d => {
            let values: Vec<i64> = x.to_i64().iter().map(|v| v.wrapping_add(k as i64)).collect();
            HostTensor::from_i64(d, x.dims(), &values)
        }
    }
}

/// Tensors of one shape along a new axis.
fn stack(lanes: &[HostTensor], axis: usize) -> HostTensor {
    let dims = lanes[0].dims();
    let size = lanes[0].dtype().size();
    let outer: usize = dims[..axis].iter().product();
    let row = dims[axis..].iter().product::<usize>() * size;
    let mut bytes = Vec::new();
    for i in 0..outer {
        for lane in lanes {
            bytes.extend_from_slice(&lane.as_bytes()[i * row..][..row]);
        }
    }
    let mut dims = dims.to_vec();
    dims.insert(axis, lanes.len());
    HostTensor::from_bytes(lanes[0].dtype(), &dims, &bytes).unwrap()
}

/// Ops without float operands or results, ops whose derivative is zero by definition, and `while`, which has tests of its own.
const UNCHECKED: [&str; 26] = [
    "and",
    "argmax",
    "argmin",
    "constant",
    "eq",
    "fold_in",
    "ge",
    "gt",
    "iota",
    "is_finite",
    "is_nan",
    "le",
    "lt",
    "ne",
    "normal",
    "not",
    "or",
    "random_bits",
    "reduce_all",
    "reduce_any",
    "shl",
    "shr",
    "stop_gradient",
    "uniform",
    "while",
    "xor",
];

/// Nothing leaves out a derivative by not declaring a sample smooth.
#[test]
fn every_op_but_these_has_a_derivative_that_is_checked() {
    let samples = Op::samples();
    let names = |checked: bool| -> BTreeSet<&str> {
        samples.iter().filter(|s| !checked || !s.smooth.is_empty()).map(|s| s.op.name()).collect()
    };
    let unchecked: Vec<&str> = names(false).difference(&names(true)).copied().collect();
    assert_eq!(unchecked, UNCHECKED);
}
