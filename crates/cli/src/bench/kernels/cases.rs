//! The list of cases, and the elementwise ones.

use std::sync::Arc;

use wootz::cpu::isa::Isa;
use wootz::cpu::yardstick::{Fused, Stream};
use wootz::ir::ops::Composite;
use wootz::ir::{Builder, TypeError, Value};
use wootz_bench::kernels::{Case, Goal, Peer, Per, Tensor, uniform};

use super::local::{COPY, HAND_WRITTEN, Loop, bandwidth, wide};
use super::program::{Running, f32s, graph, tensor};
use super::{compiling, reductions, training};

/// A case that is made when its turn has come: the operands of all together would not fit into memory.
pub(in crate::bench) struct Planned {
    pub(in crate::bench) name: String,
    pub(in crate::bench) make: Box<dyn FnOnce() -> Result<Case, String>>,
}

impl Planned {
    pub(in crate::bench) fn new(
        name: impl Into<String>,
        make: impl FnOnce(String) -> Result<Case, String> + 'static,
    ) -> Planned {
        let name = name.into();
        let own = name.clone();
        Planned { name, make: Box::new(move || make(own)) }
    }
}

/// Every case.
pub(super) fn all(isa: Isa, threads: usize) -> Vec<Planned> {
    const K: usize = 1 << 10;
    let mut cases = vec![
        Planned::new("gelu_tanh(a*b+c)*d+e, arrays of 64K", move |name| gelu_arrays(name, isa)),
        Planned::new("gelu_tanh(a*b+c)*d+e, a of 64K, b..e numbers", move |name| gelu_numbers(name, isa)),
    ];
    for (len, size) in [(4 * K, "4K"), (64 * K, "64K"), (K * K, "1M")] {
        cases.push(Planned::new(format!("chain of 10 ops, {size}"), move |name| chain(name, isa, len)));
    }
    for (function, goal) in [("exp", 0.5), ("tanh", 0.9), ("erf", 0.9)] {
        cases.push(Planned::new(format!("{function} of 64K"), move |name| math(name, isa, function, goal)));
    }
    for operation in ["softmax", "layer_norm"] {
        for columns in [512, 1024, 2048, 4096] {
            let rows = K * K / columns;
            cases.push(Planned::new(format!("{operation} {rows}x{columns}"), move |name| {
                normalisation(name, operation, [rows, columns], isa, threads)
            }));
        }
    }
    cases.extend(reductions::all(isa, threads));
    cases.extend(training::all(isa, threads));
    cases.extend(compiling::all(isa, threads));
    cases
}

/// What every elementwise case of one thread has.
pub(super) fn base(name: String, threads: usize, per: Per, expected: Vec<f64>, tolerance: f64) -> Case {
    Case {
        name,
        threads,
        per,
        expected,
        tolerance,
        subject: "wootz".to_owned(),
        contenders: Vec::new(),
        peers: Vec::new(),
        inputs: Vec::new(),
        document: None,
        goals: Vec::new(),
    }
}

pub(super) fn at_most(against: &str, at_most: f64) -> Goal {
    Goal::Ratio { against: against.to_owned(), at_most }
}

fn gelu(x: f64) -> f64 {
    x / 2.0 * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
}

struct Operands {
    isa: Isa,
    inputs: Vec<Tensor>,
    out: Vec<f32>,
}

/// The state of a hand-written loop; `None` where there is none for the instruction set.
fn hand(
    isa: Isa,
    inputs: &[Tensor],
    step: fn(&mut Operands) -> Result<(), String>,
) -> Option<Box<dyn wootz_bench::kernels::Contender>> {
    let out = vec![0.0; inputs[0].values.len()];
    let state = Operands { isa, inputs: inputs.to_vec(), out };
    (isa != Isa::Portable).then(|| Loop::boxed(HAND_WRITTEN, state, step, |s| Some(wide(&s.out))))
}

const LEN: usize = 64 << 10;

fn gelu_arrays(name: String, isa: Isa) -> Result<Case, String> {
    let inputs: Vec<Tensor> = ["a", "b", "c", "d", "e"].map(|n| uniform(0, n, &[LEN], 2.0)).into();
    let at = |i: usize, at: usize| f64::from(inputs[i].values[at]);
    let value = |i| gelu(at(0, i) * at(1, i) + at(2, i)) * at(3, i) + at(4, i);
    let expected = (0..LEN).map(value).collect();
    let named: Vec<_> = inputs.iter().map(|t| (t.name.as_str(), f32s(&[LEN]))).collect();
    let graph = graph(&named, |b, x| Ok(vec![gelu_chain(b, x)?]))?;
    let tensors = inputs.iter().map(tensor).collect::<Result<Vec<_>, _>>()?;
    let mut case = base(name, 1, Per::elements(LEN), expected, 1e-6);
    case.contenders.push(Running::boxed("wootz", graph, &tensors, isa, 1)?);
    case.contenders.extend(hand(isa, &inputs, |s| {
        let of = Fused::GeluTanh(std::array::from_fn(|i| s.inputs[i].values.as_slice()));
        of.run(s.isa, &mut s.out);
        Ok(())
    }));
    case.goals.push(at_most(HAND_WRITTEN, 1.1));
    Ok(case)
}

fn gelu_numbers(name: String, isa: Isa) -> Result<Case, String> {
    const NUMBERS: [f32; 4] = [1.5, -0.25, 0.75, 0.125];
    let inputs = vec![uniform(0, "a", &[LEN], 4.0)];
    let [b, c, d, e] = NUMBERS.map(f64::from);
    let expected = inputs[0].values.iter().map(|a| gelu(f64::from(*a) * b + c) * d + e).collect();
    let graph = graph(&[("a", f32s(&[LEN]))], |builder, x| {
        let numbers = NUMBERS.map(|n| builder.scalar_like(x[0], f64::from(n)));
        Ok(vec![gelu_chain(builder, &[&x[..1], &numbers].concat())?])
    })?;
    let mut case = base(name, 1, Per::elements(LEN), expected, 1e-6);
    case.contenders.push(Running::boxed("wootz", graph, &[tensor(&inputs[0])?], isa, 1)?);
    case.contenders.extend(hand(isa, &inputs, |s| {
        Fused::GeluTanhScalars(&s.inputs[0].values, NUMBERS).run(s.isa, &mut s.out);
        Ok(())
    }));
    case.goals.push(at_most(HAND_WRITTEN, 1.1));
    Ok(case)
}

fn gelu_chain(b: &mut Builder, x: &[Value]) -> Result<Value, TypeError> {
    let scaled = b.mul(x[0], x[1])?;
    let shifted = b.add(scaled, x[2])?;
    let gelu = b.composite(Composite::GeluTanh, &[shifted])?;
    let scaled = b.mul(gelu, x[3])?;
    b.add(scaled, x[4])
}

fn chain(name: String, isa: Isa, len: usize) -> Result<Case, String> {
    let inputs = vec![uniform(0, "x", &[len], 2.0)];
    let value = |x: &f32| {
        let x = f64::from(*x);
        ((x * 1.5 + 0.25) * x - 0.5).clamp(-1.0, 2.0) * x.abs() + x - 0.125
    };
    let expected = inputs[0].values.iter().map(value).collect();
    let graph = graph(&[("x", f32s(&[len]))], |b, inputs| {
        let x = inputs[0];
        let y = b.mul_scalar(x, 1.5)?;
        let y = b.add_scalar(y, 0.25)?;
        let y = b.mul(y, x)?;
        let half = b.scalar_like(x, 0.5);
        let y = b.sub(y, half)?;
        let low = b.scalar_like(x, -1.0);
        let y = b.maximum(y, low)?;
        let high = b.scalar_like(x, 2.0);
        let y = b.minimum(y, high)?;
        let size = b.abs(x)?;
        let y = b.mul(y, size)?;
        let y = b.add(y, x)?;
        let eighth = b.scalar_like(x, 0.125);
        Ok(vec![b.sub(y, eighth)?])
    })?;
    let mut case = base(name, 1, Per::Bytes(8 * len as u64), expected, 1e-6);
    case.contenders.push(Running::boxed("wootz", graph, &[tensor(&inputs[0])?], isa, 1)?);
    case.contenders.extend(hand(isa, &inputs, |s| {
        Fused::Chain(&s.inputs[0].values).run(s.isa, &mut s.out);
        Ok(())
    }));
    case.goals.push(at_most(HAND_WRITTEN, 1.1));
    let source: Arc<[f32]> = inputs[0].values.as_slice().into();
    case.contenders.push(bandwidth(Stream::Copy, isa, 1, source));
    if len > LEN {
        case.goals.push(at_most(COPY, 1.0 / 0.85));
    }
    case.peers.push(Peer::new("NumPy", "numpy", "chain"));
    case.goals.push(at_most("NumPy", 1.0 / 5.0));
    case.inputs = inputs;
    Ok(case)
}

fn math(name: String, isa: Isa, function: &str, goal: f64) -> Result<Case, String> {
    let input = uniform(0, "x", &[LEN], 4.0);
    // The reference of erf and the rest is the interpreter of graphs, in f64.
    let build = |b: &mut Builder, x: &[Value]| {
        Ok(vec![match function {
            "exp" => b.exp(x[0])?,
            "tanh" => b.tanh(x[0])?,
            _ => b.erf(x[0])?,
        }])
    };
    let reference = graph(&[("x", wootz::ir::TensorType::new(wootz::DType::F64, [LEN]))], build)?;
    let wide_input = wootz::HostTensor::from_f64(wootz::DType::F64, &[LEN], &wide(&input.values));
    let expected = interpret(&reference, &[wide_input])?;
    let graph = graph(&[("x", f32s(&[LEN]))], build)?;
    let mut case = base(name, 1, Per::elements(LEN), expected, 1e-6);
    case.contenders.push(Running::boxed("wootz", graph, &[tensor(&input)?], isa, 1)?);
    case.goals.push(Goal::Time { at_most_ns: goal });
    Ok(case)
}

/// A graph's outputs by the reference interpreter.
pub(in crate::bench) fn interpret(
    graph: &wootz::ir::Graph,
    inputs: &[wootz::HostTensor],
) -> Result<Vec<f64>, String> {
    let outputs = wootz::ir::eval::region(&graph.body, inputs).map_err(|e| e.to_string())?;
    Ok(outputs.iter().flat_map(wootz::HostTensor::to_f64).collect())
}

fn normalisation(
    name: String,
    operation: &'static str,
    [rows, columns]: [usize; 2],
    isa: Isa,
    threads: usize,
) -> Result<Case, String> {
    let dims = [rows, columns];
    let mut inputs = vec![uniform(0, "x", &dims, 4.0)];
    if operation == "layer_norm" {
        inputs.extend(["weight", "bias"].map(|name| uniform(0, name, &[columns], 1.0)));
    }
    let expected = inputs[0].values.chunks(columns).flat_map(|row| match operation {
        "softmax" => softmax(row),
        _ => layer_norm(row, &inputs[1].values, &inputs[2].values),
    });
    let expected: Vec<f64> = expected.collect();
    let named: Vec<_> = inputs.iter().map(|t| (t.name.as_str(), f32s(&t.shape))).collect();
    let graph = graph(&named, |b, x| match operation {
        "softmax" => Ok(vec![b.composite(Composite::Softmax { axis: 1 }, &[x[0]])?]),
        _ => Ok(vec![layer_norm_graph(b, x)?]),
    })?;
    let tensors = inputs.iter().map(tensor).collect::<Result<Vec<_>, _>>()?;
    let bytes = 8 * (rows * columns) as u64;
    let mut case = base(name, threads, Per::Bytes(bytes), expected, 2e-6);
    case.contenders.push(Running::boxed("wootz", graph, &tensors, isa, threads)?);
    for (peer, stack) in [("ONNX Runtime", "onnxruntime"), ("PyTorch", "pytorch")] {
        case.peers.push(Peer::new(peer, stack, operation));
        case.goals.push(at_most(peer, 1.0 / 1.3));
    }
    case.inputs = inputs;
    Ok(case)
}

fn softmax(row: &[f32]) -> Vec<f64> {
    let largest = row.iter().fold(f32::NEG_INFINITY, |a, x| a.max(*x));
    let powers: Vec<f64> = row.iter().map(|x| (f64::from(*x) - f64::from(largest)).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|p| p / sum).collect()
}

const EPSILON: f64 = 1e-5;

fn layer_norm(row: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f64> {
    let n = row.len() as f64;
    let mean = wide(row).iter().sum::<f64>() / n;
    let variance = wide(row).iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    let scale = 1.0 / (variance + EPSILON).sqrt();
    let value = |i: usize| (f64::from(row[i]) - mean) * scale * f64::from(weight[i]) + f64::from(bias[i]);
    (0..row.len()).map(value).collect()
}

fn layer_norm_graph(b: &mut Builder, x: &[Value]) -> Result<Value, TypeError> {
    let axes: wootz::ir::Axes = [1].into_iter().collect();
    let mean = b.composite(Composite::Mean { axes: axes.clone() }, &[x[0]])?;
    let variance = b.composite(Composite::Variance { axes, correction: 0 }, &[x[0]])?;
    let variance = b.add_scalar(variance, EPSILON)?;
    let scale = b.rsqrt(variance)?;
    let (mean, scale) = (b.expand_axis(mean, 1)?, b.expand_axis(scale, 1)?);
    let centred = b.sub(x[0], mean)?;
    let scaled = b.mul(centred, scale)?;
    let weighted = b.mul(scaled, x[1])?;
    b.add(weighted, x[2])
}
