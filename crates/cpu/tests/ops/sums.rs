//! Long sums: their error does not grow with their length.

use crate::support::{Memory, compile, graph};
use wootz_cpu::isa::Isa;
use wootz_ir::ops::Composite;
use wootz_ir::{Builder, DType, HostTensor, TensorType, Value};
use wootz_passes::Optimize;

/// The sum over `axes`, and the exact one, of elements of one value: the hardest for a naive sum, all of whose errors point
/// one way.
fn worst_error(dims: &[usize], axes: &[usize], value: f32, isa: Isa) -> f64 {
    let count: usize = dims.iter().product();
    let got = run(dims, &vec![value; count], isa, |b, x| b.sum(x, axes).expect("axes"));
    let terms: usize = axes.iter().map(|a| dims[*a]).product();
    let exact = f64::from(value) * terms as f64;
    got.iter().map(|y| (y - exact).abs() / exact.abs()).fold(0.0, f64::max)
}

/// A function of x, compiled for two threads.
fn run(
    dims: &[usize],
    values: &[f32],
    isa: Isa,
    function: impl FnOnce(&mut Builder, Value) -> Value,
) -> Vec<f64> {
    let mut b = Builder::new();
    let x = b.param(TensorType::new(DType::F32, dims));
    let y = function(&mut b, x);
    let graph = graph(&b.finish(&[y]));
    let x = HostTensor::from_slice(dims, values).expect("small");
    let executable = compile(&graph, Optimize::Full, isa, 2);
    let mut memory = Memory::new(&graph, &[x]);
    let prepared = executable.prepare(&[]).expect("prepares");
    executable.instance().expect("instance").run(&prepared, &mut memory).expect("runs");
    memory.result(&graph, 0).to_f64()
}

#[test]
fn long_sums_keep_their_precision() {
    // The bound is absolute: 1e-6, about eight roundings to f32.
    let cases: [(&[usize], &[usize]); 8] = [
        (&[10_000_000], &[0]),
        (&[9_999_991], &[0]),
        (&[3, 3_000_017], &[0, 1]),
        (&[3, 1_000_003], &[1]),
        (&[16, 100_003], &[1]),
        (&[100_003, 16], &[0]),
        (&[1024, 1024], &[0]),
        (&[64, 4096], &[1]),
    ];
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        for (dims, axes) in cases {
            for value in [0.1, 1.0 / 3.0, -0.7] {
                let error = worst_error(dims, axes, value, isa);
                assert!(error <= 1e-6, "{dims:?} over {axes:?} of {value}, {isa:?}: {error:e}");
            }
        }
    }
}

/// Values far from 0 but close together, some lines of which begin with zeros: what a sum of squares is bad at.
#[test]
fn variances_far_from_zero() {
    const MEAN: f64 = 1e4;
    let cases: [(&[usize], usize); 6] = [
        (&[2_000_000], 0),
        (&[2048, 1024], 0),
        (&[1000, 3, 700], 0),
        (&[8, 600, 512], 1),
        (&[16, 1 << 17], 1),
        (&[512, 200], 0),
    ];
    for (dims, axis) in cases {
        let (count, inner): (usize, usize) = (dims[axis], dims[axis + 1..].iter().product());
        let all: usize = dims.iter().product();
        let mut state = 1u32;
        // Sums of uniform numbers, of variance 1.
        let mut normal = || {
            let uniform = |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f64::from(state) / f64::from(u32::MAX) - 0.5
            };
            (0..12).map(uniform).sum::<f64>()
        };
        for zeros in [0, 1, 20] {
            let mut values: Vec<f32> = (0..all).map(|_| (MEAN + normal()) as f32).collect();
            let line = |out: usize| move |i: usize| out / inner * inner * count + out % inner + i * inner;
            for out in (0..all / count).step_by(7) {
                (0..zeros).for_each(|i| values[line(out)(i)] = 0.0);
            }
            for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
                let variance = Composite::Variance { axes: [axis].into_iter().collect(), correction: 1 };
                let got = run(dims, &values, isa, |b, x| b.composite(variance, &[x]).expect("axes"));
                for (out, got) in got.into_iter().enumerate() {
                    let values = || (0..count).map(line(out)).map(|at| f64::from(values[at]));
                    let mean = values().sum::<f64>() / count as f64;
                    let want = values().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1) as f64;
                    let error = (got - want).abs() / want;
                    assert!(error <= 1e-5, "{dims:?} along {axis}, {zeros} zeros, {isa:?}: {error:e}");
                }
            }
        }
    }
}

/// Outliers in the first part of each block: a shift taken from there would be far from nearly all of it.
#[test]
fn variances_of_blocks_that_begin_with_outliers() {
    const BLOCK: usize = 4096;
    let count = 1 << 23;
    for (outlier, first) in [(1e4, BLOCK / 16), (-0.7, BLOCK / 16), (3e2, BLOCK / 8), (1e4, BLOCK / 4)] {
        let values: Vec<f32> = (0..count)
            .map(|i| if i % BLOCK < first { outlier } else { 0.1 + (i % 7) as f32 * 1e-6 })
            .collect();
        let exact = || values.iter().map(|v| f64::from(*v));
        let mean = exact().sum::<f64>() / count as f64;
        let want = exact().map(|v| (v - mean).powi(2)).sum::<f64>() / count as f64;
        for isa in [Isa::Portable, Isa::best()] {
            let variance = Composite::Variance { axes: [0].into_iter().collect(), correction: 0 };
            let got = run(&[count], &values, isa, |b, x| b.composite(variance, &[x]).expect("axis"))[0];
            let error = (got - want).abs() / want;
            assert!(error <= 1e-5, "the first {first} are {outlier}, {isa:?}: {error:e}");
        }
    }
}
