//! A softmax of long rows divides once a row.

#![allow(clippy::unwrap_used)] // a test fails by panicking

mod common;

use common::target;
use std::sync::Arc;
use wootz_ir::ops::{Binary, Composite, Op};
use wootz_ir::{Builder, DType, Graph, HostTensor, Input, Output, Role, TensorType, eval};
use wootz_passes::{Optimize, run};

/// The elements of the divisions that a softmax over the last axis is compiled to.
fn divisions(dtype: DType, dims: [usize; 2], tolerance: f64) -> Vec<usize> {
    let mut b = Builder::new();
    let x = b.param(TensorType::new(dtype, dims));
    let y = b.composite(Composite::Softmax { axis: 1 }, &[x]).unwrap();
    let graph = Graph {
        inputs: vec![Input { name: "x".into(), role: Role::Input }],
        outputs: vec![Output { name: "y".into(), alias: None }],
        body: Arc::new(b.finish(&[y])),
    };
    let after = run(&graph, Optimize::Full, &target(&[]), &mut |_, _| {}).unwrap();
    let mut values: Vec<f64> = (0..dims[0] * dims[1]).map(|i| (i * 7919 % 1009) as f64 / 64.0).collect();
    // A row of nothing, and one with an infinity.
    values[..dims[1]].fill(f64::NEG_INFINITY);
    values[dims[1]] = f64::INFINITY;
    let x = HostTensor::from_f64(dtype, &dims, &values);
    let [expected, got] = [&graph, &after]
        .map(|graph| eval::region(&graph.body, std::slice::from_ref(&x)).unwrap().remove(0).to_f64());
    for (want, got) in expected.iter().zip(&got) {
        let equal = want.is_nan() && got.is_nan();
        assert!(equal || (want - got).abs() <= tolerance * want, "{dtype} {dims:?}: {got}, not {want}");
    }
    let divided = after.body.nodes().iter().filter(|n| n.op == Op::Binary(Binary::Div));
    divided
        .map(|n| after.body.ty(n.outputs().next().unwrap()).shape.iter())
        .map(|dims| dims.map(|d| d.as_const().unwrap()).product())
        .collect()
}

#[test]
fn long_rows_are_multiplied_by_a_reciprocal() {
    assert_eq!(divisions(DType::F32, [8, 64], 1.2e-7), [8]);
    assert_eq!(divisions(DType::F64, [8, 64], 2.3e-16), [8]);
    assert_eq!(divisions(DType::BF16, [8, 64], 4e-3), [8]);
}

#[test]
fn short_rows_are_divided() {
    assert_eq!(divisions(DType::F32, [8, 16], 0.0), [128]);
}
