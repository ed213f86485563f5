//! Sample inputs of reductions.

use super::{ArgReduce, Reduce, ReduceKind};
use crate::ops::Sample;
use crate::{DType, HostTensor};

/// Distinct values, so that maxima have no ties; none is zero.
const POINTS: [f64; 12] = [0.5, -1.25, 2.0, 0.75, -0.4, 1.6, -2.2, 0.9, 1.1, -0.7, 0.3, 1.9];

fn points(dims: &[usize]) -> HostTensor {
    HostTensor::from_f64(DType::F64, dims, &POINTS)
}

/// Integers and special floats, with ties.
fn values(dtype: DType) -> HostTensor {
    let floats =
        [0.0, -0.0, 3.5, 3.5, f64::INFINITY, 1.0, f64::NEG_INFINITY, 2.0, f64::NAN, 1.0, -7.0, 1e-310];
    let ints = [0, 1, -1, 7, 7, 200, i32::MAX as i64, i32::MIN as i64, i64::MAX, i64::MIN, 3, 2];
    match dtype.is_float() {
        true => HostTensor::from_f64(dtype, &[6, 2], &floats),
        false => HostTensor::from_i64(dtype, &[6, 2], &ints),
    }
}

fn takes(kind: ReduceKind, dtype: DType) -> bool {
    match kind {
        ReduceKind::Any | ReduceKind::All => dtype == DType::Bool,
        ReduceKind::Sum | ReduceKind::Prod => dtype != DType::Bool,
        ReduceKind::Max | ReduceKind::Min => true,
    }
}

pub(super) fn reduce() -> Vec<Sample> {
    let mut out = Vec::new();
    for kind in ReduceKind::ALL {
        let op = |axes: &[usize]| Reduce { kind, axes: axes.into() };
        if takes(kind, DType::F64) {
            for axes in [&[0][..], &[1], &[2], &[0, 2], &[0, 1, 2], &[]] {
                out.push(Sample::smooth(op(axes), vec![points(&[2, 3, 2])]));
            }
            out.push(Sample::smooth(op(&[]), vec![HostTensor::scalar(DType::F64, 1.5)]));
            // One row longer than any vector register, not a multiple of one.
            let long: Vec<f64> = (0..1003).map(|i| f64::from(i * 37 % 101) / 64.0 - 0.7).collect();
            out.push(Sample::values(op(&[0]), vec![HostTensor::from_f64(DType::F32, &[1003], &long)]));
        }
        if kind == ReduceKind::Prod {
            // Smooth at zeros as well, one or several in a row.
            let zeros = [0.0, 2.0, -1.5, 0.0, 0.0, 3.0, 0.5, 1.5, 2.5, -1.0];
            out.push(Sample::smooth(op(&[1]), vec![HostTensor::from_f64(DType::F64, &[2, 5], &zeros)]));
        }
        for dtype in DType::ALL.into_iter().filter(|d| takes(kind, *d)) {
            for axes in [&[0][..], &[1], &[0, 1]] {
                out.push(Sample::values(op(axes), vec![values(dtype)]));
            }
            let empty = HostTensor::from_f64(dtype, &[0, 3], &[]);
            for axes in [&[0][..], &[1], &[0, 1]] {
                out.push(Sample::values(op(axes), vec![empty.clone()]));
            }
        }
    }
    out
}

pub(super) fn arg_reduce() -> Vec<Sample> {
    let mut out = Vec::new();
    for max in [true, false] {
        for axis in 0..3 {
            out.push(Sample::values(ArgReduce { max, axis }, vec![points(&[2, 3, 2])]));
        }
        for dtype in DType::ALL {
            for axis in 0..2 {
                out.push(Sample::values(ArgReduce { max, axis }, vec![values(dtype)]));
            }
        }
        let empty = HostTensor::from_f64(DType::F32, &[0, 3], &[]);
        out.push(Sample::values(ArgReduce { max, axis: 1 }, vec![empty]));
    }
    out
}
