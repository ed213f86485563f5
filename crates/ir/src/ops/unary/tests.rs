use super::*;
use crate::eval;
use proptest::prelude::*;

fn run(op: impl Into<crate::Op>, input: HostTensor) -> HostTensor {
    let mut b = Builder::new();
    let x = b.param(input.ty());
    let out = b.push(op, &[x]).expect("well typed");
    eval::region(&b.finish(&[out]), &[input]).expect("evaluates").remove(0)
}

fn f64s(op: Unary, x: &[f64]) -> Vec<f64> {
    run(op, HostTensor::from_f64(DType::F64, &[x.len()], x)).to_f64()
}

fn cast(from: DType, x: &[f64], to: DType) -> Vec<f64> {
    run(Cast { dtype: to }, HostTensor::from_f64(from, &[x.len()], x)).to_f64()
}

fn bits(v: Vec<f64>) -> Vec<u64> {
    v.into_iter().map(f64::to_bits).collect()
}

#[test]
fn float_edges() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    assert_eq!(bits(f64s(Unary::Sign, &[0.0, -0.0, -3.0, inf])), bits(vec![0.0, -0.0, -1.0, 1.0]));
    assert!(f64s(Unary::Sign, &[nan])[0].is_nan());
    assert_eq!(bits(f64s(Unary::Neg, &[0.0, inf])), bits(vec![-0.0, -inf]));
    assert_eq!(bits(f64s(Unary::Abs, &[-0.0, -inf])), bits(vec![0.0, inf]));
    assert_eq!(f64s(Unary::Round, &[0.5, 1.5, 2.5, -0.5, -1.5]), [0.0, 2.0, 2.0, -0.0, -2.0]);
    assert_eq!(f64s(Unary::Floor, &[-0.5, 2.9]), [-1.0, 2.0]);
    assert_eq!(f64s(Unary::Ceil, &[-0.5, 2.1]), [0.0, 3.0]);
    assert_eq!(f64s(Unary::Log, &[0.0, 1.0, inf]), [-inf, 0.0, inf]);
    assert!(f64s(Unary::Log, &[-1.0])[0].is_nan());
    assert_eq!(f64s(Unary::Rsqrt, &[0.0, -0.0, 4.0, inf]), [inf, -inf, 0.5, 0.0]);
    assert_eq!(f64s(Unary::Exp, &[-inf, inf]), [0.0, inf]);
    assert_eq!(f64s(Unary::Lgamma, &[0.0, -1.0, -7.0, 1.0, 2.0]), [inf, inf, inf, 0.0, 0.0]);
    assert_eq!(
        run(Unary::IsNan, HostTensor::from_f64(DType::F16, &[3], &[nan, inf, 1.0])).to_i64(),
        [1, 0, 0]
    );
    assert_eq!(
        run(Unary::IsFinite, HostTensor::from_f64(DType::F32, &[3], &[nan, -inf, 1.0])).to_i64(),
        [0, 0, 1]
    );
}

#[test]
fn integer_edges() {
    let int = |op, dtype, v: &[i64]| run(op, HostTensor::from_i64(dtype, &[v.len()], v)).to_i64();
    let min = i64::from(i32::MIN);
    assert_eq!(int(Unary::Neg, DType::I32, &[min, 5]), [min, -5]);
    assert_eq!(int(Unary::Abs, DType::I32, &[min, -5]), [min, 5]);
    assert_eq!(int(Unary::Abs, DType::I64, &[i64::MIN]), [i64::MIN]);
    assert_eq!(int(Unary::Abs, DType::U32, &[0xffff_ffff]), [0xffff_ffff]);
    assert_eq!(int(Unary::Sign, DType::I64, &[i64::MIN, 0, 9]), [-1, 0, 1]);
    assert_eq!(int(Unary::Not, DType::U8, &[0, 255, 0b1010]), [255, 0, 0b1111_0101]);
    assert_eq!(int(Unary::Not, DType::I32, &[0]), [-1]);
    assert_eq!(int(Unary::Not, DType::Bool, &[0, 1]), [1, 0]);
}

#[test]
fn casts_saturate_truncate_wrap_and_round() {
    let inf = f64::INFINITY;
    let edges = [-1.5, 300.7, f64::NAN, inf, -inf];
    assert_eq!(cast(DType::F32, &edges, DType::U8), [0.0, 255.0, 0.0, 255.0, 0.0]);
    let (min, max) = (f64::from(i32::MIN), f64::from(i32::MAX));
    assert_eq!(cast(DType::F64, &edges, DType::I32), [-1.0, 300.0, 0.0, max, min]);
    assert_eq!(cast(DType::F64, &[0.0, -0.0, 0.1, f64::NAN], DType::Bool), [0.0, 0.0, 1.0, 1.0]);
    assert_eq!(cast(DType::I32, &[-1.0, 256.0], DType::U8), [255.0, 0.0]);
    assert_eq!(cast(DType::U32, &[4294967295.0], DType::I32), [-1.0]);
    assert_eq!(cast(DType::F64, &[65519.9, 65520.0], DType::F16), [65504.0, inf]);
    let big = HostTensor::from_i64(DType::I64, &[1], &[(1 << 24) + 1]);
    assert_eq!(run(Cast { dtype: DType::F32 }, big).to_f64(), [16777216.0]);
}

proptest! {
    #[test]
    fn identities(x in -20.0f64..20.0) {
        let f = |op: Unary, x: f64| f64s(op, &[x])[0];
        let close = |a: f64, b: f64| (a - b).abs() <= 4e-15 * (1.0 + a.abs().max(b.abs()));
        prop_assert!(close(f(Unary::Expm1, x) + 1.0, f(Unary::Exp, x)));
        prop_assert!(close(f(Unary::Tan, x) * f(Unary::Cos, x), f(Unary::Sin, x)));
        prop_assert!(close(f(Unary::Erf, x) + f(Unary::Erfc, x), 1.0));
        prop_assert!(close(f(Unary::Tanh, -x), -f(Unary::Tanh, x)));
        prop_assert!(close(f(Unary::Rsqrt, x.abs() + 0.1).recip(), f(Unary::Sqrt, x.abs() + 0.1)));
        prop_assert!(f(Unary::Floor, x) <= f(Unary::Round, x) && f(Unary::Round, x) <= f(Unary::Ceil, x));
    }
}
