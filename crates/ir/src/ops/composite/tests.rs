use super::{Composite, CompositeKind, Reduction};
use crate::ops::Family;
use crate::{Builder, DType, F64, HostTensor, Shape, TensorType, Value, eval};

fn run(op: Composite, inputs: &[HostTensor]) -> HostTensor {
    run_all(op, inputs).remove(0)
}

fn run_all(op: Composite, inputs: &[HostTensor]) -> Vec<HostTensor> {
    let mut b = Builder::new();
    let params: Vec<Value> = inputs.iter().map(|t| b.param(t.ty())).collect();
    let out = b.push_multi(op, &params).unwrap();
    eval::region(&b.finish(&out), inputs).unwrap()
}

fn f64s(dims: &[usize], values: &[f64]) -> HostTensor {
    HostTensor::from_f64(DType::F64, dims, values)
}

#[track_caller]
fn assert_close(got: &HostTensor, expected: &[f64]) {
    let got = got.to_f64();
    assert_eq!(got.len(), expected.len());
    for (g, e) in got.iter().zip(expected) {
        let same = g == e || (g.is_nan() && e.is_nan()) || (g - e).abs() <= 1e-13 * e.abs().max(1.0);
        assert!(same, "{got:?} is not {expected:?}");
    }
}

#[test]
fn samples_cover_every_composite_and_evaluate() {
    let samples = Composite::samples();
    for kind in CompositeKind::ALL {
        let covered = samples.iter().any(|s| s.op.name() == kind.name());
        assert!(covered, "{} has no sample", kind.name());
    }
    for sample in samples {
        let crate::Op::Composite(op) = sample.op else { panic!("a composite") };
        let out = run_all(op.clone(), &sample.inputs);
        let types: Vec<TensorType> = sample.inputs.iter().map(HostTensor::ty).collect();
        let found: Vec<TensorType> = out.iter().map(HostTensor::ty).collect();
        assert_eq!(op.body(&types).unwrap().result_types(), found, "{op:?}");
    }
}

#[test]
fn bodies_exist_for_symbolic_sizes_and_every_float() {
    for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
        let x = TensorType::new(dtype, ["B", "C"]);
        let labels = TensorType::new(DType::I64, ["B"]);
        let reduction = Reduction::Mean;
        let mean = Composite::Mean { axes: [0, 1].as_slice().into() };
        assert_eq!(mean.body(std::slice::from_ref(&x)).unwrap().result_types(), [TensorType::scalar(dtype)]);
        let variance = Composite::Variance { axes: [1].as_slice().into(), correction: 1 };
        variance.body(std::slice::from_ref(&x)).unwrap();
        Composite::CrossEntropy { reduction, weighted: false }.body(&[x.clone(), labels]).unwrap();
        Composite::Dropout { rate: F64(0.5) }.body(&[x, TensorType::new(DType::U32, [2usize])]).unwrap();
    }
}

#[test]
fn activations_do_not_overflow() {
    let x = f64s(&[5], &[-1000.0, -1.0, 0.0, 1.0, 1000.0]);
    let e = std::f64::consts::E;
    let one = std::slice::from_ref(&x);
    assert_close(&run(Composite::Sigmoid, one), &[0.0, 1.0 / (1.0 + e), 0.5, e / (1.0 + e), 1.0]);
    assert_close(
        &run(Composite::Softplus, one),
        &[0.0, (1.0 + 1.0 / e).ln(), std::f64::consts::LN_2, (1.0 + e).ln(), 1000.0],
    );
    assert_close(&run(Composite::Silu, one), &[0.0, -1.0 / (1.0 + e), 0.0, e / (1.0 + e), 1000.0]);
    assert_close(&run(Composite::LeakyRelu { slope: F64(0.5) }, one), &[-500.0, -0.5, 0.0, 1.0, 1000.0]);
    let nan = f64s(&[3], &[f64::NAN, -2.0, 2.0]);
    assert_close(&run(Composite::Relu, std::slice::from_ref(&nan)), &[f64::NAN, 0.0, 2.0]);
    assert_close(&run(Composite::ReluGrad, &[nan, f64s(&[3], &[1.0, 2.0, 3.0])]), &[0.0, 0.0, 3.0]);
    // Φ(1) to 16 digits.
    let phi = 0.841_344_746_068_542_9;
    assert_close(&run(Composite::Gelu, &[f64s(&[2], &[1.0, -1.0])]), &[phi, phi - 1.0]);
}

#[test]
fn softmax_and_logsumexp_of_infinite_and_large_rows() {
    let inf = f64::INFINITY;
    let x = f64s(&[4, 2], &[1e4, 1e4, 0.0, 3f64.ln(), -inf, -inf, inf, 0.0]);
    let one = std::slice::from_ref(&x);
    let lse = run(Composite::LogSumExp { axes: [1].as_slice().into() }, one);
    assert_close(&lse, &[1e4 + 2f64.ln(), 4f64.ln(), -inf, inf]);
    let softmax = run(Composite::Softmax { axis: 1 }, one);
    assert_close(&softmax, &[0.5, 0.5, 0.25, 0.75, f64::NAN, f64::NAN, f64::NAN, 0.0]);
    let log = run(Composite::LogSoftmax { axis: 1 }, one).to_f64();
    assert_close(&f64s(&[4], &log[..4]), &[0.5f64.ln(), 0.5f64.ln(), 0.25f64.ln(), 0.75f64.ln()]);
    let nothing = run(Composite::LogSumExp { axes: [1].as_slice().into() }, &[f64s(&[1, 0], &[])]);
    assert_close(&nothing, &[-inf]);
}

#[test]
fn statistics_and_linear() {
    let x = f64s(&[2, 2], &[1.0, 2.0, 3.0, 6.0]);
    let one = std::slice::from_ref(&x);
    assert_close(&run(Composite::Mean { axes: [0].as_slice().into() }, one), &[2.0, 4.0]);
    let variance = |correction| Composite::Variance { axes: [0, 1].as_slice().into(), correction };
    assert_close(&run(variance(0), one), &[3.5]);
    assert_close(&run(variance(1), one), &[14.0 / 3.0]);
    let (weight, bias) = (f64s(&[1, 2], &[10.0, 1.0]), f64s(&[1], &[0.5]));
    assert_close(&run(Composite::Linear { bias: true }, &[x, weight, bias]), &[12.5, 36.5]);
    // The sum of these would overflow f16; their mean does not.
    let large = HostTensor::from_f64(DType::F16, &[4], &[60000.0; 4]);
    assert_close(&run(Composite::Mean { axes: [0].as_slice().into() }, &[large]), &[60000.0]);
}

#[test]
fn losses_reduce_and_weigh() {
    let logits = f64s(&[2, 2], &[0.0, 3f64.ln(), 0.0, 0.0]);
    let labels = HostTensor::from_i64(DType::I64, &[2], &[0, 1]);
    let weights = f64s(&[2], &[1.0, 3.0]);
    let (a, b) = (4f64.ln(), 2f64.ln());
    let plain = |reduction| Composite::CrossEntropy { reduction, weighted: false };
    let weighted = |reduction| Composite::CrossEntropy { reduction, weighted: true };
    let two = [logits.clone(), labels.clone()];
    let three = [logits, labels.clone(), weights];
    assert_close(&run(plain(Reduction::None), &two), &[a, b]);
    assert_close(&run(plain(Reduction::Sum), &two), &[a + b]);
    assert_close(&run(plain(Reduction::Mean), &two), &[(a + b) / 2.0]);
    assert_close(&run(weighted(Reduction::None), &three), &[a, 3.0 * b]);
    assert_close(&run(weighted(Reduction::Mean), &three), &[(a + 3.0 * b) / 4.0]);
    let nll = Composite::NegativeLogLikelihood { reduction: Reduction::Sum, weighted: false, log: false };
    assert_close(&run(nll, &[f64s(&[2, 2], &[0.5, 0.5, 0.75, 0.25]), labels]), &[8f64.ln()]);
    let mse = Composite::Mse { reduction: Reduction::Mean };
    assert_close(&run(mse, &[f64s(&[2], &[1.0, 5.0]), f64s(&[2], &[2.0, 2.0])]), &[5.0]);
}

#[test]
fn random_numbers_are_in_range_and_have_the_right_moments() {
    let key = HostTensor::from_i64(DType::U32, &[2], &[7, 9]);
    let n = 4096;
    for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
        let shape = Shape::from([n]);
        let uniform =
            run(Composite::Uniform { dtype, shape: shape.clone() }, std::slice::from_ref(&key)).to_f64();
        assert!(uniform.iter().all(|u| (0.0..1.0).contains(u)), "{dtype}");
        let mean = uniform.iter().sum::<f64>() / n as f64;
        assert!((mean - 0.5).abs() < 0.03, "{dtype}: {mean}");
        let normal = run(Composite::Normal { dtype, shape }, std::slice::from_ref(&key)).to_f64();
        let mean = normal.iter().sum::<f64>() / n as f64;
        let variance = normal.iter().map(|x| x * x).sum::<f64>() / n as f64 - mean * mean;
        assert!(mean.abs() < 0.08 && (variance - 1.0).abs() < 0.12, "{dtype}: {mean} {variance}");
    }
    let x = HostTensor::from_f64(DType::F32, &[n], &vec![3.0; n]);
    let dropped = run(Composite::Dropout { rate: F64(0.25) }, &[x, key]).to_f64();
    assert!(dropped.iter().all(|v| *v == 0.0 || *v == 4.0));
    let kept = dropped.iter().filter(|v| **v != 0.0).count() as f64 / n as f64;
    assert!((kept - 0.75).abs() < 0.04, "{kept}");
}

#[test]
fn normalisation() {
    let x = f64s(&[2, 2], &[1.0, 3.0, -2.0, -2.0]);
    let (weight, bias) = (f64s(&[2], &[2.0, 10.0]), f64s(&[2], &[0.5, 0.0]));
    let op = |eps, weight, bias| Composite::LayerNorm { normalized: 1, eps: F64(eps), weight, bias };
    // Mean 2, variance 1; mean −2, variance 0.
    let r = 1.25f64.sqrt().recip();
    assert_close(&run(op(0.25, false, false), std::slice::from_ref(&x)), &[-r, r, 0.0, 0.0]);
    let operands = [x.clone(), weight.clone(), bias];
    assert_close(&run(op(0.0, true, true), &operands[..]), &[-1.5, 10.0, f64::NAN, f64::NAN]);
    // Far from zero the one-pass formula would lose every digit.
    let far = f64s(&[2], &[1e9 + 1.0, 1e9 - 1.0]);
    assert_close(&run(op(0.0, false, false), &[far]), &[1.0, -1.0]);
    let rms = Composite::RmsNorm { normalized: 1, eps: F64(0.0), weight: true };
    let s = 5f64.sqrt().recip();
    assert_close(&run(rms, &[x, weight]), &[2.0 * s, 30.0 * s, -2.0, -10.0]);
}

#[test]
fn attention_masks_and_groups() {
    let (ln2, ln3) = (2f64.ln(), 3f64.ln());
    let op = |causal, mask| Composite::Attention { causal, mask, scale: F64(0.5) };
    let q = f64s(&[2, 1], &[2.0, 2.0]);
    let (k, v) = (f64s(&[2, 1], &[ln3, 0.0]), f64s(&[2, 1], &[8.0, 4.0]));
    let qkv = [q.clone(), k.clone(), v.clone()];
    assert_close(&run(op(false, false), &qkv), &[7.0, 7.0]);
    assert_close(&run(op(true, false), &qkv), &[8.0, 7.0]);
    let with = |mask: HostTensor| [q.clone(), k.clone(), v.clone(), mask];
    let seen = HostTensor::from_i64(DType::Bool, &[2, 2], &[0, 0, 0, 1]);
    // The first query sees nothing.
    assert_close(&run(op(false, true), &with(seen)), &[0.0, 4.0]);
    let inf = f64::INFINITY;
    let added = f64s(&[2, 2], &[0.0, ln2 + ln3, -inf, -inf]);
    assert_close(&run(op(false, true), &with(added)), &[(8.0 + 2.0 * 4.0) / 3.0, 0.0]);
    // Two query heads to a key-value head are what they would be with the head repeated.
    let grouped = Composite::samples().into_iter().filter_map(|s| match s.op {
        crate::Op::Composite(op @ Composite::Attention { mask: false, .. }) => Some((op, s.inputs)),
        _ => None,
    });
    let mut checked = 0;
    for (op, inputs) in grouped.filter(|(_, inputs)| inputs[0].dims()[..2] == [1, 4]) {
        let repeated = |x: &HostTensor| {
            let [_, _, keys, features] = x.dims()[..] else { panic!("rank 4") };
            let heads: Vec<f64> =
                x.to_f64().chunks(keys * features).flat_map(|head| [head, head].concat()).collect();
            f64s(&[1, 4, keys, features], &heads)
        };
        let plain = [inputs[0].clone(), repeated(&inputs[1]), repeated(&inputs[2])];
        assert_close(&run(op.clone(), &inputs), &run(op, &plain).to_f64());
        checked += 1;
    }
    assert_eq!(checked, 2);
}

#[test]
fn bad_operands_of_layers_are_errors_that_say_so() {
    let error = |op: Composite, types: &[TensorType]| {
        let mut b = Builder::new();
        let params: Vec<Value> = types.iter().map(|t| b.param(t.clone())).collect();
        b.push_multi(op, &params).unwrap_err().to_string()
    };
    let f32s = |dims: &[usize]| TensorType::new(DType::F32, dims);
    let attention = Composite::Attention { causal: false, mask: false, scale: F64(1.0) };
    let heads = error(attention.clone(), &[f32s(&[3, 2, 4]), f32s(&[2, 2, 4]), f32s(&[2, 2, 4])]);
    assert!(heads.contains("leading axes must agree"), "{heads}");
    let ranks = error(attention, &[f32s(&[2, 4]), f32s(&[2, 2, 4]), f32s(&[2, 2, 4])]);
    assert!(ranks.contains("of one rank"), "{ranks}");
    let norm = Composite::LayerNorm { normalized: 1, eps: F64(1e-5), weight: true, bias: false };
    let weight = error(norm, &[f32s(&[2, 4]), f32s(&[2])]);
    assert!(weight.contains("shape of the normalised axes"), "{weight}");
    let ids = error(Composite::Embedding, &[f32s(&[2]), f32s(&[5, 2])]);
    assert!(ids.contains("ids"), "{ids}");
}
