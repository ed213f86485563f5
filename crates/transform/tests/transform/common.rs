//! Graphs from closures, numbers to test with, finite differences.

use wootz_ir::{
    Builder, DType, Graph, HostTensor, Input, Op, Output, Role, TensorType, TypeError, Value, eval, verify,
};

/// A graph with inputs `x0, x1, …` and outputs `y0, y1, …`.
pub(crate) fn graph(
    inputs: &[TensorType],
    f: impl FnOnce(&mut Builder, &[Value]) -> Result<Vec<Value>, TypeError>,
) -> Graph {
    let mut b = Builder::new();
    let args: Vec<Value> = inputs.iter().map(|t| b.param(t.clone())).collect();
    let results = f(&mut b, &args).unwrap();
    let name = |prefix: char, i: usize| format!("{prefix}{i}").into();
    Graph {
        inputs: (0..args.len()).map(|i| Input { name: name('x', i), role: Role::Input }).collect(),
        outputs: (0..results.len()).map(|i| Output { name: name('y', i), alias: None }).collect(),
        body: b.finish(&results).into(),
    }
}

/// One op applied to inputs of these types.
pub(crate) fn single(op: &Op, inputs: &[HostTensor]) -> Graph {
    let types: Vec<TensorType> = inputs.iter().map(HostTensor::ty).collect();
    graph(&types, |b, args| b.push_multi(op.clone(), args))
}

/// Runs a verified graph.
pub(crate) fn run(graph: &Graph, args: &[HostTensor]) -> Vec<HostTensor> {
    verify(graph).unwrap();
    eval::region(&graph.body, args).unwrap()
}

pub(crate) fn f64s(dims: &[usize], values: &[f64]) -> HostTensor {
    HostTensor::from_f64(DType::F64, dims, values)
}

/// Irregular numbers in [−1, 1], different for every seed.
pub(crate) fn noise(like: &TensorType, seed: usize) -> HostTensor {
    let dims = like.shape.concrete().unwrap();
    let n: usize = dims.iter().product();
    let values: Vec<f64> =
        (0..n).map(|i| (12.9898 * (i + 1) as f64 + 78.233 * (seed + 1) as f64).sin()).collect();
    HostTensor::from_f64(like.dtype, &dims, &values)
}

pub(crate) fn inner(x: &[HostTensor], y: &[HostTensor]) -> f64 {
    assert_eq!(x.len(), y.len());
    let products = x.iter().zip(y).flat_map(|(x, y)| x.to_f64().into_iter().zip(y.to_f64()));
    // An infinite value of weight zero counts as nothing.
    products.map(|(a, b)| if b == 0.0 || a == 0.0 { 0.0 } else { a * b }).sum()
}

/// df/dt at 0 by central differences, extrapolated to step 0 (Ridders 1982; Richardson's tableau with the best estimate of
/// its error kept). `scale` is the largest step.
pub(crate) fn derivative(f: &dyn Fn(f64) -> f64, scale: f64) -> f64 {
    const SHRINK: f64 = 1.6;
    const LEVELS: usize = 8;
    let mut table = [[0.0; LEVELS]; LEVELS];
    let (mut best, mut error) = (f64::NAN, f64::INFINITY);
    let mut h = scale;
    for i in 0..LEVELS {
        table[0][i] = (f(h) - f(-h)) / (2.0 * h);
        let mut factor = SHRINK * SHRINK;
        for j in 1..=i {
            table[j][i] = (table[j - 1][i] * factor - table[j - 1][i - 1]) / (factor - 1.0);
            factor *= SHRINK * SHRINK;
            let [a, b] = [table[j - 1][i], table[j - 1][i - 1]];
            let spread = (table[j][i] - a).abs().max((table[j][i] - b).abs());
            if spread <= error {
                (best, error) = (table[j][i], spread);
            }
        }
        h /= SHRINK;
    }
    best
}

/// The gradient of `f` by every element of argument `i`.
pub(crate) fn gradient(f: &dyn Fn(&[HostTensor]) -> f64, args: &[HostTensor], i: usize) -> Vec<f64> {
    let at = args[i].to_f64();
    (0..at.len())
        .map(|element| {
            let shifted = |step: f64| {
                let mut values = at.clone();
                values[element] += step;
                let mut args = args.to_vec();
                args[i] = HostTensor::from_f64(args[i].dtype(), args[i].dims(), &values);
                f(&args)
            };
            derivative(&shifted, 0.02 * at[element].abs().clamp(0.1, 1.0))
        })
        .collect()
}

/// How far apart two vectors are, relative to the larger of them (of at least `floor`) in the maximum norm; NaNs and infinities
/// must be the same.
pub(crate) fn distance(x: &[f64], y: &[f64], floor: f64) -> f64 {
    assert_eq!(x.len(), y.len());
    let finite = |x: &&f64| x.is_finite();
    let largest = x.iter().chain(y).filter(finite).fold(floor, |m, v| m.max(v.abs()));
    x.iter()
        .zip(y)
        .map(|(a, b)| match (a - b).abs() {
            _ if a == b || (a.is_nan() && b.is_nan()) => 0.0,
            d if d.is_finite() => d / largest,
            _ => f64::INFINITY,
        })
        .fold(0.0, f64::max)
}
