//! Runs compiled graphs and compares their results.

use crate::support::Memory;
use wootz_ir::{DType, Graph, HostTensor};
use wootz_runtime::Executable;

/// Runs a compiled graph twice on the same inputs (unless it updates them); both runs must agree.
pub(crate) fn run(graph: &Graph, executable: &dyn Executable, inputs: &[HostTensor]) -> Vec<HostTensor> {
    let params: Vec<Option<HostTensor>> = (0..inputs.len()).map(|i| Some(inputs[i].clone())).collect();
    let prepared = executable.prepare(&params).expect("prepares");
    let mut instance = executable.instance().expect("instance");
    let mut once = || {
        let mut memory = Memory::new(graph, inputs);
        instance.run(&prepared, &mut memory).expect("runs");
        (0..graph.outputs.len()).map(|i| memory.result(graph, i)).collect::<Vec<_>>()
    };
    let (first, second) = (once(), once());
    for (a, b) in first.iter().zip(&second) {
        assert_eq!(a.as_bytes(), b.as_bytes(), "a second run differs");
    }
    first
}

/// Asserts that results are what the interpreter says, up to `ulps` roundings of the largest magnitude involved.
pub(crate) fn assert_close(what: &str, got: &HostTensor, want: &HostTensor, ulps: f64) {
    assert_eq!((got.dtype(), got.dims()), (want.dtype(), want.dims()), "{what}");
    if !want.dtype().is_float() {
        assert_eq!(got.to_i64(), want.to_i64(), "{what}");
        return;
    }
    let epsilon = match want.dtype() {
        DType::F16 => 2f64.powi(-10),
        DType::BF16 => 2f64.powi(-7),
        DType::F32 => 2f64.powi(-23),
        _ => 2f64.powi(-52),
    };
    let (got, want) = (got.to_f64(), want.to_f64());
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        let same = g == w || (g.is_nan() && w.is_nan());
        let close = (g - w).abs() <= ulps * epsilon * w.abs().max(f64::MIN_POSITIVE);
        assert!(
            same || close,
            "{what}: element {i} is {g:e}, the interpreter says {w:e}\n got {got:?}\nwant {want:?}"
        );
    }
}
