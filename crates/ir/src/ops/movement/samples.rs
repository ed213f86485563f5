//! Samples of movement ops.

use super::Movement;
use crate::ops::Sample;
use crate::{DType, HostTensor, Shape};

/// Distinct, irregular numbers around zero.
pub(in crate::ops) fn numbers(dims: &[usize], seed: u32) -> HostTensor {
    let count: usize = dims.iter().product();
    let values: Vec<f64> =
        (0..count).map(|i| (0.7 + 1.3 * i as f64 + 0.37 * f64::from(seed)).sin() * 1.5).collect();
    HostTensor::from_f64(DType::F64, dims, &values)
}

/// Consecutive integers of a dtype (bool: alternating).
pub(in crate::ops) fn counted(dtype: DType, dims: &[usize]) -> HostTensor {
    let count: usize = dims.iter().product();
    let values: Vec<i64> =
        (0..count as i64).map(|i| if dtype == DType::Bool { i % 2 } else { i + 1 }).collect();
    HostTensor::from_i64(dtype, dims, &values)
}

fn slice(start: &[usize], stop: &[usize], step: &[usize]) -> Movement {
    Movement::Slice { start: start.into(), stop: stop.into(), step: step.into() }
}

fn pad(low: &[i64], high: &[i64], interior: &[usize]) -> Movement {
    Movement::Pad { low: low.into(), high: high.into(), interior: interior.into() }
}

fn reshape(shape: &[usize]) -> Movement {
    Movement::Reshape { shape: shape.into() }
}

fn broadcast(shape: &[usize], axes: &[usize]) -> Movement {
    Movement::Broadcast { shape: Shape::from(shape), axes: axes.into() }
}

pub(super) fn samples() -> Vec<Sample> {
    let one: [(Movement, &[usize]); 20] = [
        (reshape(&[6]), &[2, 3]),
        (reshape(&[3, 1, 2, 2]), &[4, 3]),
        (reshape(&[]), &[1, 1]),
        (reshape(&[0, 5]), &[3, 0]),
        (Movement::Transpose { perm: [1, 0].as_slice().into() }, &[2, 3]),
        (Movement::Transpose { perm: [2, 0, 3, 1].as_slice().into() }, &[2, 3, 1, 4]),
        (Movement::Transpose { perm: [1, 0].as_slice().into() }, &[0, 3]),
        (broadcast(&[2, 3], &[1]), &[3]),
        (broadcast(&[2, 3, 4, 2], &[0, 2]), &[2, 4]),
        (broadcast(&[3], &[]), &[]),
        (broadcast(&[0, 3], &[1]), &[3]),
        (slice(&[1], &[4], &[1]), &[5]),
        (slice(&[0, 1], &[3, 6], &[2, 3]), &[4, 6]),
        (slice(&[1, 0, 2], &[2, 3, 4], &[1, 2, 1]), &[2, 3, 4]),
        (slice(&[2, 0], &[2, 3], &[1, 2]), &[4, 3]),
        (slice(&[0], &[5], &[2]), &[6]),
        (Movement::Reverse { axes: [0].as_slice().into() }, &[4]),
        (Movement::Reverse { axes: [0, 2].as_slice().into() }, &[2, 3, 4]),
        (Movement::Reverse { axes: [].as_slice().into() }, &[2]),
        (Movement::Reverse { axes: [1].as_slice().into() }, &[2, 0]),
    ];
    let pads: [(Movement, &[usize]); 7] = [
        (pad(&[1], &[2], &[0]), &[3]),
        (pad(&[0, 1], &[2, 0], &[1, 0]), &[2, 3]),
        (pad(&[-1], &[-1], &[0]), &[5]),
        (pad(&[-1, 2], &[1, -2], &[2, 1]), &[3, 4]),
        (pad(&[-1, 0, 1], &[0, 0, -1], &[0, 1, 0]), &[2, 2, 3]),
        (pad(&[1], &[1], &[3]), &[0]),
        (pad(&[], &[], &[]), &[]),
    ];
    let concat: [(usize, &[&[usize]]); 5] = [
        (0, &[&[2], &[3]]),
        (1, &[&[2, 1], &[2, 3], &[2, 2]]),
        (2, &[&[1, 2, 2], &[1, 2, 0], &[1, 2, 1]]),
        (0, &[&[2, 2]]),
        (1, &[&[0, 1], &[0, 2]]),
    ];
    let mut out = Vec::new();
    for (op, dims) in one {
        for dtype in [DType::Bool, DType::U8, DType::I64] {
            out.push(Sample::values(op.clone(), vec![counted(dtype, dims)]));
        }
        out.push(Sample::smooth(op, vec![numbers(dims, 0)]));
    }
    for (op, dims) in pads {
        for dtype in [DType::Bool, DType::I32] {
            out.push(Sample::values(op.clone(), vec![counted(dtype, dims), counted(dtype, &[])]));
        }
        out.push(Sample::smooth(op, vec![numbers(dims, 0), numbers(&[], 1)]));
    }
    for (axis, parts) in concat {
        let op = Movement::Concat { axis };
        out.push(Sample::values(op.clone(), parts.iter().map(|d| counted(DType::U32, d)).collect()));
        let floats = parts.iter().zip(0..).map(|(d, i)| numbers(d, i)).collect();
        out.push(Sample::smooth(op, floats));
    }
    out
}
