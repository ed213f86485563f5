//! Sample inputs of binary ops and comparisons.

use super::{Binary, Compare};
use crate::ops::{Op, Sample};
use crate::{DType, HostTensor};

const FLOATS: [DType; 4] = [DType::F16, DType::BF16, DType::F32, DType::F64];
const INTS: [DType; 4] = [DType::U8, DType::U32, DType::I32, DType::I64];

/// Every pair of these is a sample.
const SPECIAL: [f64; 10] = [0.0, -0.0, 1.0, -1.5, 2.0, -3.0, 7.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
const INTEGERS: [i64; 10] = [0, 1, -1, 2, 7, -7, 33, i32::MIN as i64, i64::MIN, i64::MAX];

pub(super) fn binary() -> Vec<Sample> {
    let mut out = Vec::new();
    for op in Binary::ALL {
        let bits = matches!(op, Binary::And | Binary::Or | Binary::Xor);
        let shift = matches!(op, Binary::Shl | Binary::Shr);
        if !bits && !shift {
            let [x, y] = smooth(op);
            let of = |values: [f64; 6]| HostTensor::from_f64(DType::F64, &[2, 3], &values);
            out.push(Sample::smooth(op, vec![of(x), of(y)]));
            out.push(Sample::smooth(op, [x[1], y[1]].map(|v| HostTensor::scalar(DType::F64, v)).into()));
            values(&mut out, op.into(), &FLOATS);
        }
        if op != Binary::Atan2 {
            values(&mut out, op.into(), &INTS);
        }
        if bits || matches!(op, Binary::Min | Binary::Max) {
            values(&mut out, op.into(), &[DType::Bool]);
        }
    }
    out
}

pub(super) fn compare() -> Vec<Sample> {
    let mut out = Vec::new();
    for op in Compare::ALL {
        values(&mut out, op.into(), &DType::ALL);
    }
    out
}

/// Every pair of special values in each dtype, and an empty tensor.
fn values(out: &mut Vec<Sample>, op: Op, dtypes: &[DType]) {
    for dtype in dtypes {
        let pair = |f: &dyn Fn(usize) -> usize| match dtype.is_float() {
            true => {
                HostTensor::from_f64(*dtype, &[10, 10], &(0..100).map(|i| SPECIAL[f(i)]).collect::<Vec<_>>())
            }
            false => {
                HostTensor::from_i64(*dtype, &[10, 10], &(0..100).map(|i| INTEGERS[f(i)]).collect::<Vec<_>>())
            }
        };
        out.push(Sample::values(op.clone(), vec![pair(&|i| i / 10), pair(&|i| i % 10)]));
    }
    let empty = HostTensor::from_f64(dtypes[0], &[2, 0], &[]);
    out.push(Sample::values(op, vec![empty.clone(), empty]));
}

/// Six pairs inside the op's domain, away from kinks and jumps.
fn smooth(op: Binary) -> [[f64; 6]; 2] {
    match op {
        Binary::Pow => [[0.4, 1.3, 2.5, 0.7, 3.0, 1.0], [1.5, -2.0, 0.3, 4.0, 0.0, 2.5]],
        Binary::Rem | Binary::FloorDiv => {
            [[5.3, -5.3, 7.1, -7.1, 0.4, 9.7], [2.0, 2.0, -1.6, -1.6, 3.0, 0.7]]
        }
        _ => [[0.7, -1.4, 2.1, -0.3, 3.2, 0.9], [1.5, 0.6, -1.1, -2.2, 0.8, -0.4]],
    }
}
