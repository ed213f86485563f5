//! Long sums: their error does not grow with their length.

use crate::support::{Memory, compile, graph};
use wootz_cpu::isa::Isa;
use wootz_ir::{Builder, DType, HostTensor, TensorType};
use wootz_passes::Optimize;

/// The sum over `axes`, and the exact one, of elements of one value: the hardest for a naive sum, all of whose errors point
/// one way.
fn worst_error(dims: &[usize], axes: &[usize], value: f32, isa: Isa) -> f64 {
    let mut b = Builder::new();
    let x = b.param(TensorType::new(DType::F32, dims));
    let y = b.sum(x, axes).expect("axes");
    let graph = graph(&b.finish(&[y]));
    let count: usize = dims.iter().product();
    let x = HostTensor::from_slice(dims, &vec![value; count]).expect("small");
    let executable = compile(&graph, Optimize::Full, isa, 2);
    let mut memory = Memory::new(&graph, &[x]);
    let prepared = executable.prepare(&[]).expect("prepares");
    executable.instance().expect("instance").run(&prepared, &mut memory).expect("runs");
    let terms: usize = axes.iter().map(|a| dims[*a]).product();
    let exact = f64::from(value) * terms as f64;
    let got = memory.result(&graph, 0).to_f64();
    got.iter().map(|y| (y - exact).abs() / exact.abs()).fold(0.0, f64::max)
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
    for isa in [Isa::Portable, Isa::best()] {
        for (dims, axes) in cases {
            for value in [0.1, 1.0 / 3.0, -0.7] {
                let error = worst_error(dims, axes, value, isa);
                assert!(error <= 1e-6, "{dims:?} over {axes:?} of {value}, {isa:?}: {error:e}");
            }
        }
    }
}
