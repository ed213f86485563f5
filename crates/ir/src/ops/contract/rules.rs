//! Evaluation, rules and samples of `dot`.

use super::super::movement::layout::{indices, strides};
use super::super::movement::rules::shifted;
use super::super::movement::samples::{counted, numbers};
use super::{BatchCx, Dot, EvalCx, EvalError, JvpCx, RuleError, Sample, VjpCx};
use crate::{Axes, Builder, DType, HostTensor, TypeError, Value};

pub(super) fn eval(op: &Dot, cx: &EvalCx<'_>) -> Result<Vec<HostTensor>, EvalError> {
    let (lhs, rhs) = (cx.inputs[0], cx.inputs[1]);
    let dims = cx.out_dims(0);
    HostTensor::zeros(cx.out_dtype(0), &dims)?;
    let (lhs_step, rhs_step) = (strides(lhs.dims()), strides(rhs.dims()));
    let at = |step: &[usize], axes: &[usize], index: &[usize]| -> usize {
        axes.iter().zip(index).map(|(axis, i)| i * step[*axis]).sum()
    };
    let (lhs_free, rhs_free) = (op.lhs_free(lhs.dims().len()), op.rhs_free(rhs.dims().len()));
    let contracted: Vec<usize> = op.lhs_contract.iter().map(|a| lhs.dims()[*a]).collect();
    let inner: Vec<(usize, usize)> = indices(&contracted)
        .map(|k| (at(&lhs_step, &op.lhs_contract, &k), at(&rhs_step, &op.rhs_contract, &k)))
        .collect();
    let origins = indices(&dims).map(|index| {
        let (batch, free) = index.split_at(op.lhs_batch.len());
        let (left, right) = free.split_at(lhs_free.len());
        (
            at(&lhs_step, &op.lhs_batch, batch) + at(&lhs_step, &lhs_free, left),
            at(&rhs_step, &op.rhs_batch, batch) + at(&rhs_step, &rhs_free, right),
        )
    });
    Ok(vec![if cx.out_dtype(0).is_float() {
        let (x, y) = (lhs.to_f64(), rhs.to_f64());
        let sums: Vec<f64> =
            origins.map(|(l, r)| inner.iter().map(|(i, j)| x[l + i] * y[r + j]).sum()).collect();
        HostTensor::from_f64(cx.out_dtype(0), &dims, &sums)
    } else {
        let (x, y) = (lhs.to_i64(), rhs.to_i64());
        let term = |l: usize, r: usize| x[l].wrapping_mul(y[r]);
        let sums: Vec<i64> = origins
            .map(|(l, r)| inner.iter().fold(0i64, |n, (i, j)| n.wrapping_add(term(l + i, r + j))))
            .collect();
        HostTensor::from_i64(cx.out_dtype(0), &dims, &sums)
    }])
}

/// Transposes x, whose axis k is to become axis `to[k]`.
fn place_axes(b: &mut Builder, x: Value, to: &[usize]) -> Result<Value, TypeError> {
    let mut perm: Axes = to.into();
    for (k, axis) in to.iter().enumerate() {
        perm[*axis] = k;
    }
    b.transpose(x, &perm)
}

/// The partner of each of `axes` (ascending) in the pairing `from[i]` ↔ `to[i]`.
fn paired(from: &Axes, to: &Axes) -> Axes {
    let mut pairs: Vec<(usize, usize)> = from.iter().copied().zip(to.iter().copied()).collect();
    pairs.sort_unstable();
    pairs.into_iter().map(|(_, partner)| partner).collect()
}

pub(super) fn vjp(op: &Dot, cx: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
    let Some(g) = cx.cotangents[0] else { return Ok(vec![None, None]) };
    let (lhs, rhs) = (cx.inputs[0], cx.inputs[1]);
    let lhs_free = op.lhs_free(cx.b.ty(lhs).rank());
    let rhs_free = op.rhs_free(cx.b.ty(rhs).rank());
    let batch = op.lhs_batch.len();
    let split = batch + lhs_free.len();
    let g_batch: Axes = (0..batch).collect();
    let g_left: Axes = (batch..split).collect();
    let g_right: Axes = (split..split + rhs_free.len()).collect();
    let mut out = vec![None, None];
    if cx.needs[0] {
        // Axes of the product: batch, lhs_free, then rhs's contracted axes in rhs's order.
        let dims = Dot {
            lhs_batch: g_batch.clone(),
            rhs_batch: op.rhs_batch.clone(),
            lhs_contract: g_right,
            rhs_contract: rhs_free.clone(),
        };
        let product = cx.b.dot(g, rhs, dims)?;
        let to = [&op.lhs_batch[..], &lhs_free, &paired(&op.rhs_contract, &op.lhs_contract)].concat();
        out[0] = Some(place_axes(cx.b, product, &to)?);
    }
    if cx.needs[1] {
        // Axes of the product: batch, lhs's contracted axes in lhs's order, then rhs_free.
        let dims = Dot {
            lhs_batch: op.lhs_batch.clone(),
            rhs_batch: g_batch,
            lhs_contract: lhs_free,
            rhs_contract: g_left,
        };
        let product = cx.b.dot(lhs, g, dims)?;
        let to = [&op.rhs_batch[..], &paired(&op.lhs_contract, &op.rhs_contract), &rhs_free].concat();
        out[1] = Some(place_axes(cx.b, product, &to)?);
    }
    Ok(out)
}

pub(super) fn jvp(op: &Dot, cx: &mut JvpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
    let left = cx.tangents[0].map(|t| cx.b.dot(t, cx.inputs[1], op.clone())).transpose()?;
    let right = cx.tangents[1].map(|t| cx.b.dot(cx.inputs[0], t, op.clone())).transpose()?;
    Ok(vec![match (left, right) {
        (Some(left), Some(right)) => Some(cx.b.add(left, right)?),
        (left, right) => left.or(right),
    }])
}

pub(super) fn batch(op: &Dot, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
    let mut dims = op.clone();
    if cx.batched[0] {
        dims.lhs_batch = shifted(&op.lhs_batch);
        dims.lhs_contract = shifted(&op.lhs_contract);
    }
    if cx.batched[1] {
        dims.rhs_batch = shifted(&op.rhs_batch);
        dims.rhs_contract = shifted(&op.rhs_contract);
    }
    // Where the new axis comes out: with one operand batched it is the first free axis of that operand.
    let axis = match (cx.batched[0], cx.batched[1]) {
        (true, true) => {
            dims.lhs_batch.insert(0, 0);
            dims.rhs_batch.insert(0, 0);
            0
        }
        (true, false) => op.lhs_batch.len(),
        _ => op.lhs_batch.len() + op.lhs_free(cx.input_types[0].rank()).len(),
    };
    let product = cx.b.dot(cx.inputs[0], cx.inputs[1], dims)?;
    Ok(vec![(cx.b.move_axis(product, axis, 0)?, true)])
}

fn dims(batch: [&[usize]; 2], contract: [&[usize]; 2]) -> Dot {
    Dot {
        lhs_batch: batch[0].into(),
        rhs_batch: batch[1].into(),
        lhs_contract: contract[0].into(),
        rhs_contract: contract[1].into(),
    }
}

pub(super) fn samples() -> Vec<Sample> {
    let cases: [(Dot, &[usize], &[usize]); 11] = [
        (Dot::matmul(0), &[2, 3], &[3, 4]),
        (Dot::matmul(1), &[2, 3, 2], &[2, 2, 3]),
        (Dot::matmul(2), &[1, 2, 2, 3], &[1, 2, 3, 1]),
        (dims([&[], &[]], [&[0], &[0]]), &[4], &[4]),
        (dims([&[], &[]], [&[], &[]]), &[2], &[3]),
        (dims([&[], &[]], [&[1], &[1]]), &[2, 3], &[4, 3]),
        (dims([&[2], &[0]], [&[0], &[2]]), &[3, 2, 2], &[2, 4, 3]),
        (dims([&[1, 0], &[0, 2]], [&[2], &[1]]), &[2, 3, 2], &[3, 2, 2]),
        (dims([&[], &[]], [&[2, 0], &[0, 1]]), &[2, 3, 4], &[4, 2, 2]),
        (dims([&[0], &[0]], [&[], &[]]), &[3, 2], &[3]),
        (Dot::matmul(0), &[2, 0], &[0, 3]),
    ];
    let mut out = Vec::new();
    for (op, x, y) in cases {
        for dtype in [DType::U8, DType::I64] {
            out.push(Sample::values(op.clone(), vec![counted(dtype, x), counted(dtype, y)]));
        }
        out.push(Sample::smooth(op, vec![numbers(x, 0), numbers(y, 1)]));
    }
    out.push(Sample::smooth(Dot::matmul(0), vec![numbers(&[0, 2], 0), numbers(&[2, 3], 1)]));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval;
    use proptest::prelude::*;

    fn dot(x: &HostTensor, y: &HostTensor, dims: Dot) -> HostTensor {
        let mut b = Builder::new();
        let (p, q) = (b.param(x.ty()), b.param(y.ty()));
        let out = b.dot(p, q, dims).unwrap();
        eval::region(&b.finish(&[out]), &[x.clone(), y.clone()]).unwrap().remove(0)
    }

    #[test]
    fn integers_wrap_and_half_floats_round_once() {
        let x = HostTensor::from_i64(DType::U8, &[2], &[200, 100]);
        assert_eq!(dot(&x, &x, dims([&[], &[]], [&[0], &[0]])).to_i64(), [(40000 + 10000) % 256]);
        let ones = HostTensor::from_f64(DType::F16, &[4096], &[1.0; 4096]);
        assert_eq!(dot(&ones, &ones, dims([&[], &[]], [&[0], &[0]])).to_f64(), [4096.0]);
    }

    #[test]
    fn nothing_contracted_is_an_outer_product_and_an_empty_sum_is_zero() {
        let (x, y) = (counted(DType::I32, &[2]), counted(DType::I32, &[3]));
        assert_eq!(dot(&x, &y, dims([&[], &[]], [&[], &[]])).to_i64(), [1, 2, 3, 2, 4, 6]);
        let (x, y) = (counted(DType::F32, &[2, 0]), counted(DType::F32, &[0, 1]));
        assert_eq!(dot(&x, &y, Dot::matmul(0)).to_f64(), [0.0, 0.0]);
    }

    #[test]
    fn samples_evaluate() {
        for sample in samples() {
            let crate::Op::Dot(op) = sample.op else { panic!("a dot") };
            dot(&sample.inputs[0], &sample.inputs[1], op);
        }
    }

    proptest! {
        /// einsum("kbi,bjk->bij"), spelt out.
        #[test]
        fn general_dimension_numbers(k in 0usize..4, b in 1usize..3, i in 1usize..4, j in 1usize..4) {
            let (x, y) = (counted(DType::I64, &[k, b, i]), counted(DType::I64, &[b, j, k]));
            let got = dot(&x, &y, dims([&[1], &[0]], [&[0], &[2]]));
            let (x, y) = (x.to_i64(), y.to_i64());
            let mut expected = Vec::new();
            for nb in 0..b {
                for ni in 0..i {
                    for nj in 0..j {
                        expected.push((0..k).map(|nk| x[(nk * b + nb) * i + ni] * y[(nb * j + nj) * k + nk]).sum());
                    }
                }
            }
            prop_assert_eq!(got, HostTensor::from_i64(DType::I64, &[b, i, j], &expected));
        }
    }
}
