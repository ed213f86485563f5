//! Whole graphs: training steps, fused chains, random expressions; the same bits for every number of threads.

use crate::check::{Bound, assert_close, run};
use crate::support::{compile, graph};
use proptest::prelude::*;
use wootz_cpu::isa::Isa;
use wootz_ir::ops::{Binary, Unary};
use wootz_ir::{Builder, DType, Dim, Graph, HostTensor, Role, TensorType, Value, eval};
use wootz_passes::Optimize;

/// Numbers in (−1, 1) that look random.
fn noise(dtype: DType, dims: &[usize], seed: u64) -> HostTensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let values: Vec<f64> = (0..dims.iter().product())
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect();
    HostTensor::from_f64(dtype, dims, &values)
}

/// A step of gradient descent of a two-layer perceptron that updates its parameters in place.
fn training_step(rows: usize, sizes: [usize; 3]) -> (Graph, Vec<HostTensor>) {
    let [i, h, o] = sizes;
    let dims: [&[usize]; 6] = [&[rows, i], &[rows, o], &[i, h], &[h], &[h, o], &[o]];
    let inputs: Vec<HostTensor> = (0..6).map(|k| noise(DType::F32, dims[k], k as u64 + 1)).collect();
    let mut b = Builder::new();
    let p: Vec<Value> = inputs.iter().map(|t| b.param(t.ty())).collect();
    let mut forward = || -> Result<Value, wootz_ir::TypeError> {
        let hidden = b.matmul(p[0], p[2])?;
        let hidden = b.add(hidden, p[3])?;
        let zero = b.scalar_like(hidden, 0.0);
        let hidden = b.maximum(hidden, zero)?;
        let out = b.matmul(hidden, p[4])?;
        let out = b.add(out, p[5])?;
        let error = b.sub(out, p[1])?;
        let square = b.mul(error, error)?;
        b.sum_all(square)
    };
    let loss = forward().expect("well typed");
    let loss = graph(&b.finish(&[loss]));
    let gradient = wootz_transform::grad(&loss, 0, &[2, 3, 4, 5]).expect("differentiable");
    let mut b = Builder::new();
    let p: Vec<Value> = inputs.iter().map(|t| b.param(t.ty())).collect();
    let results = b.inline(&gradient.body, &p).expect("the same types");
    let gradients = &results[results.len() - 4..];
    let mut updated: Vec<Value> = results[..results.len() - 4].to_vec();
    for (parameter, gradient) in p[2..].iter().zip(gradients) {
        let step = b.mul_scalar(*gradient, 0.01).expect("a float");
        updated.push(b.sub(*parameter, step).expect("equal types"));
    }
    let mut step = graph(&b.finish(&updated));
    let first = step.outputs.len() - 4;
    for k in 0..4 {
        step.inputs[2 + k].role = Role::State;
        step.outputs[first + k].alias = Some(2 + k);
    }
    (step, inputs)
}

#[test]
fn training_steps() {
    for (rows, sizes) in [(1, [3, 5, 2]), (17, [20, 33, 10]), (64, [100, 64, 1])] {
        let (graph, inputs) = training_step(rows, sizes);
        let want = eval::region(&graph.body, &inputs).expect("evaluates");
        for isa in Isa::available() {
            for level in [Optimize::None, Optimize::Full] {
                let reference = run(&graph, &*compile(&graph, level, isa, 1), &inputs);
                for (i, (got, want)) in reference.iter().zip(&want).enumerate() {
                    // The magnitudes that are summed, not the sums, set the error.
                    let scale = want.to_f64().iter().fold(0f64, |m, v| m.max(v.abs()));
                    for (g, w) in got.to_f64().iter().zip(want.to_f64()) {
                        assert!(
                            (g - w).abs() <= 2e-5 * scale,
                            "result {i} of {sizes:?} on {isa}: {g} for {w}"
                        );
                    }
                }
                for threads in [2, 3] {
                    let again = run(&graph, &*compile(&graph, level, isa, threads), &inputs);
                    assert!(
                        again.iter().zip(&reference).all(|(a, b)| a.as_bytes() == b.as_bytes()),
                        "{threads}"
                    );
                }
            }
        }
    }
}

#[test]
fn large_kernels_are_shared_by_threads_without_a_change() {
    let dims = [300usize, 1000];
    let inputs = [noise(DType::F32, &dims, 1), noise(DType::F32, &[1000], 2)];
    let mut b = Builder::new();
    let p: Vec<Value> = inputs.iter().map(|t| b.param(t.ty())).collect();
    let sum = b.add(p[0], p[1]).expect("broadcasts");
    let e = b.push(Unary::Exp, &[sum]).expect("a float");
    let rows = b.sum(e, &[1]).expect("an axis");
    let columns = b.sum(e, &[0]).expect("an axis");
    let all = b.sum_all(e).expect("a number");
    let graph = graph(&b.finish(&[e, rows, columns, all]));
    let want = eval::region(&graph.body, &inputs).expect("evaluates");
    for isa in Isa::available() {
        let one = run(&graph, &*compile(&graph, Optimize::Full, isa, 1), &inputs);
        for (got, want) in one.iter().zip(&want) {
            assert_close("a sum", got, want, Bound::Units(16.0));
        }
        for threads in [2, 3] {
            let more = run(&graph, &*compile(&graph, Optimize::Full, isa, threads), &inputs);
            assert!(more.iter().zip(&one).all(|(a, b)| a.as_bytes() == b.as_bytes()), "{threads} on {isa}");
        }
    }
}

/// Thousands of dependent ops become several kernels of a size that machine code is made of.
#[test]
fn long_programs_are_split() {
    let x = noise(DType::F64, &[300], 1);
    let mut b = Builder::new();
    let start = b.param(x.ty());
    let mut extend = || -> Result<Value, wootz_ir::TypeError> {
        let mut value = start;
        for step in 0..1500 {
            value = if step % 7 == 0 {
                let sum = b.sum_all(value)?;
                let shift = b.mul_scalar(sum, 1e-4)?;
                let shift = b.broadcast(shift, &x.ty().shape, &[])?;
                b.add(value, shift)?
            } else {
                let scaled = b.mul_scalar(value, 0.999)?;
                let bent = b.tanh(scaled)?;
                b.add_scalar(bent, 1e-3)?
            };
        }
        Ok(value)
    };
    let last = extend().expect("well typed");
    let graph = graph(&b.finish(&[last]));
    let inputs = [x];
    let expected = eval::region(&graph.body, &inputs).expect("the reference runs");
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let executable = compile(&graph, Optimize::Full, isa, 2);
        let description = executable.describe();
        assert!(description.kernels.len() > 3, "{} kernels", description.kernels.len());
        if isa != Isa::Portable {
            assert!(description.notes.is_empty(), "all of it is machine code: {:?}", description.notes);
        }
        let got = run(&graph, &*executable, &inputs);
        assert_close("a long program", &got[0], &expected[0], Bound::Units(2000.0));
    }
}

#[test]
fn products_of_integers_are_shared_by_threads_without_a_change() {
    let inputs = [noise(DType::F64, &[3, 70, 50], 1), noise(DType::F64, &[3, 50, 60], 2)].map(|t| {
        let scaled: Vec<f64> = t.to_f64().iter().map(|v| (v * 1e6).round()).collect();
        HostTensor::from_f64(DType::I32, t.dims(), &scaled)
    });
    let mut b = Builder::new();
    let p: Vec<Value> = inputs.iter().map(|t| b.param(t.ty())).collect();
    let product = b.matmul(p[0], p[1]).expect("well typed");
    let plain = b.matmul(p[0], p[1]).expect("well typed");
    let sum = b.add(product, product).expect("equal types");
    let graph = graph(&b.finish(&[sum, plain]));
    let want = eval::region(&graph.body, &inputs).expect("evaluates");
    for threads in [1, 2, 3] {
        for level in [Optimize::None, Optimize::Full] {
            let got = run(&graph, &*compile(&graph, level, Isa::best(), threads), &inputs);
            assert!(got.iter().zip(&want).all(|(a, b)| a.as_bytes() == b.as_bytes()), "{threads}");
        }
    }
}

#[test]
fn packing_is_shared_by_threads_without_a_change() {
    let inputs = [noise(DType::F32, &[32, 700], 1), noise(DType::F32, &[700, 333], 2)];
    let mut b = Builder::new();
    let p: Vec<Value> = inputs.iter().map(|t| b.param(t.ty())).collect();
    let product = b.matmul(p[0], p[1]).expect("well typed");
    let mut graph = graph(&b.finish(&[product]));
    graph.inputs[1].role = Role::Param;
    let one = run(&graph, &*compile(&graph, Optimize::Full, Isa::best(), 1), &inputs);
    let executable = compile(&graph, Optimize::Full, Isa::best(), 3);
    assert!(executable.describe().prepare.iter().any(|k| k.kind == "pack"));
    let more = run(&graph, &*executable, &inputs);
    assert_eq!(more[0].as_bytes(), one[0].as_bytes());
}

/// A random expression over two matrices and a row.
fn expression(choices: &[(u8, usize, usize)], rows: usize, cols: usize) -> Graph {
    let mut b = Builder::new();
    let matrix = TensorType::new(DType::F64, [rows, cols]);
    let mut values =
        vec![b.param(matrix.clone()), b.param(matrix), b.param(TensorType::new(DType::F64, [cols]))];
    for (kind, x, y) in choices {
        let (x, y) = (values[x % values.len()], values[y % values.len()]);
        let last = b.ty(x).rank().checked_sub(1);
        let made = match kind % 10 {
            0 => b.add(x, y),
            1 => b.mul(x, y),
            2 => b.sub(x, y),
            3 => b.push(Unary::Tanh, &[x]),
            4 => b.push(Unary::Neg, &[x]),
            5 => b.push(Unary::Sin, &[x]),
            6 => last.map_or(Ok(x), |axis| b.sum(x, &[axis])),
            7 if b.ty(x).rank() == 2 => b.sum(x, &[0]),
            8 if b.ty(x).rank() == 2 && b.ty(y).rank() == 2 => b.push(Binary::Max, &[x, y]),
            _ => b.push(Unary::Abs, &[x]),
        };
        // What does not broadcast is left out.
        values.extend(made.ok());
    }
    let results = values.split_off(3);
    graph(&b.finish(&results))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn random_expressions(
        choices in prop::collection::vec((any::<u8>(), 0usize..64, 0usize..64), 1..14),
        rows in 1usize..40,
        cols in 1usize..70,
    ) {
        let graph = expression(&choices, rows, cols);
        let inputs = [noise(DType::F64, &[rows, cols], 1), noise(DType::F64, &[rows, cols], 2), noise(DType::F64, &[cols], 3)];
        let want = eval::region(&graph.body, &inputs).expect("evaluates");
        for isa in Isa::available() {
            let got = run(&graph, &*compile(&graph, Optimize::Full, isa, 1), &inputs);
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                let scale = want.to_f64().iter().fold(1f64, |m, v| m.max(v.abs()));
                for (g, w) in got.to_f64().iter().zip(want.to_f64()) {
                    let same = *g == w || (g.is_nan() && w.is_nan());
                    prop_assert!(same || (g - w).abs() <= 1e-12 * scale, "result {} on {}: {} for {}", i, isa, g, w);
                }
            }
        }
    }
}

/// The heads of an attention lie among each other's rows, so that a batch of them has two strides.
#[test]
fn batches_of_two_levels_are_products_of_views() {
    let dims = [3usize, 5, 3, 4, 6];
    for dtype in [DType::F32, DType::F64, DType::I32] {
        let scaled: Vec<f64> =
            noise(DType::F64, &dims, 1).to_f64().iter().map(|v| (v * 1e3).round()).collect();
        let inputs = [HostTensor::from_f64(dtype, &dims, &scaled)];
        let mut b = Builder::new();
        let x = b.param(inputs[0].ty());
        let part = |b: &mut Builder, i: usize| {
            let one = b.slice_axis(x, 2, &Dim::from(i), &Dim::from(i + 1)).expect("in bounds");
            let one = b.reshape(one, [3usize, 5, 4, 6]).expect("as many elements");
            b.transpose(one, &[0, 2, 1, 3]).expect("a permutation")
        };
        let (q, k, v) = (part(&mut b, 0), part(&mut b, 1), part(&mut b, 2));
        let k = b.transpose(k, &[0, 1, 3, 2]).expect("a permutation");
        let scores = b.matmul(q, k).expect("well typed");
        let mixed = b.matmul(scores, v).expect("well typed");
        let graph = graph(&b.finish(&[mixed]));
        let want = eval::region(&graph.body, &inputs).expect("evaluates");
        for isa in Isa::available() {
            for threads in [1, 3] {
                let executable = compile(&graph, Optimize::Full, isa, threads);
                assert_eq!(executable.describe().kernels.len(), 2, "nothing is copied");
                let got = run(&graph, &*executable, &inputs);
                assert_close("products of views", &got[0], &want[0], Bound::Sum);
            }
        }
    }
}
