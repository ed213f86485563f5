use super::*;
use crate::eval;
use proptest::prelude::*;

fn run(op: impl Into<crate::Op>, x: HostTensor, y: HostTensor) -> HostTensor {
    let mut b = Builder::new();
    let (px, py) = (b.param(x.ty()), b.param(y.ty()));
    let out = b.push(op, &[px, py]).expect("well typed");
    eval::region(&b.finish(&[out]), &[x, y]).expect("evaluates").remove(0)
}

fn int(op: Binary, dtype: DType, x: i64, y: i64) -> i64 {
    let scalar = |v| HostTensor::from_i64(dtype, &[], &[v]);
    run(op, scalar(x), scalar(y)).to_i64()[0]
}

fn float(op: Binary, x: f64, y: f64) -> f64 {
    run(op, HostTensor::scalar(DType::F64, x), HostTensor::scalar(DType::F64, y)).to_f64()[0]
}

#[test]
fn integer_edges() {
    use Binary::*;
    use DType::{I32, I64, U8, U32};
    let (min, umax) = (i64::from(i32::MIN), i64::from(u32::MAX));
    let table = [
        (Add, U8, 200, 100, 44),
        (Sub, U32, 0, 1, umax),
        (Mul, I32, 1 << 20, 1 << 12, 0),
        (Mul, I64, i64::MAX, 2, -2),
        (Div, I32, min, -1, min),
        (Div, I64, i64::MIN, -1, i64::MIN),
        (Div, I32, -7, 2, -3),
        (Div, I32, 5, 0, 0),
        (Div, U32, umax, 2, umax / 2),
        (Rem, I32, -7, 2, -1),
        (Rem, I64, i64::MIN, -1, 0),
        (Rem, I32, 5, 0, 0),
        (FloorDiv, I32, -7, 2, -4),
        (FloorDiv, I32, 7, -2, -4),
        (FloorDiv, I32, -6, 2, -3),
        (FloorDiv, I32, min, -1, min),
        (FloorDiv, I64, 5, 0, 0),
        (Pow, I32, 3, 4, 81),
        (Pow, I32, 0, 0, 1),
        (Pow, I32, 2, -1, 0),
        (Pow, I32, 0, -1, 0),
        (Pow, I32, -1, -3, -1),
        (Pow, I32, -1, -4, 1),
        (Pow, U8, 3, 6, 217),
        (Pow, U32, umax, 2, 1),
        (Shl, I32, 1, 31, min),
        (Shl, I32, 1, 32, 0),
        (Shl, I32, 1, -1, 0),
        (Shl, U8, 255, 4, 240),
        (Shl, I64, 1, 63, i64::MIN),
        (Shr, I32, min, 31, -1),
        (Shr, I32, -8, 1, -4),
        (Shr, I32, -8, 40, -1),
        (Shr, I32, 8, -1, 0),
        (Shr, U32, umax, 31, 1),
        (Shr, U32, umax, 32, 0),
        (Min, U32, umax, 1, 1),
        (And, U8, 0b1100, 0b1010, 0b1000),
        (Or, U8, 0b1100, 0b1010, 0b1110),
        (Xor, U8, 0b1100, 0b1010, 0b0110),
    ];
    for (op, dtype, x, y, expected) in table {
        assert_eq!(int(op, dtype, x, y), expected, "{} {dtype} {x} {y}", op.name());
    }
}

#[test]
fn float_edges() {
    let same = |a: f64, b: f64| assert_eq!(a.to_bits(), b.to_bits(), "{a} {b}");
    same(float(Binary::Min, -0.0, 0.0), -0.0);
    same(float(Binary::Min, 0.0, -0.0), -0.0);
    same(float(Binary::Max, -0.0, 0.0), 0.0);
    same(float(Binary::Max, 0.0, -0.0), 0.0);
    for op in [Binary::Min, Binary::Max] {
        assert!(float(op, f64::NAN, 1.0).is_nan() && float(op, 1.0, f64::NAN).is_nan());
    }
    same(float(Binary::Rem, -5.5, 2.0), -1.5);
    same(float(Binary::Rem, 5.5, -2.0), 1.5);
    same(float(Binary::Rem, 1.0, f64::INFINITY), 1.0);
    assert!(float(Binary::Rem, 1.0, 0.0).is_nan());
    same(float(Binary::FloorDiv, -7.0, 2.0), -4.0);
    same(float(Binary::Div, 1.0, -0.0), f64::NEG_INFINITY);
    same(float(Binary::Pow, f64::NAN, 0.0), 1.0);
    same(float(Binary::Pow, -2.0, 3.0), -8.0);
    assert!(float(Binary::Pow, -2.0, 0.5).is_nan());
    same(float(Binary::Atan2, 0.0, -1.0), std::f64::consts::PI);
    same(float(Binary::Atan2, 1.0, 0.0), std::f64::consts::FRAC_PI_2);
}

#[test]
fn comparisons_with_nan_and_signed_zero() {
    let of = |v: &[f64]| HostTensor::from_f64(DType::F32, &[4], v);
    let (x, y) = (of(&[f64::NAN, 0.0, 1.0, 3.0]), of(&[f64::NAN, -0.0, 2.0, 2.0]));
    let table = [
        (Compare::Eq, [0, 1, 0, 0]),
        (Compare::Ne, [1, 0, 1, 1]),
        (Compare::Lt, [0, 0, 1, 0]),
        (Compare::Le, [0, 1, 1, 0]),
        (Compare::Gt, [0, 0, 0, 1]),
        (Compare::Ge, [0, 1, 0, 1]),
    ];
    for (op, expected) in table {
        assert_eq!(run(op, x.clone(), y.clone()).to_i64(), expected, "{}", op.name());
    }
    let unsigned = |v| HostTensor::from_i64(DType::U32, &[], &[v]);
    assert_eq!(run(Compare::Gt, unsigned(0xffff_ffff), unsigned(1)).to_i64(), [1]);
}

proptest! {
    #[test]
    fn commutative_ops_commute(x: f64, y: f64, i: i64, j: i64) {
        for op in Binary::ALL.into_iter().filter(|op| op.is_commutative()) {
            prop_assert_eq!(int(op, DType::I32, i, j), int(op, DType::I32, j, i));
            if !matches!(op, Binary::And | Binary::Or | Binary::Xor) {
                let (a, b) = (float(op, x, y), float(op, y, x));
                prop_assert!(a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()));
            }
        }
    }

    #[test]
    fn integer_arithmetic_is_that_of_the_width(x: i32, y: i32) {
        let (a, b) = (i64::from(x), i64::from(y));
        prop_assert_eq!(int(Binary::Add, DType::I32, a, b), i64::from(x.wrapping_add(y)));
        prop_assert_eq!(int(Binary::Mul, DType::I32, a, b), i64::from(x.wrapping_mul(y)));
        let exponent = b & 31;
        prop_assert_eq!(
            int(Binary::Pow, DType::I32, a, exponent),
            i64::from(x.wrapping_pow(exponent as u32))
        );
        let unsigned = (x as u32).wrapping_mul(y as u32);
        prop_assert_eq!(int(Binary::Mul, DType::U32, a, b), i64::from(unsigned));
        if y != 0 {
            prop_assert_eq!(int(Binary::Div, DType::I32, a, b), i64::from(x.wrapping_div(y)));
            let (q, r) = (int(Binary::Div, DType::I64, a, b), int(Binary::Rem, DType::I64, a, b));
            prop_assert_eq!(q * b + r, a);
        }
    }
}
