//! Large reductions are cut into blocks, and compute the same.

#![allow(clippy::unwrap_used)] // a test fails by panicking

mod common;

use common::target;
use std::sync::Arc;
use wootz_ir::ops::{Composite, Op, ReduceKind};
use wootz_ir::{Builder, DType, Graph, HostTensor, Input, Output, Role, TensorType, Value, eval};
use wootz_passes::{Optimize, run};

/// A function of `x` and what it is compiled to, which has that many reductions.
fn compiled(
    dtype: DType,
    dims: &[usize],
    build: impl Fn(&mut Builder, Value) -> Value,
    reductions: usize,
) -> [Graph; 2] {
    let graphs = optimized(dtype, dims, build);
    let found = graphs[1].body.nodes().iter().filter(|n| matches!(n.op, Op::Reduce(_))).count();
    assert_eq!(found, reductions, "{dims:?}");
    graphs
}

/// The same, whatever reductions it has.
fn optimized(dtype: DType, dims: &[usize], build: impl Fn(&mut Builder, Value) -> Value) -> [Graph; 2] {
    let mut b = Builder::new();
    let x = b.param(TensorType::new(dtype, dims));
    let y = build(&mut b, x);
    let graph = Graph {
        inputs: vec![Input { name: "x".into(), role: Role::Input }],
        outputs: vec![Output { name: "y".into(), alias: None }],
        body: Arc::new(b.finish(&[y])),
    };
    let after = run(&graph, Optimize::Full, &target(&[]), &mut |_, _| {}).unwrap();
    [graph, after]
}

/// The number of reductions that a function of `x` is compiled to, and its error relative to the largest result.
fn check(dims: &[usize], build: impl Fn(&mut Builder, Value) -> Value, reductions: usize) {
    let [graph, after] = compiled(DType::F64, dims, build, reductions);
    let count: usize = dims.iter().product();
    let values: Vec<f64> = (0..count).map(|i| ((i * 7919 + 13) % 10_007) as f64 / 64.0 + 1e3).collect();
    let x = HostTensor::from_f64(DType::F64, dims, &values);
    let [expected, got] = [&graph, &after]
        .map(|graph| eval::region(&graph.body, std::slice::from_ref(&x)).unwrap().remove(0).to_f64());
    let largest = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (want, got) in expected.iter().zip(&got) {
        // Sums of n terms differ by n half ulps at most, and variances by the square root of that here.
        assert!((want - got).abs() <= 1e-11 * largest, "{dims:?}: {got}, not {want}");
    }
}

fn reduce(kind: ReduceKind, axis: usize) -> impl Fn(&mut Builder, Value) -> Value {
    move |b, x| b.push(wootz_ir::ops::Reduce { kind, axes: [axis].into_iter().collect() }, &[x]).unwrap()
}

fn variance(axes: &[usize], correction: usize) -> impl Fn(&mut Builder, Value) -> Value {
    let axes: wootz_ir::Axes = axes.iter().copied().collect();
    move |b, x| b.composite(Composite::Variance { axes: axes.clone(), correction }, &[x]).unwrap()
}

#[test]
fn sums_and_extremes_over_rows() {
    check(&[1024, 512], reduce(ReduceKind::Sum, 0), 2);
    check(&[2, 600, 512], reduce(ReduceKind::Max, 1), 2);
    // Along the memory, small, or of a length without a divisor that would do.
    check(&[512, 1024], reduce(ReduceKind::Sum, 1), 1);
    check(&[512, 64], reduce(ReduceKind::Sum, 0), 1);
    check(&[1021, 520], reduce(ReduceKind::Sum, 0), 1);
}

/// What is computed is reduced as it is computed, and a block's own reduction is cut no more.
#[test]
fn rows_that_are_computed() {
    let of_squares = |of: &dyn Fn(&mut Builder, Value) -> Value, b: &mut Builder, x: Value| {
        let squares = b.mul(x, x).unwrap();
        of(b, squares)
    };
    for (rows, reductions) in [(1024, 2), (512, 2), (4 * 509, 1), (6 * 255, 2), (3 * 255, 2)] {
        check(&[rows, 1024], |b, x| of_squares(&reduce(ReduceKind::Sum, 0), b, x), reductions);
        let _ = optimized(DType::F32, &[rows, 2048], |b, x| of_squares(&variance(&[0], 0), b, x));
    }
}

#[test]
fn variances_of_singles_are_sums_of_doubles() {
    for (dims, axis) in [(&[512, 2100][..], 0), (&[1 << 20], 0)] {
        let [_, after] = compiled(DType::F32, dims, variance(&[axis], 1), 5);
        let count: usize = dims.iter().product();
        let inner = count / dims[axis];
        let mut values: Vec<f64> = (0..count).map(|i| ((i * 7919) % 10_007) as f64 / 1024.0 + 1e3).collect();
        // The sample that distances are measured from is far from all others.
        values[0] = 3e6;
        let x = HostTensor::from_f64(DType::F32, dims, &values);
        let got = eval::region(&after.body, std::slice::from_ref(&x)).unwrap().remove(0).to_f64();
        for (out, got) in got.iter().enumerate() {
            let column = || (0..dims[axis]).map(|i| values[out + i * inner]);
            let mean = column().sum::<f64>() / dims[axis] as f64;
            let want = column().map(|v| (v - mean).powi(2)).sum::<f64>() / (dims[axis] - 1) as f64;
            assert!((want - got).abs() <= 1e-6 * want, "{dims:?}: {got}, not {want}");
        }
    }
}

#[test]
fn variances() {
    // Means of blocks, squares within blocks, their mean, squares between them: the sum within is one more.
    check(&[1024, 512], variance(&[0], 1), 5);
    check(&[1 << 19], variance(&[0], 0), 5);
    check(&[512, 1024], variance(&[1], 0), 2);
}
