//! The rules of elementwise ops and reductions against the interpreter: derivatives (first and second) against finite
//! differences, reverse against forward mode, batches against single lanes.

use crate::ops::{
    ArgReduce, BatchCx, Binary, Cast, Compare, Family, JvpCx, JvpRegion, Op, Random, Reduce,
    RegionTransforms, RuleError, Sample, Ternary, Unary, VjpCx, VjpRegions,
};
use crate::{Builder, DType, Dim, HostTensor, Region, Value, eval};
use std::sync::Arc;

/// The ops tested here own no regions and never ask.
struct NoRegions;

impl RegionTransforms for NoRegions {
    fn vjp(&self, _: &Arc<Region>, _: &[bool], _: &[bool], _: &[bool]) -> Result<Arc<VjpRegions>, RuleError> {
        unreachable!()
    }
    fn vjp_inline(
        &self,
        _: &mut Builder,
        _: &Region,
        _: &[Value],
        _: &[Option<Value>],
        _: &[bool],
    ) -> Result<Vec<Option<Value>>, RuleError> {
        unreachable!()
    }
    fn jvp(&self, _: &Arc<Region>, _: &[bool], _: &[bool]) -> Result<Arc<JvpRegion>, RuleError> {
        unreachable!()
    }
    fn jvp_inline(
        &self,
        _: &mut Builder,
        _: &Region,
        _: &[Value],
        _: &[Option<Value>],
    ) -> Result<Vec<Option<Value>>, RuleError> {
        unreachable!()
    }
    fn batch(
        &self,
        _: &Arc<Region>,
        _: &[bool],
        _: &[bool],
        _: &Dim,
    ) -> Result<(Arc<Region>, Vec<bool>), RuleError> {
        unreachable!()
    }
    fn batch_inline(
        &self,
        _: &mut Builder,
        _: &Region,
        _: &[Value],
        _: &[bool],
        _: &Dim,
    ) -> Result<Vec<(Value, bool)>, RuleError> {
        unreachable!()
    }
}

fn differentiable_samples() -> Vec<Sample> {
    [Unary::samples(), Binary::samples(), Ternary::samples(), Cast::samples(), Reduce::samples()]
        .concat()
        .into_iter()
        .filter(|s| !s.smooth.is_empty())
        .collect()
}

fn region_of(op: &Op, inputs: &[HostTensor]) -> Region {
    let mut b = Builder::new();
    let params: Vec<Value> = inputs.iter().map(|t| b.param(t.ty())).collect();
    let out = b.push(op.clone(), &params).expect("a sample is well typed");
    b.finish(&[out])
}

/// Parameters, then a tangent for each float parameter → the tangent of the only result.
fn forward(region: &Region) -> Region {
    let mut b = Builder::new();
    let mut values: Vec<Value> = region.param_types().iter().map(|t| b.param(t.clone())).collect();
    let mut tangents: Vec<Option<Value>> =
        region.param_types().iter().map(|t| t.dtype.is_float().then(|| b.param(t.clone()))).collect();
    for node in region.nodes() {
        let inputs: Vec<Value> = node.inputs.iter().map(|v| values[v.index()]).collect();
        let t: Vec<Option<Value>> = node.inputs.iter().map(|v| tangents[v.index()]).collect();
        let outputs = b.push_multi(node.op.clone(), &inputs).expect("well typed");
        tangents.extend(if t.iter().any(Option::is_some) {
            let mut cx =
                JvpCx { b: &mut b, inputs: &inputs, outputs: &outputs, tangents: &t, regions: &NoRegions };
            node.op.jvp(&mut cx).expect("has a derivative")
        } else {
            vec![None; outputs.len()]
        });
        values.extend(outputs);
    }
    let result = region.results()[0];
    let tangent = match tangents[result.index()] {
        Some(t) => t,
        None => b.full(&region.ty(result).clone(), 0.0).expect("well typed"),
    };
    b.finish(&[tangent])
}

fn run(region: &Region, args: &[HostTensor]) -> Vec<f64> {
    eval::region(region, args).expect("evaluates")[0].to_f64()
}

/// Reproducible directions in [−1, 1].
fn direction(like: &HostTensor, seed: usize) -> HostTensor {
    let values: Vec<f64> = (0..like.len()).map(|i| ((i + seed) as f64 * 2.399).sin()).collect();
    HostTensor::from_f64(like.dtype(), like.dims(), &values)
}

fn shifted(inputs: &[HostTensor], directions: &[HostTensor], h: f64) -> Vec<HostTensor> {
    let mut along = directions.iter();
    let mut shift = |x: &HostTensor| {
        if !x.dtype().is_float() {
            return x.clone();
        }
        let d = along.next().expect("a direction for each float operand").to_f64();
        let moved: Vec<f64> = x.to_f64().iter().zip(d).map(|(x, d)| x + h * d).collect();
        HostTensor::from_f64(DType::F64, x.dims(), &moved)
    };
    inputs.iter().map(&mut shift).collect()
}

fn assert_close(what: &str, got: &[f64], expected: &[f64]) {
    let scale = expected.iter().fold(1.0f64, |m, v| m.max(v.abs()));
    for (g, e) in got.iter().zip(expected) {
        assert!((g - e).abs() <= 1e-7 * scale, "{what}: {got:?}, expected {expected:?}");
    }
}

fn directions(inputs: &[HostTensor], seed: usize) -> Vec<HostTensor> {
    inputs
        .iter()
        .filter(|x| x.dtype().is_float())
        .enumerate()
        .map(|(i, x)| direction(x, seed + 17 * i))
        .collect()
}

/// Compares the derivative of `region` along a direction with a central difference.
fn check_forward(what: &str, region: &Region, inputs: &[HostTensor], seed: usize) {
    let h = 1e-5;
    let along = directions(inputs, seed);
    let got = run(&forward(region), &[inputs, &along[..]].concat());
    let (up, down) = (run(region, &shifted(inputs, &along, h)), run(region, &shifted(inputs, &along, -h)));
    let expected: Vec<f64> = up.iter().zip(down).map(|(u, d)| (u - d) / (2.0 * h)).collect();
    assert_close(what, &got, &expected);
}

#[test]
fn first_and_second_derivatives_are_those_of_finite_differences() {
    for sample in differentiable_samples() {
        let region = region_of(&sample.op, &sample.inputs);
        check_forward(&format!("{:?}", sample.op), &region, &sample.inputs, 1);
        // The derivative along a fixed direction is a function itself; differentiate it in all of its arguments.
        let slope = forward(&region);
        let args = [&sample.inputs[..], &directions(&sample.inputs, 5)].concat();
        check_forward(&format!("second derivative of {:?}", sample.op), &slope, &args, 9);
    }
}

fn reverse(op: &Op, inputs: &[HostTensor], cotangent: &HostTensor) -> Vec<Vec<f64>> {
    let mut b = Builder::new();
    let params: Vec<Value> = inputs.iter().map(|t| b.param(t.ty())).collect();
    let ct = b.param(cotangent.ty());
    let out = b.push(op.clone(), &params).expect("well typed");
    let mut cx = VjpCx {
        b: &mut b,
        inputs: &params,
        outputs: &[out],
        cotangents: &[Some(ct)],
        needs: &vec![true; inputs.len()],
        saved: &[],
        regions: &NoRegions,
    };
    let gradients = op.vjp(&mut cx).expect("has a derivative");
    assert_eq!(gradients.len(), inputs.len());
    let results: Vec<Value> = gradients.iter().copied().flatten().collect();
    let region = b.finish(&results);
    let args = [inputs, std::slice::from_ref(cotangent)].concat();
    let mut values = eval::region(&region, &args).expect("evaluates").into_iter();
    let zeros = |x: &HostTensor| vec![0.0; x.len()];
    gradients
        .iter()
        .zip(inputs)
        .map(|(g, x)| match g {
            Some(_) => {
                let value = values.next().expect("one a gradient");
                assert_eq!(value.ty(), x.ty(), "{op:?}");
                value.to_f64()
            }
            None => zeros(x),
        })
        .collect()
}

#[test]
fn reverse_is_the_transpose_of_forward() {
    for sample in differentiable_samples() {
        let region = region_of(&sample.op, &sample.inputs);
        let along = directions(&sample.inputs, 3);
        let tangent = run(&forward(&region), &[&sample.inputs[..], &along].concat());
        let out = eval::region(&region, &sample.inputs).expect("evaluates").remove(0);
        let ct = direction(&out, 11);
        let left: f64 = tangent.iter().zip(ct.to_f64()).map(|(a, b)| a * b).sum();
        let gradients = reverse(&sample.op, &sample.inputs, &ct);
        let floats = sample.inputs.iter().zip(&gradients).filter(|(x, _)| x.dtype().is_float());
        let right: f64 = floats
            .zip(&along)
            .map(|((_, g), d)| g.iter().zip(d.to_f64()).map(|(a, b)| a * b).sum::<f64>())
            .sum();
        assert!((left - right).abs() <= 1e-12 * (1.0 + left.abs()), "{:?}: {left} {right}", sample.op);
    }
}

fn gradients(op: impl Into<Op>, inputs: &[&[f64]], out: usize) -> Vec<Vec<f64>> {
    let inputs: Vec<HostTensor> =
        inputs.iter().map(|v| HostTensor::from_f64(DType::F64, &[v.len()], v)).collect();
    let dims: &[usize] = if out == 0 { &[] } else { &[out] };
    let ones = HostTensor::from_f64(DType::F64, dims, &vec![1.0; out.max(1)]);
    reverse(&op.into(), &inputs, &ones)
}

#[test]
fn gradients_at_kinks_and_corners() {
    assert_eq!(gradients(Binary::Max, &[&[1.0, 2.0], &[1.0, 3.0]], 2), [[0.5, 0.0], [0.5, 1.0]]);
    assert_eq!(gradients(Binary::Min, &[&[1.0, 2.0], &[1.0, 3.0]], 2), [[0.5, 1.0], [0.5, 0.0]]);
    let pow = gradients(Binary::Pow, &[&[0.0, 0.0, 0.0, -2.0], &[0.0, 1.0, 2.0, 3.0]], 4);
    assert_eq!(pow[0], [0.0, 1.0, 0.0, 12.0]);
    assert_eq!(pow[1][..3], [0.0; 3]);
    assert_eq!(gradients(Unary::Abs, &[&[0.0, -2.0]], 2), [[0.0, -1.0]]);
    let clamp = gradients(Ternary::Clamp, &[&[0.0, 0.0, 0.0, 2.0], &[0.0, 1.0, 2.0, 9.0], &[1.0; 4]], 4);
    assert_eq!(clamp, [[0.0; 4], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]);
    let axes = crate::Axes::from_slice(&[0]);
    let max = Reduce { kind: crate::ops::ReduceKind::Max, axes: axes.clone() };
    assert_eq!(gradients(max, &[&[3.0, 1.0, 3.0, 3.0]], 0), [[1.0 / 3.0, 0.0, 1.0 / 3.0, 1.0 / 3.0]]);
    let prod = Reduce { kind: crate::ops::ReduceKind::Prod, axes };
    assert_eq!(gradients(prod.clone(), &[&[2.0, 0.0, 5.0]], 0), [[0.0, 10.0, 0.0]]);
    assert_eq!(gradients(prod, &[&[7.0]], 0), [[1.0]]);
    assert_eq!(gradients(Unary::StopGradient, &[&[7.0]], 1), [[0.0]]);
}

#[test]
fn a_product_over_a_symbolic_axis_asks_for_a_size() {
    let mut b = Builder::new();
    let x = b.param(crate::TensorType::new(DType::F32, [Dim::symbol("N")]));
    let op: Op = Reduce { kind: crate::ops::ReduceKind::Prod, axes: crate::Axes::from_slice(&[0]) }.into();
    let out = b.push(op.clone(), &[x]).expect("well typed");
    let mut cx =
        JvpCx { b: &mut b, inputs: &[x], outputs: &[out], tangents: &[Some(x)], regions: &NoRegions };
    assert!(matches!(op.jvp(&mut cx), Err(RuleError::NotDifferentiable { mode: "forward", .. })));
}

/// The tensor with its elements moved by one place: another value of the same type.
fn rotated(x: &HostTensor) -> HostTensor {
    let mut bytes = x.as_bytes().to_vec();
    let size = x.dtype().size().min(bytes.len());
    bytes.rotate_left(size);
    HostTensor::from_bytes(x.dtype(), x.dims(), &bytes).expect("as many bytes")
}

#[test]
fn a_batch_is_its_lanes() {
    let all = [Unary::samples(), Binary::samples(), Compare::samples(), Ternary::samples(), Cast::samples()]
        .concat();
    let rest = [Reduce::samples(), ArgReduce::samples(), Random::samples()].concat();
    for Sample { op, inputs, .. } in all.into_iter().chain(rest) {
        let lanes: Vec<Vec<HostTensor>> = vec![inputs.clone(), inputs.iter().map(rotated).collect()];
        for mask in 1..1usize << inputs.len() {
            let batched: Vec<bool> = (0..inputs.len()).map(|i| mask >> i & 1 == 1).collect();
            check_batch(&op, &lanes, &batched);
        }
    }
}

fn check_batch(op: &Op, lanes: &[Vec<HostTensor>], batched: &[bool]) {
    let pick = |lane: usize, i: usize| &lanes[if batched[i] { lane } else { 0 }][i];
    let args: Vec<HostTensor> = (0..batched.len())
        .map(|i| match batched[i] {
            false => pick(0, i).clone(),
            true => {
                let dims = [&[2], pick(0, i).dims()].concat();
                let bytes = [pick(0, i).as_bytes(), pick(1, i).as_bytes()].concat();
                HostTensor::from_bytes(pick(0, i).dtype(), &dims, &bytes).expect("two lanes")
            }
        })
        .collect();
    let single = region_of(op, &lanes[0]);
    let types = [single.param_types().to_vec(), vec![single.ty(single.results()[0]).clone()]];
    let mut b = Builder::new();
    let params: Vec<Value> = args.iter().map(|t| b.param(t.ty())).collect();
    let mut cx = BatchCx {
        b: &mut b,
        input_types: &types[0],
        output_types: &types[1],
        inputs: &params,
        batched,
        size: &Dim::Const(2),
        regions: &NoRegions,
    };
    let (out, has_axis) = op.batch(&mut cx).expect("batches")[0];
    assert!(has_axis);
    let got = eval::region(&b.finish(&[out]), &args).expect("evaluates").remove(0);
    let mut expected = Vec::new();
    for lane in 0..2 {
        let inputs: Vec<HostTensor> = (0..batched.len()).map(|i| pick(lane, i).clone()).collect();
        expected.extend_from_slice(eval::region(&single, &inputs).expect("evaluates")[0].as_bytes());
    }
    assert_eq!(got.dims()[0], 2, "{op:?}");
    assert_eq!(got.as_bytes(), expected, "{op:?} {batched:?}");
}
