//! Samples of composites.

use super::{Composite, Reduction};
use crate::ops::Sample;
use crate::ops::movement::samples::numbers;
use crate::{DType, F64, HostTensor, Shape};

fn axes(list: &[usize]) -> crate::Axes {
    list.into()
}

fn key() -> HostTensor {
    HostTensor::from_i64(DType::U32, &[2], &[0x1234_5678, 42])
}

pub(super) fn samples() -> Vec<Sample> {
    let mut out = Vec::new();
    elementwise(&mut out);
    let over_axes: [(Composite, &[usize]); 18] = [
        (Composite::Softmax { axis: 0 }, &[4]),
        (Composite::Softmax { axis: 1 }, &[2, 3]),
        (Composite::Softmax { axis: 1 }, &[2, 3, 2]),
        (Composite::Softmax { axis: 1 }, &[0, 3]),
        (Composite::LogSoftmax { axis: 0 }, &[3, 2]),
        (Composite::LogSoftmax { axis: 2 }, &[1, 2, 4]),
        (Composite::LogSumExp { axes: axes(&[0]) }, &[5]),
        (Composite::LogSumExp { axes: axes(&[0, 2]) }, &[2, 3, 2]),
        (Composite::LogSumExp { axes: axes(&[1]) }, &[2, 0]),
        (Composite::LogSumExp { axes: axes(&[]) }, &[2]),
        (Composite::Mean { axes: axes(&[0]) }, &[3]),
        (Composite::Mean { axes: axes(&[0, 1]) }, &[3, 2]),
        (Composite::Mean { axes: axes(&[1, 3]) }, &[2, 2, 1, 3]),
        (Composite::Mean { axes: axes(&[]) }, &[3]),
        (Composite::Variance { axes: axes(&[0]), correction: 0 }, &[4]),
        (Composite::Variance { axes: axes(&[0]), correction: 1 }, &[4, 2]),
        (Composite::Variance { axes: axes(&[0, 2, 3]), correction: 0 }, &[2, 2, 1, 3]),
        (Composite::Variance { axes: axes(&[1]), correction: 1 }, &[0, 3]),
    ];
    out.extend(over_axes.map(|(op, dims)| Sample::smooth(op, vec![numbers(dims, 0)])));
    let linear: [(&[usize], usize); 4] = [(&[3], 2), (&[4, 3], 2), (&[2, 2, 3], 1), (&[0, 2], 3)];
    for (dims, outputs) in linear {
        let weight = numbers(&[outputs, dims[dims.len() - 1]], 1);
        for bias in [false, true] {
            let mut inputs = vec![numbers(dims, 0), weight.clone()];
            inputs.extend(bias.then(|| numbers(&[outputs], 2)));
            out.push(Sample::smooth(Composite::Linear { bias }, inputs));
        }
    }
    losses(&mut out);
    random(&mut out);
    normalisations(&mut out);
    attentions(&mut out);
    embeddings(&mut out);
    out
}

fn elementwise(out: &mut Vec<Sample>) {
    let ops = [
        Composite::Relu,
        Composite::LeakyRelu { slope: F64(0.1) },
        Composite::Gelu,
        Composite::GeluTanh,
        Composite::Silu,
        Composite::Sigmoid,
        Composite::Softplus,
    ];
    let extremes = [-1000.0, -30.0, -0.0, 0.0, 30.0, 1000.0];
    for op in ops {
        for dims in [&[][..], &[5], &[2, 3], &[2, 1, 2, 2], &[0, 2]] {
            out.push(Sample::smooth(op.clone(), vec![numbers(dims, 0)]));
        }
        out.push(Sample::values(op, vec![HostTensor::from_f64(DType::F64, &[6], &extremes)]));
    }
    for dims in [&[][..], &[5], &[2, 3, 1]] {
        out.push(Sample::smooth(Composite::ReluGrad, vec![numbers(dims, 0), numbers(dims, 1)]));
    }
}

fn losses(out: &mut Vec<Sample>) {
    let cases: [(&[usize], &[i64]); 4] =
        [(&[3], &[1]), (&[4, 3], &[0, 2, 2, 1]), (&[2, 2, 4], &[3, 0, 1, 1]), (&[2, 3], &[2, 0])];
    for reduction in [Reduction::None, Reduction::Mean, Reduction::Sum] {
        for (dims, labels) in cases {
            let (examples, classes) = (&dims[..dims.len() - 1], dims[dims.len() - 1]);
            for (weighted, dtype) in [(false, DType::I64), (true, DType::I32), (true, DType::U32)] {
                let labels = HostTensor::from_i64(dtype, examples, labels);
                let weights = HostTensor::from_f64(
                    DType::F64,
                    &[classes],
                    &(1..=classes).map(|i| i as f64 / 2.0).collect::<Vec<_>>(),
                );
                let with = |scores: HostTensor| {
                    let mut inputs = vec![scores, labels.clone()];
                    inputs.extend(weighted.then(|| weights.clone()));
                    inputs
                };
                let probabilities: Vec<f64> =
                    numbers(dims, 0).to_f64().iter().map(|x| x.abs() / 2.0 + 0.1).collect();
                let probabilities = HostTensor::from_f64(DType::F64, dims, &probabilities);
                let nll = |log| Composite::NegativeLogLikelihood { reduction, weighted, log };
                out.push(Sample::smooth(
                    Composite::CrossEntropy { reduction, weighted },
                    with(numbers(dims, 0)),
                ));
                out.push(Sample::smooth(nll(true), with(numbers(dims, 0))));
                out.push(Sample::smooth(nll(false), with(probabilities)));
            }
        }
        for dims in [&[][..], &[4], &[2, 1, 3]] {
            out.push(Sample::smooth(Composite::Mse { reduction }, vec![numbers(dims, 0), numbers(dims, 1)]));
        }
    }
}

fn random(out: &mut Vec<Sample>) {
    for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
        for shape in [&[][..], &[5], &[3, 4], &[0, 2]] {
            let shape = Shape::from(shape);
            out.push(Sample::values(Composite::Uniform { dtype, shape: shape.clone() }, vec![key()]));
            out.push(Sample::values(Composite::Normal { dtype, shape }, vec![key()]));
        }
    }
    for rate in [0.0, 0.3, 0.9] {
        for dims in [&[7][..], &[2, 3, 2], &[0]] {
            out.push(Sample::smooth(Composite::Dropout { rate: F64(rate) }, vec![numbers(dims, 0), key()]));
        }
    }
}

fn normalisations(out: &mut Vec<Sample>) {
    let eps = F64(1e-5);
    let cases: [(&[usize], usize); 4] = [(&[4], 1), (&[3, 5], 1), (&[2, 1, 3, 2], 2), (&[0, 3], 1)];
    for (dims, normalized) in cases {
        let own = &dims[dims.len() - normalized..];
        for (weight, bias) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut inputs = vec![numbers(dims, 0)];
            inputs.extend(weight.then(|| numbers(own, 1)));
            inputs.extend(bias.then(|| numbers(own, 2)));
            if !bias {
                let op = Composite::RmsNorm { normalized, eps, weight };
                out.push(Sample::smooth(op, inputs.clone()));
            }
            out.push(Sample::smooth(Composite::LayerNorm { normalized, eps, weight, bias }, inputs));
        }
        let inputs = vec![numbers(dims, 0), numbers(dims, 1)];
        out.push(Sample::smooth(Composite::LayerNormGrad { normalized, eps }, inputs));
    }
}

/// (q, k, v): one head without its axis, several, grouped ones, more keys than queries, no keys.
const ATTENTIONS: [[&[usize]; 3]; 6] = [
    [&[3, 2], &[3, 2], &[3, 2]],
    [&[2, 2, 3], &[2, 4, 3], &[2, 4, 1]],
    [&[2, 2, 3, 2], &[2, 2, 3, 2], &[2, 2, 3, 2]],
    [&[1, 4, 2, 2], &[1, 2, 3, 2], &[1, 2, 3, 2]],
    [&[2, 0, 3], &[2, 2, 3], &[2, 2, 3]],
    [&[2, 2, 3], &[2, 0, 3], &[2, 0, 3]],
];

fn attentions(out: &mut Vec<Sample>) {
    let scale = F64(0.7);
    for [q, k, v] in ATTENTIONS {
        let scores = [&q[..q.len() - 1], &k[k.len() - 2..k.len() - 1]].concat();
        let result = [&q[..q.len() - 1], &v[v.len() - 1..]].concat();
        let count: usize = scores.iter().product();
        // Every third key is hidden, and so are all keys of the first query.
        let hidden: Vec<i64> =
            (0..count).map(|i| i64::from(i >= scores[scores.len() - 1] && i % 3 != 2)).collect();
        let masks =
            [None, Some(HostTensor::from_i64(DType::Bool, &scores, &hidden)), Some(numbers(&scores, 3))];
        for (causal, given) in masks.into_iter().flat_map(|m| [(false, m.clone()), (true, m)]) {
            let mask = given.is_some();
            let mut inputs = vec![numbers(q, 0), numbers(k, 1), numbers(v, 2)];
            inputs.extend(given);
            out.push(Sample::smooth(Composite::Attention { causal, mask, scale }, inputs.clone()));
            inputs.extend([numbers(&result, 4), numbers(&result, 6)]);
            out.push(Sample::smooth(Composite::AttentionGrad { causal, mask, scale }, inputs));
        }
    }
}

fn embeddings(out: &mut Vec<Sample>) {
    for (dtype, dims) in
        [(DType::I64, &[][..]), (DType::I32, &[4]), (DType::U32, &[2, 3]), (DType::I64, &[0])]
    {
        let count: usize = dims.iter().product();
        let ids: Vec<i64> = (0..count as i64).map(|i| i * 2 % 5).collect();
        for table in [&[5][..], &[5, 2], &[5, 2, 3]] {
            let inputs = vec![HostTensor::from_i64(dtype, dims, &ids), numbers(table, 0)];
            out.push(Sample::smooth(Composite::Embedding, inputs));
        }
    }
    // Out of bounds: the nearest row.
    let ids = HostTensor::from_i64(DType::I64, &[3], &[-1, 7, 2]);
    out.push(Sample::smooth(Composite::Embedding, vec![ids, numbers(&[5, 2], 0)]));
}
