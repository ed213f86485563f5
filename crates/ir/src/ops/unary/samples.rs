//! Sample inputs of unary ops and casts.

use super::{Cast, Unary};
use crate::ops::Sample;
use crate::{DType, HostTensor};

const FLOATS: [DType; 4] = [DType::F16, DType::BF16, DType::F32, DType::F64];
const INTS: [DType; 4] = [DType::U8, DType::U32, DType::I32, DType::I64];

/// Points where rounding, overflow, signs and NaN show.
const SPECIAL: [f64; 20] = [
    0.0,
    -0.0,
    0.5,
    -0.5,
    1.0,
    -1.0,
    1.5,
    2.5,
    -2.5,
    -3.0,
    7.25,
    -7.25,
    60.0,
    -60.0,
    1e-40,
    -1e-310,
    5e4,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

pub(super) fn unary() -> Vec<Sample> {
    let mut out = Vec::new();
    for op in Unary::ALL.into_iter().chain([Unary::Polygamma(2), Unary::Polygamma(5)]) {
        let takes_floats = op != Unary::Not;
        if takes_floats {
            let points = smooth(op);
            // `stop_gradient` is the identity whose derivative is zero by decree: differences cannot check it.
            let smooth = !matches!(op, Unary::StopGradient | Unary::IsNan | Unary::IsFinite);
            let sample = if smooth { Sample::smooth } else { Sample::values };
            out.push(sample(op, vec![HostTensor::from_f64(DType::F64, &[2, 3], &points)]));
            out.push(sample(op, vec![HostTensor::scalar(DType::F64, points[0])]));
            for dtype in FLOATS {
                out.push(Sample::values(op, vec![HostTensor::from_f64(dtype, &[4, 5], &SPECIAL)]));
            }
            out.push(Sample::values(op, vec![HostTensor::from_f64(DType::F32, &[0, 3], &[])]));
        }
        for dtype in int_dtypes(op) {
            out.push(Sample::values(op, vec![integers(dtype)]));
        }
        if matches!(op, Unary::Not | Unary::StopGradient) {
            out.push(Sample::values(op, vec![HostTensor::from_i64(DType::Bool, &[2], &[0, 1])]));
        }
    }
    out
}

pub(super) fn cast() -> Vec<Sample> {
    let mut out = Vec::new();
    let edges: Vec<f64> = SPECIAL
        .into_iter()
        .chain([255.5, 256.0, -1.5, 4294967295.5, 1e19, -1e19, 65519.9, 65520.0])
        .collect();
    for to in DType::ALL {
        for from in FLOATS {
            out.push(Sample::values(Cast { dtype: to }, vec![HostTensor::from_f64(from, &[7, 4], &edges)]));
        }
        for from in INTS {
            out.push(Sample::values(Cast { dtype: to }, vec![integers(from)]));
        }
        out.push(Sample::values(Cast { dtype: to }, vec![HostTensor::from_i64(DType::Bool, &[2], &[1, 0])]));
    }
    let x = HostTensor::from_f64(DType::F64, &[3], &[0.5, -1.25, 3.0]);
    out.push(Sample::smooth(Cast { dtype: DType::F64 }, vec![x]));
    out
}

fn int_dtypes(op: Unary) -> Vec<DType> {
    match op {
        Unary::Neg | Unary::Sign => vec![DType::I32, DType::I64],
        Unary::Abs | Unary::Not | Unary::StopGradient => INTS.to_vec(),
        _ => Vec::new(),
    }
}

fn integers(dtype: DType) -> HostTensor {
    let (min32, min64) = (i64::from(i32::MIN), i64::MIN);
    HostTensor::from_i64(dtype, &[2, 5], &[0, 1, -1, 7, 200, min32, !min32, min64, !min64, 0x1234_5678_9abc])
}

/// Six points inside the op's domain, away from kinks, jumps and poles.
fn smooth(op: Unary) -> [f64; 6] {
    match op {
        Unary::Log | Unary::Sqrt | Unary::Rsqrt => [0.3, 0.9, 1.4, 2.5, 7.0, 40.0],
        Unary::Log1p => [-0.7, -0.1, 0.2, 0.9, 3.0, 25.0],
        Unary::Erfinv => [-0.9, -0.4, 0.05, 0.3, 0.6, 0.95],
        Unary::Lgamma | Unary::Digamma | Unary::Polygamma(_) => [0.4, 0.8, 1.7, 3.2, 9.5, 25.0],
        Unary::Tan => [-1.1, -0.4, 0.2, 0.7, 1.2, 2.4],
        _ => [-2.3, -0.8, -0.15, 0.35, 1.2, 2.6],
    }
}
