//! Every level computes what the graph computes, to the bit (NaNs count as equal).

#![allow(clippy::unwrap_used)] // a test fails by panicking

mod common;

use common::target;
use proptest::prelude::*;
use std::sync::Arc;
use wootz_ir::ops::{
    Binary, Compare, Composite, CompositeKind, Control, Dot, Movement, Op, Reduce, ReduceKind, Ternary, Unary,
};
use wootz_ir::{
    Builder, DType, Graph, HostTensor, Input, Output, Region, Role, TensorType, Value, eval, text,
};
use wootz_passes::{Optimize, run};

fn graph(body: Region) -> Graph {
    let name = |i: usize| format!("v{i}").into();
    Graph {
        inputs: (0..body.params().len()).map(|i| Input { name: name(i), role: Role::Input }).collect(),
        outputs: (0..body.results().len()).map(|i| Output { name: name(i), alias: None }).collect(),
        body: Arc::new(body),
    }
}

fn same(a: &HostTensor, b: &HostTensor) -> bool {
    let values = || {
        a.to_f64()
            .into_iter()
            .zip(b.to_f64())
            .all(|(x, y)| x.is_nan() && y.is_nan() || x.to_bits() == y.to_bits())
    };
    a == b || (a.ty() == b.ty() && a.dtype().is_float() && values())
}

/// Nodes, those of nested regions at each use: a region that is used once may be inlined.
fn nodes(region: &Region) -> usize {
    let nested = |node: &wootz_ir::Node| node.op.regions().iter().map(|r| nodes(r)).sum::<usize>();
    region.nodes().iter().map(|node| 1 + nested(node)).sum()
}

/// Runs the graph at every level, claiming nothing and everything, and compares with the original.
fn check(graph: &Graph, args: &[HostTensor]) {
    let expected = eval::region(&graph.body, args).unwrap();
    for claims in [&[][..], &CompositeKind::ALL] {
        for level in [Optimize::None, Optimize::Basic, Optimize::Full] {
            let after = run(graph, level, &target(claims), &mut |_, _| {}).unwrap();
            let got = eval::region(&after.body, args).unwrap();
            for (g, e) in got.iter().zip(&expected) {
                assert!(
                    same(g, e),
                    "{level:?}: {g:?} is not {e:?}\nbefore\n{}after\n{}",
                    text::print(graph),
                    text::print(&after)
                );
            }
            let again = run(&after, level, &target(claims), &mut |_, _| {}).unwrap();
            assert!(nodes(&again.body) <= nodes(&after.body), "{level:?} grows what it made");
        }
    }
}

/// The sample's op on parameters, and the parts of `constant` on constants.
fn sample(op: &Op, inputs: &[HostTensor], constant: bool) -> (Graph, Vec<HostTensor>) {
    let mut b = Builder::new();
    let mut args = Vec::new();
    let values: Vec<Value> = inputs
        .iter()
        .map(|t| match constant {
            true => b.constant(t.clone()),
            false => {
                args.push(t.clone());
                b.param(t.ty())
            }
        })
        .collect();
    let outputs = b.push_multi(op.clone(), &values).unwrap();
    (graph(b.finish(&outputs)), args)
}

#[test]
fn samples_keep_their_values() {
    for s in Op::samples() {
        for constant in [false, true] {
            let (graph, args) = sample(&s.op, &s.inputs, constant);
            check(&graph, &args);
        }
    }
}

const SHAPE: [usize; 2] = [3, 3];

/// A random region over f32[3, 3].
fn random_region(steps: &[(u8, u8, u8)]) -> Region {
    let ty = TensorType::new(DType::F32, SHAPE);
    let mut b = Builder::new();
    let mut values = vec![b.param(ty.clone()), b.param(ty.clone())];
    let mut shared: Option<Arc<Region>> = None;
    for (at, (what, i, j)) in steps.iter().enumerate() {
        let (x, y) = (values[*i as usize % values.len()], values[*j as usize % values.len()]);
        let rest = &steps[at + 1..];
        let nested = || {
            let inner = random_region(&rest[..rest.len().min(*i as usize % 6)]);
            let mut b = Builder::new();
            let params = [b.param(ty.clone()), b.param(ty.clone())];
            let results = b.inline(&inner, &params).unwrap();
            Arc::new(b.finish(&results[..1]))
        };
        let built = match what % 21 {
            0 => b.push(exact_unary(*j), &[x]),
            1 => {
                let ops = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Min, Binary::Max];
                b.push(ops[*i as usize % 6], &[x, y])
            }
            2 => {
                let numbers = [0.0, -0.0, 1.0, -1.0, 2.0, 0.25, 3.0, f64::INFINITY];
                let c = b.full(&ty, numbers[*i as usize % 8]).unwrap();
                let ops = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Min, Binary::Max];
                let op = ops[*j as usize % 6];
                if i % 2 == 0 { b.push(op, &[y, c]) } else { b.push(op, &[c, y]) }
            }
            3 => b.transpose(x, &[1, 0]),
            4 => b
                .reshape(x, [9usize])
                .and_then(|r| b.push(exact_unary(*j), &[r]))
                .and_then(|r| b.reshape(r, SHAPE)),
            5 => {
                let kinds = [ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min];
                let axis = *j as usize % 2;
                let reduce = Reduce { kind: kinds[*i as usize % 3], axes: [axis].as_slice().into() };
                b.push(reduce, &[x]).and_then(|r| b.broadcast(r, &ty.shape, &[usize::from(*j) / 2 % 2]))
            }
            6 => b.push(Compare::ALL[*i as usize % 6], &[x, y]).and_then(|c| b.select(c, y, x)),
            7 => {
                let dots = [
                    Dot::matmul(0),
                    Dot {
                        lhs_contract: [0].as_slice().into(),
                        rhs_contract: [0].as_slice().into(),
                        ..Dot::default()
                    },
                ];
                b.dot(x, y, dots[*i as usize % 2].clone())
            }
            8 => b.cast(x, DType::F64).and_then(|w| b.cast(w, DType::F32)),
            9 => {
                b.cast(x, DType::F16).and_then(|w| b.cast(w, DType::F64)).and_then(|w| b.cast(w, DType::F32))
            }
            10 => b.reverse(x, &[*i as usize % 2]),
            11 => b.reverse(x, &[0, 1]),
            12 => {
                let op = Movement::Slice {
                    start: [1usize, 0].into(),
                    stop: SHAPE.into(),
                    step: [1, 1].as_slice().into(),
                };
                let zero = b.scalar(DType::F32, -0.0);
                b.push(op, &[x]).and_then(|s| b.pad(s, zero, &[0, 0], &[1, 0], &[0, 0]))
            }
            13 => {
                let all = [
                    Composite::Relu,
                    Composite::Silu,
                    Composite::Sigmoid,
                    Composite::Softplus,
                    Composite::Softmax { axis: 1 },
                    Composite::GeluTanh,
                    Composite::LogSoftmax { axis: 0 },
                ];
                let op = all[*i as usize % 7].clone();
                // Half of them spelt out, for recognition.
                if j % 2 == 0 {
                    b.composite(op, &[x])
                } else {
                    let body = op.body(std::slice::from_ref(&ty)).unwrap();
                    b.inline(&body, &[x]).map(|r| r[0])
                }
            }
            14 | 15 => {
                let body = shared.take().filter(|_| what % 21 == 14).unwrap_or_else(nested);
                shared = Some(body.clone());
                b.push(Control::Call { body }, &[x, y])
            }
            16 => {
                let (then, otherwise) = (nested(), nested());
                let flag = match i % 3 {
                    0 => b.scalar(DType::Bool, f64::from(j % 2)),
                    _ => {
                        let first = b.slice(x, &[0, 0], &[1, 1], &[1, 1]).unwrap();
                        let first = b.reshape(first, [0usize; 0]).unwrap();
                        b.push(Unary::IsFinite, &[first]).unwrap()
                    }
                };
                b.push(Control::Cond { then, otherwise }, &[flag, x, y])
            }
            17 => scan(&mut b, &ty, nested(), x, y, *j),
            18 => b.push(Ternary::Clamp, &[x, y, x]),
            19 => b.push(Movement::Concat { axis: 0 }, &[x]),
            _ => {
                let row = b.constant(HostTensor::from_f64(DType::F32, &[3], &[1.5, -0.0, f64::from(*i)]));
                let one = b.scalar(DType::F32, 2.0);
                let row = b.div(row, one).unwrap();
                b.broadcast(row, &ty.shape, &[1]).and_then(|r| b.mul(r, x))
            }
        };
        values.push(built.unwrap());
    }
    let results = values.split_off(values.len().saturating_sub(3));
    b.finish(&results)
}

fn exact_unary(i: u8) -> Unary {
    [Unary::Neg, Unary::Abs, Unary::Sqrt, Unary::Floor, Unary::Exp, Unary::StopGradient][i as usize % 6]
}

/// A scan over the rows of `x` with two carries, the second of which may be dead.
fn scan(
    b: &mut Builder,
    ty: &TensorType,
    step: Arc<Region>,
    x: Value,
    y: Value,
    which: u8,
) -> Result<Value, wootz_ir::TypeError> {
    let row = ty.with_shape([3usize]);
    let body = b.subregion(&[ty.clone(), ty.clone(), row, ty.clone()], |b, p| {
        let next = b.push(Control::Call { body: step.clone() }, &[p[0], p[3]])?;
        let dead = b.add(p[1], p[2])?;
        let out = b.sum(p[0], &[0])?;
        Ok::<_, wootz_ir::TypeError>(vec![next, dead, out])
    })?;
    let op =
        Control::Scan { body, carries: 2, xs: 1, length: 3usize.into(), reverse: which.is_multiple_of(2) };
    let results = b.push_multi(op, &[x, y, x, y])?;
    Ok(results[[0, 1, 2][which as usize % 3]])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn random_graphs_keep_their_values(
        steps in proptest::collection::vec(any::<(u8, u8, u8)>(), 0..40),
        picks in proptest::collection::vec(any::<u8>(), 18),
    ) {
        let graph = graph(random_region(&steps));
        let numbers = [0.0, -0.0, 1.0, -1.5, 3.25, 1e-40, 1e30, -1e30, 0.1, f64::INFINITY, f64::NAN, -7.0];
        let data: Vec<f64> = picks.iter().map(|p| numbers[*p as usize % numbers.len()]).collect();
        let args = [
            HostTensor::from_f64(DType::F32, &SHAPE, &data[..9]),
            HostTensor::from_f64(DType::F32, &SHAPE, &data[9..]),
        ];
        check(&graph, &args);
    }
}
