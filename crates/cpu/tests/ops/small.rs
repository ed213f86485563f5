//! Small programs run as few steps.

use crate::check::run;
use crate::support::{compile, graph};
use std::collections::BTreeMap;
use wootz_cpu::Cpu;
use wootz_cpu::isa::Isa;
use wootz_ir::{Builder, DType, HostTensor, TensorType, TypeError, Value, eval};
use wootz_nn as nn;
use wootz_passes::Optimize;
use wootz_runtime::{Definition, Options};

/// The steps of a program, by kind.
fn steps(definition: Definition) -> BTreeMap<&'static str, usize> {
    let program = wootz_runtime::compile(&definition, &BTreeMap::new(), &Cpu::default(), &Options::default())
        .expect("compiles");
    let mut count = BTreeMap::new();
    for kernel in program.report().description.kernels {
        *count.entry(kernel.kind).or_default() += 1;
    }
    count
}

/// Parameters, gradients and moments of any sizes: p − m' / (√v' + ε), m' = 0.9 m + 0.1 g, v' = 0.99 v + 0.01 g².
fn adam(b: &mut Builder, [p, g, m, v]: [Value; 4]) -> Result<[Value; 3], TypeError> {
    let (m, share) = (b.mul_scalar(m, 0.9)?, b.mul_scalar(g, 0.1)?);
    let m = b.add(m, share)?;
    let square = b.mul(g, g)?;
    let (v, share) = (b.mul_scalar(v, 0.99)?, b.mul_scalar(square, 0.01)?);
    let v = b.add(v, share)?;
    let root = b.sqrt(v)?;
    let root = b.add_scalar(root, 1e-8)?;
    let step = b.div(m, root)?;
    Ok([b.sub(p, step)?, m, v])
}

#[test]
fn an_optimizer_updates_small_tensors_by_one_kernel() {
    let sizes: [&[usize]; 7] = [&[3, 5], &[5], &[5, 8], &[8], &[], &[2, 3, 4], &[17]];
    let mut b = Builder::new();
    let mut inputs = Vec::new();
    let groups: Vec<[Value; 4]> = (0..)
        .zip(sizes)
        .map(|(t, dims)| {
            [0, 1, 2, 3].map(|i| {
                let count = dims.iter().product::<usize>();
                let values: Vec<f64> =
                    (0..count).map(|n| ((7 * n + 3 * t + i) % 11) as f64 * 0.25 + 0.5).collect();
                inputs.push(HostTensor::from_f64(DType::F32, dims, &values));
                b.param(TensorType::new(DType::F32, dims))
            })
        })
        .collect();
    let results: Vec<Value> =
        groups.into_iter().flat_map(|group| adam(&mut b, group).expect("well typed")).collect();
    let graph = graph(&b.finish(&results));
    assert_eq!(steps(graph.clone().into()), BTreeMap::from([("fused", 1)]));
    let expected = eval::region(&graph.body, &inputs).expect("evaluates");
    for isa in Isa::available() {
        let got = run(&graph, &*compile(&graph, Optimize::Full, isa, 2), &inputs);
        for (got, expected) in got.iter().zip(&expected) {
            let pairs = got.to_f64().into_iter().zip(expected.to_f64());
            assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-6), "{isa}: {got:?} {expected:?}");
        }
    }
}

#[test]
fn what_is_elementwise_in_a_small_network_is_part_of_few_steps() {
    let types =
        [("x", TensorType::new(DType::F32, [32usize, 16])), ("y", TensorType::new(DType::I64, [32usize]))];
    let training = nn::training(nn::mlp(&[16, 8, 4]), nn::cross_entropy(), nn::adamw(1e-3));
    let graph = training.trace(&types).expect("a training step");
    // Two products forwards, three backwards, with what surrounds them and the updates of the weights; the loss by rows and its
    // mean, the sums over rows that update two biases, and the counter, which all updates read.
    assert_eq!(steps(graph.into()), BTreeMap::from([("gemm", 5), ("fused", 5)]));
}
