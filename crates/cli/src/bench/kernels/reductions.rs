//! Reductions, held to the bandwidth of reading.

use std::sync::Arc;

use wootz::cpu::isa::Isa;
use wootz::cpu::yardstick::Stream;
use wootz::ir::ops::Composite;
use wootz_bench::kernels::{Case, Per, uniform};

use super::cases::{Planned, at_most, base};
use super::local::{READ, bandwidth};
use super::program::{Running, f32s, graph, tensor};

const KINDS: [&str; 3] = ["sum", "max", "variance"];

pub(super) fn all(isa: Isa, threads: usize) -> Vec<Planned> {
    // 10 M in whole blocks of the loops that it is held to.
    const FLAT: usize = 10_000_000 / 64 * 64;
    const SIDE: usize = 4096;
    let mut cases = Vec::new();
    for kind in KINDS {
        cases.push(Planned::new(format!("{kind} of 10M"), move |name| {
            reduction(name, kind, &[FLAT], 0, isa, threads)
        }));
    }
    for axis in [0, 1] {
        for kind in KINDS {
            cases.push(Planned::new(format!("{kind} of 4096x4096 along axis {axis}"), move |name| {
                reduction(name, kind, &[SIDE, SIDE], axis, isa, threads)
            }));
        }
    }
    cases
}

fn reduction(
    name: String,
    kind: &'static str,
    dims: &[usize],
    axis: usize,
    isa: Isa,
    threads: usize,
) -> Result<Case, String> {
    let input = uniform(0, "x", dims, 1.0);
    let len = input.values.len();
    let (count, inner) = (dims[axis], dims[axis + 1..].iter().product::<usize>());
    let expected = (0..len / count).map(|out| {
        let start = out / inner * inner * count + out % inner;
        reference(kind, (0..count).map(|i| f64::from(input.values[start + i * inner])))
    });
    let expected: Vec<f64> = expected.collect();
    // Sums cancel: their error is relative to the sum of magnitudes, about n/2, of which √n is left. What remains is the
    // documented error of reductions, 1e-6 of the magnitudes' sum.
    let cancelled = match kind {
        "sum" => 0.5 * count as f64 / expected.iter().fold(0.0, |a: f64, x| a.max(x.abs())),
        _ => 1.0,
    };
    let graph = graph(&[("x", f32s(dims))], |b, x| {
        let axes: wootz::ir::Axes = [axis].into_iter().collect();
        Ok(vec![match kind {
            "sum" => b.sum(x[0], &axes)?,
            "max" => b.max(x[0], &axes)?,
            _ => b.composite(Composite::Variance { axes, correction: 0 }, &[x[0]])?,
        }])
    })?;
    let mut case = base(name, threads, Per::Bytes(4 * len as u64), expected, 1e-6 * cancelled.max(1.0));
    case.contenders.push(Running::boxed("wootz", graph, &[tensor(&input)?], isa, threads)?);
    let source: Arc<[f32]> = input.values.into();
    case.contenders.push(bandwidth(Stream::Read, isa, threads, source));
    case.goals.push(at_most(READ, 1.0 / 0.9));
    Ok(case)
}

fn reference(kind: &str, values: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = values.clone().count() as f64;
    match kind {
        "sum" => values.sum(),
        "max" => values.fold(f64::NEG_INFINITY, f64::max),
        _ => {
            let mean = values.clone().sum::<f64>() / count;
            values.map(|x| (x - mean).powi(2)).sum::<f64>() / count
        }
    }
}
