//! Normalisations written out by hand become composites where the target claims them.

#![allow(clippy::unwrap_used)] // a test fails by panicking

mod common;

use common::target;
use std::sync::Arc;
use wootz_ir::ops::{Composite, CompositeKind, Op};
use wootz_ir::{Builder, DType, Graph, HostTensor, Input, Output, Role, TensorType, Value, eval};
use wootz_passes::{Optimize, run};

/// Whether reduced axes are kept with size 1, as NumPy's `keepdims`.
#[derive(Copy, Clone)]
enum Axes {
    Dropped,
    Kept,
}

fn mean(b: &mut Builder, x: Value, kept: Axes) -> Value {
    let last = b.ty(x).rank() - 1;
    let mean = b.composite(Composite::Mean { axes: [last].as_slice().into() }, &[x]).unwrap();
    match kept {
        Axes::Dropped => mean,
        Axes::Kept => b.expand_axis(mean, last).unwrap(),
    }
}

fn repeated(b: &mut Builder, row: Value, x: Value) -> Value {
    let (shape, rank) = (b.ty(x).shape.clone(), b.ty(row).rank());
    if rank == shape.rank() {
        return b.broadcast_to(row, &shape).unwrap();
    }
    let axes: Vec<usize> = (0..rank).collect();
    b.broadcast(row, &shape, &axes).unwrap()
}

fn normal(b: &mut Builder, x: Value, kept: Axes) -> Value {
    let middle = mean(b, x, kept);
    let middle = repeated(b, middle, x);
    let centred = b.sub(x, middle).unwrap();
    over_root_mean_square(b, centred, kept)
}

fn over_root_mean_square(b: &mut Builder, x: Value, kept: Axes) -> Value {
    let square = b.mul(x, x).unwrap();
    let variance = mean(b, square, kept);
    let variance = b.add_scalar(variance, 1e-5).unwrap();
    let scale = b.rsqrt(variance).unwrap();
    let scale = repeated(b, scale, x);
    b.mul(x, scale).unwrap()
}

/// The ops that are left of a function of (x `[2, 3, 5]`, weight `[5]`, bias `[5]`), which must compute the same.
#[track_caller]
fn check(build: impl Fn(&mut Builder, [Value; 3]) -> Value, expected: &[&str]) {
    let mut b = Builder::new();
    let shapes: [&[usize]; 3] = [&[2, 3, 5], &[5], &[5]];
    let params = shapes.map(|dims| b.param(TensorType::new(DType::F32, dims)));
    let y = build(&mut b, params);
    let graph = Graph {
        inputs: ["x", "weight", "bias"].map(|n| Input { name: n.into(), role: Role::Input }).into(),
        outputs: vec![Output { name: "y".into(), alias: None }],
        body: Arc::new(b.finish(&[y])),
    };
    let claims = [CompositeKind::LayerNorm, CompositeKind::RmsNorm];
    let after = run(&graph, Optimize::Full, &target(&claims), &mut |_, _| {}).unwrap();
    let ops: Vec<&str> = after.body.nodes().iter().map(|n| n.op.name()).collect();
    assert_eq!(ops, expected, "{}", wootz_ir::text::print(&after));
    for node in after.body.nodes() {
        if let Op::Composite(Composite::LayerNorm { eps, .. } | Composite::RmsNorm { eps, .. }) = &node.op {
            assert_eq!(eps.0, 1e-5);
        }
    }
    let args = shapes.map(|dims| {
        let count = dims.iter().product::<usize>();
        let values: Vec<f64> = (0..count).map(|i| (i as f64 * 0.7).sin() + 0.3).collect();
        HostTensor::from_f64(DType::F32, dims, &values)
    });
    let (before, after) =
        (eval::region(&graph.body, &args).unwrap(), eval::region(&after.body, &args).unwrap());
    assert_eq!(before, after);
}

#[test]
fn layer_norm_written_out_is_recognised() {
    for kept in [Axes::Dropped, Axes::Kept] {
        check(|b, [x, ..]| normal(b, x, kept), &["layer_norm"]);
        check(
            |b, [x, weight, bias]| {
                let y = normal(b, x, kept);
                let y = b.mul(weight, y).unwrap();
                b.add(y, bias).unwrap()
            },
            &["layer_norm"],
        );
        check(
            |b, [x, _, bias]| {
                let y = normal(b, x, kept);
                b.add(bias, y).unwrap()
            },
            &["layer_norm"],
        );
    }
}

#[test]
fn rms_norm_written_out_is_recognised() {
    for kept in [Axes::Dropped, Axes::Kept] {
        check(
            |b, [x, weight, _]| {
                let y = over_root_mean_square(b, x, kept);
                b.mul(y, weight).unwrap()
            },
            &["rms_norm"],
        );
    }
}

#[test]
fn what_is_not_one_is_left() {
    // The mean of another value is taken off.
    check(
        |b, [x, weight, _]| {
            let other = b.mul(x, weight).unwrap();
            let middle = mean(b, other, Axes::Dropped);
            let middle = repeated(b, middle, x);
            let centred = b.sub(x, middle).unwrap();
            over_root_mean_square(b, centred, Axes::Dropped)
        },
        &["broadcast", "mul", "reduce_sum", "constant", "broadcast", "div", "broadcast", "sub", "rms_norm"],
    );
}
