//! Holding results to the reference.

use crate::{Scale, Tolerance};
use std::fmt;
use wootz_ir::{DType, HostTensor, TensorType};

/// The first way in which a tensor differs from the reference.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// Another type.
    Type {
        /// What the reference has.
        expected: Box<TensorType>,
        /// What came out.
        got: Box<TensorType>,
    },
    /// The element that is furthest off.
    Value {
        /// Its position in row-major order.
        at: usize,
        /// The reference's.
        expected: f64,
        /// What came out.
        got: f64,
        /// The largest difference that would have passed.
        allowed: f64,
        /// How many elements are off.
        count: usize,
        /// Of how many.
        of: usize,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Type { expected, got } => write!(f, "it is {got}, the reference {expected}"),
            Difference::Value { at, expected, got, allowed, count, of } => write!(
                f,
                "element {at} is {got:e}, the reference {expected:e} (off by {:.3e}, allowed {allowed:.3e}; {count} of \
                 {of} elements are off)",
                (got - expected).abs()
            ),
        }
    }
}

/// Compares a result with the reference. NaN must meet NaN and infinities their equals; zeros may differ in sign.
pub(crate) fn compare(
    expected: &HostTensor,
    got: &HostTensor,
    tolerance: &Tolerance,
) -> Result<(), Difference> {
    if expected.ty() != got.ty() {
        return Err(Difference::Type { expected: Box::new(expected.ty()), got: Box::new(got.ty()) });
    }
    if expected.as_bytes() == got.as_bytes() {
        return Ok(());
    }
    let (dtype, of) = (expected.dtype(), expected.len());
    let (want, have) = (expected.to_f64(), got.to_f64());
    let largest = want.iter().filter(|v| v.is_finite()).fold(1.0f64, |m, v| m.max(v.abs()));
    let relative = tolerance.relative(dtype);
    let allowed = |want: f64| match tolerance.scale {
        Scale::Element => relative * want.abs() + smallest(dtype),
        Scale::Tensor => relative * largest,
    };
    let (mut worst, mut worst_excess, mut count) = (None, -1.0, 0);
    for (i, (w, h)) in want.iter().zip(&have).enumerate() {
        let same = w == h || (w.is_nan() && h.is_nan());
        // Not `>`: a NaN on one side only is off by more than anything.
        let fits = (h - w).abs() <= allowed(*w);
        if same && dtype != DType::I64 || fits && dtype.is_float() {
            continue;
        }
        if dtype == DType::I64 && expected.as_slice::<i64>()[i] == got.as_slice::<i64>()[i] {
            continue;
        }
        count += 1;
        let excess = (h - w).abs() / allowed(*w);
        let excess = if excess.is_nan() { f64::INFINITY } else { excess };
        if excess > worst_excess {
            (worst, worst_excess) = (Some(i), excess);
        }
    }
    match worst {
        None => Ok(()),
        Some(at) => Err(Difference::Value {
            at,
            expected: want[at],
            got: have[at],
            allowed: allowed(want[at]),
            count,
            of,
        }),
    }
}

/// What an underflow may cost: results below the smallest normal number have fewer digits.
fn smallest(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::MIN_POSITIVE,
        DType::F32 | DType::BF16 => f64::from(f32::MIN_POSITIVE),
        DType::F16 => 2f64.powi(-24),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dtype: DType, expected: &[f64], got: &[f64], tolerance: Tolerance) -> bool {
        let tensor = |v: &[f64]| HostTensor::from_f64(dtype, &[v.len()], v);
        compare(&tensor(expected), &tensor(got), &tolerance).is_ok()
    }

    #[test]
    fn the_scale_decides_what_is_close() {
        assert!(check(DType::F32, &[1.0, 100.0], &[1.000_005, 100.0], Tolerance::ELEMENT));
        assert!(!check(DType::F32, &[1.0, 100.0], &[1.000_05, 100.0], Tolerance::ELEMENT));
        assert!(check(DType::F32, &[1.0, 100.0], &[1.000_05, 100.0], Tolerance::TENSOR));
        assert!(!check(DType::F64, &[1.0], &[1.0 + 1e-11], Tolerance::TENSOR));
        assert!(!check(DType::F64, &[1e-30], &[1.1e-30], Tolerance::ELEMENT));
    }

    #[test]
    fn nans_and_infinities_meet_their_equals() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        assert!(check(DType::F64, &[nan, inf, 0.0], &[nan, inf, -0.0], Tolerance::ELEMENT));
        for (expected, got) in [(nan, 1.0), (1.0, nan), (inf, -inf), (inf, 1e300), (1.0, inf)] {
            assert!(!check(DType::F64, &[expected, 2.0], &[got, 2.0], Tolerance::TENSOR), "{expected} {got}");
        }
    }

    #[test]
    fn integers_are_exact_beyond_what_a_float_holds() {
        let tensor = |v: i64| HostTensor::from_i64(DType::I64, &[1], &[v]);
        let (a, b) = (tensor(i64::MAX), tensor(i64::MAX - 1));
        assert!(compare(&a, &a.clone(), &Tolerance::TENSOR).is_ok());
        assert!(matches!(compare(&a, &b, &Tolerance::TENSOR), Err(Difference::Value { count: 1, .. })));
        let types = compare(&a, &HostTensor::from_i64(DType::I32, &[1], &[1]), &Tolerance::TENSOR);
        assert!(matches!(types, Err(Difference::Type { .. })));
    }
}
