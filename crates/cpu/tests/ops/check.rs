//! Runs compiled graphs and compares their results.

use crate::support::Memory;
use crate::support::guard::Edge;
use wootz_ir::{DType, Graph, HostTensor};
use wootz_runtime::Executable;

/// Runs a compiled graph twice on the same inputs (unless it updates them); both runs must agree.
pub(crate) fn run(graph: &Graph, executable: &dyn Executable, inputs: &[HostTensor]) -> Vec<HostTensor> {
    let params: Vec<Option<HostTensor>> = (0..inputs.len()).map(|i| Some(inputs[i].clone())).collect();
    let prepared = executable.prepare(&params).expect("prepares");
    let mut instance = executable.instance().expect("instance");
    let mut once = |edge| {
        let mut memory = Memory::at(edge, graph, inputs);
        instance.run(&prepared, &mut memory).expect("runs");
        (0..graph.outputs.len()).map(|i| memory.result(graph, i)).collect::<Vec<_>>()
    };
    let (first, second) = (once(Edge::End), once(Edge::Start));
    for (a, b) in first.iter().zip(&second) {
        assert_eq!(a.as_bytes(), b.as_bytes(), "a second run differs");
    }
    first
}

/// How far a result may be from what the interpreter says, in units of the last place.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    /// Of the element.
    Units(f64),
    /// Of the element, or, where that is less, this much.
    UnitsOr(f64, f64),
    /// Of sums: 64 of the element, or, where terms cancel, 4 of the largest element.
    Sum,
}

/// Asserts that results are what the interpreter says, within a bound.
pub(crate) fn assert_close(what: &str, got: &HostTensor, want: &HostTensor, bound: Bound) {
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
    let finite = want.iter().filter(|w| w.is_finite());
    let largest = finite.fold(f64::MIN_POSITIVE, |largest, w| largest.max(w.abs()));
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        let same = g == w || (g.is_nan() && w.is_nan());
        let size = w.abs().max(f64::MIN_POSITIVE);
        let allowed = match bound {
            Bound::Units(n) => n * size * epsilon,
            Bound::UnitsOr(n, absolute) => (n * size * epsilon).max(absolute),
            Bound::Sum => (64.0 * size).max(4.0 * largest) * epsilon,
        };
        let close = (g - w).abs() <= allowed;
        assert!(
            same || close,
            "{what}: element {i} is {g:e}, the interpreter says {w:e}\n got {got:?}\nwant {want:?}"
        );
    }
}
