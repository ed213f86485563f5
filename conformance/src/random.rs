//! Programs made of a seed.

mod indexed;

use crate::case::{Case, plain_inputs};
use crate::numbers::Numbers;
use crate::{Scale, Tolerance};
use std::sync::Arc;
use wootz_ir::ops::{Binary, Composite, Op, ReduceKind, Unary};
use wootz_ir::{Builder, DType, Dims, Graph, HostTensor, Output, Shape, TensorType, TypeError, Value};

/// A program of `ops` random ops on random sizes. With the same seed, fewer ops are a prefix of more: the smallest number
/// that fails is the shortest reproduction. Every fourth program also has its gradient.
///
/// Values stay of order one and away from poles, and no op is a step function of computed values, so that rounding cannot
/// change a result by much.
pub fn random_case(seed: u64, ops: usize) -> Case {
    let mut numbers = Numbers::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let dtype =
        *numbers.pick(&[DType::F64, DType::F64, DType::F64, DType::F32, DType::F32, DType::BF16, DType::F16]);
    let with_gradient = numbers.below(4) == 0;
    let mut inputs: Vec<HostTensor> = Vec::new();
    let sizes: Vec<usize> = (0..3).map(|_| *numbers.pick(&[1, 2, 3, 5, 8, 16, 17, 33])).collect();
    for rank in [2, 2, 1, 3] {
        let dims: Vec<usize> = (0..rank).map(|_| *numbers.pick(&sizes)).collect();
        inputs.push(numbers.tensor(dtype, &dims));
    }
    let mut b = Builder::new();
    let mut values: Vec<Value> = inputs.iter().map(|t| b.param(t.ty())).collect();
    for _ in 0..ops {
        // An op that does not fit its operands is no op; the stream of numbers goes on all the same.
        if let Ok(value) = random_op(&mut b, &mut numbers, &values) {
            values.push(value);
        }
    }
    let (graph, tolerance) = graph(b, &values, inputs.len(), with_gradient);
    Case {
        name: format!("random program {seed} of {ops} ops"),
        graph,
        inputs,
        tolerance,
        derivative_of: None,
    }
}

fn graph(mut b: Builder, values: &[Value], inputs: usize, with_gradient: bool) -> (Graph, Tolerance) {
    let last = *values.last().expect("there are inputs");
    let mut results = vec![last];
    // Values on the way are results as well, so that nothing may be computed in place that is still read.
    results.extend(values[inputs..].iter().rev().skip(1).step_by(3).copied());
    if with_gradient {
        let squared = b.mul(last, last).and_then(|y| b.sum_all(y)).and_then(|y| b.tanh(y));
        results.insert(0, squared.expect("sums of squares of floats are well-typed"));
    }
    let outputs = (0..results.len()).map(|i| Output { name: format!("y{i}").into(), alias: None });
    let ops = b.region().nodes().len().max(1);
    let graph = Graph {
        inputs: plain_inputs(inputs),
        outputs: outputs.collect(),
        body: Arc::new(b.finish(&results)),
    };
    let tolerance = |passes: usize| Tolerance { factor: (passes * ops) as f64, scale: Scale::Tensor };
    if !with_gradient {
        return (graph, tolerance(1));
    }
    let wrt: Vec<usize> = (0..inputs).collect();
    let gradient = wootz_transform::grad(&graph, 0, &wrt);
    (gradient.expect("every op used here has a derivative"), tolerance(4))
}

/// Kinds of ops.
const KINDS: usize = 23;
/// The most elements of a value.
const MOST_ELEMENTS: usize = 3000;

fn dims_of(b: &Builder, value: Value) -> Dims {
    b.ty(value).shape.concrete().unwrap_or_default()
}

fn random_op(b: &mut Builder, numbers: &mut Numbers, values: &[Value]) -> Result<Value, TypeError> {
    let recent = |numbers: &mut Numbers| {
        let reach = values.len().min(6);
        values[values.len() - 1 - numbers.below(reach)]
    };
    let (x, y) = (recent(numbers), recent(numbers));
    let ty = b.ty(x).clone();
    let axis = numbers.below(ty.rank());
    let grows = matches!(numbers.clone().below(KINDS), 10 | 12 | 13);
    if grows && !is_small([ty.shape.count().unwrap_or(0), 20]) {
        return b.tanh(x);
    }
    match numbers.below(KINDS) {
        0 => {
            let smooth =
                [Unary::Neg, Unary::Tanh, Unary::Sin, Unary::Cos, Unary::Erf, Unary::Log1p, Unary::Abs];
            let op = *numbers.pick(&smooth);
            // log1p needs more than −1.
            let x = if op == Unary::Log1p { b.abs(x)? } else { x };
            b.push(op, &[x])
        }
        1 => {
            let bounded = b.tanh(x)?;
            b.exp(bounded)
        }
        2..=4 => binary(b, numbers, x, y),
        5 => {
            let op = numbers
                .pick(&[Composite::Relu, Composite::Silu, Composite::Gelu, Composite::Sigmoid])
                .clone();
            b.composite(op, &[x])
        }
        6 | 7 => reduction(b, numbers, x, &ty),
        8 => {
            let mut perm: Vec<usize> = (0..ty.rank()).collect();
            perm.rotate_left(numbers.below(ty.rank()));
            b.transpose(x, &perm)
        }
        9 => {
            let count = ty.shape.count().unwrap_or(0);
            let shape = if numbers.below(2) == 0 { vec![count] } else { vec![1, count, 1] };
            b.reshape(x, shape.as_slice())
        }
        10 if ty.rank() > 0 && ty.rank() < 4 => {
            let size = *numbers.pick(&[2usize, 3, 7]);
            let shape = ty.shape.prepend(&size.into());
            let axes: Vec<usize> = (1..=ty.rank()).collect();
            b.broadcast(x, &shape, &axes)
        }
        11 if ty.rank() > 0 => {
            let dims = ty.shape.concrete().unwrap_or_default();
            let start: Vec<usize> = dims.iter().map(|d| numbers.below(2).min(d.saturating_sub(1))).collect();
            let step: Vec<usize> = dims.iter().map(|_| 1 + numbers.below(3)).collect();
            b.slice(x, &start, &dims, &step)
        }
        12 if ty.rank() > 0 => {
            let value = b.scalar(ty.dtype, 0.5);
            let ends =
                |numbers: &mut Numbers| (0..ty.rank()).map(|_| numbers.below(3) as i64).collect::<Vec<_>>();
            let (low, high) = (ends(numbers), ends(numbers));
            let interior: Vec<usize> = (0..ty.rank()).map(|_| numbers.below(2)).collect();
            b.pad(x, value, &low, &high, &interior)
        }
        13 if ty.rank() > 0 => {
            let reversed = b.reverse(x, &[axis])?;
            b.concat(&[x, reversed], axis)
        }
        14 => product(b, numbers, x, y),
        15 => indexed::select(b, numbers, x),
        16 => indexed::clamp(b, x),
        17 if ty.rank() > 0 => indexed::gather(b, numbers, x),
        18 if ty.rank() > 0 => indexed::scatter(b, numbers, x),
        19 if ty.rank() > 0 => indexed::segment(b, numbers, x),
        20 if ty.rank() > 0 => indexed::cumsum(b, numbers, x),
        21 if ty.rank() > 0 => indexed::scan(b, numbers, x),
        _ if ty.rank() > 0 => {
            let op = if numbers.below(2) == 0 {
                Composite::Softmax { axis }
            } else {
                Composite::LogSumExp { axes: [axis].as_slice().into() }
            };
            b.composite(op, &[x])
        }
        _ => b.mul_scalar(x, 0.75),
    }
}

/// Whether a tensor of these sizes is small enough for the reference.
fn is_small(dims: impl IntoIterator<Item = usize>) -> bool {
    dims.into_iter().product::<usize>() <= MOST_ELEMENTS
}

fn binary(b: &mut Builder, numbers: &mut Numbers, x: Value, y: Value) -> Result<Value, TypeError> {
    let op = *numbers.pick(&[Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Max, Binary::Min]);
    let (dims, others) = (dims_of(b, x), dims_of(b, y));
    let longest = dims.len().max(others.len());
    let size = |dims: &Dims, i: usize| dims.iter().rev().nth(i).copied().unwrap_or(1);
    let y = if is_small((0..longest).map(|i| size(&dims, i).max(size(&others, i)))) { y } else { x };
    let [mut x, mut y] = b.broadcast_together([x, y])?;
    match op {
        // Away from the pole.
        Binary::Div => {
            let square = b.mul(y, y)?;
            y = b.add_scalar(square, 1.0)?;
        }
        // Growth is bounded.
        Binary::Mul => x = b.tanh(x)?,
        _ => {}
    }
    b.push(Op::from(op), &[x, y])
}

fn reduction(b: &mut Builder, numbers: &mut Numbers, x: Value, ty: &TensorType) -> Result<Value, TypeError> {
    let axes: Vec<usize> = (0..ty.rank()).filter(|_| numbers.below(2) == 0).collect();
    let kind = *numbers.pick(&[ReduceKind::Sum, ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min]);
    let count: usize = axes.iter().filter_map(|a| ty.shape[*a].as_const()).product();
    let reduced = b.reduce(kind, x, &axes)?;
    if kind == ReduceKind::Sum { b.mul_scalar(reduced, 1.0 / count.max(1) as f64) } else { Ok(reduced) }
}

/// A product of two matrices, one of them transposed if that makes them fit; scaled to keep values of order one.
fn product(b: &mut Builder, numbers: &mut Numbers, x: Value, y: Value) -> Result<Value, TypeError> {
    let matrix = |b: &mut Builder, v: Value| -> Result<Value, TypeError> {
        let dims = dims_of(b, v);
        let columns = dims.last().copied().unwrap_or(1);
        let rows: usize = dims.iter().rev().skip(1).product();
        b.reshape(v, Shape::from([rows, columns]))
    };
    let (x, y) = (matrix(b, x)?, matrix(b, y)?);
    let (k, rows, columns) = (&b.ty(x).shape[1], &b.ty(y).shape[0], &b.ty(y).shape[1]);
    let scale = 1.0 / k.as_const().unwrap_or(1).max(1) as f64;
    let y = if k == columns && (k != rows || numbers.below(2) == 0) { b.transpose(y, &[1, 0])? } else { y };
    if !is_small([dims_of(b, x)[0], dims_of(b, y)[1]]) {
        return b.neg(x);
    }
    let product = b.matmul(x, y)?;
    b.mul_scalar(product, scale)
}
