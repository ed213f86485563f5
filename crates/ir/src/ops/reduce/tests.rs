use super::*;
use crate::eval;
use proptest::prelude::*;

fn run(op: impl Into<crate::Op>, x: &HostTensor) -> HostTensor {
    let mut b = Builder::new();
    let param = b.param(x.ty());
    let out = b.push(op, &[param]).expect("well typed");
    eval::region(&b.finish(&[out]), std::slice::from_ref(x)).expect("evaluates").remove(0)
}

fn over(kind: ReduceKind, axes: &[usize]) -> Reduce {
    Reduce { kind, axes: axes.into() }
}

#[test]
fn any_axes() {
    let x = HostTensor::from_f64(DType::F32, &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(run(over(ReduceKind::Sum, &[0]), &x).to_f64(), [5.0, 7.0, 9.0]);
    assert_eq!(run(over(ReduceKind::Sum, &[1]), &x).to_f64(), [6.0, 15.0]);
    assert_eq!(run(over(ReduceKind::Prod, &[0, 1]), &x).to_f64(), [720.0]);
    assert_eq!(run(over(ReduceKind::Max, &[1]), &x).to_f64(), [3.0, 6.0]);
    assert_eq!(run(over(ReduceKind::Min, &[]), &x), x);
}

#[test]
fn empty_reductions_give_the_neutral_element() {
    let table = [
        (ReduceKind::Sum, DType::F32, 0.0),
        (ReduceKind::Prod, DType::I32, 1.0),
        (ReduceKind::Max, DType::F16, f64::NEG_INFINITY),
        (ReduceKind::Min, DType::F64, f64::INFINITY),
        (ReduceKind::Max, DType::I32, f64::from(i32::MIN)),
        (ReduceKind::Min, DType::U32, f64::from(u32::MAX)),
        (ReduceKind::Max, DType::U8, 0.0),
        (ReduceKind::Min, DType::U8, 255.0),
        (ReduceKind::Max, DType::Bool, 0.0),
        (ReduceKind::Min, DType::Bool, 1.0),
        (ReduceKind::Any, DType::Bool, 0.0),
        (ReduceKind::All, DType::Bool, 1.0),
    ];
    for (kind, dtype, expected) in table {
        let x = HostTensor::from_f64(dtype, &[2, 0], &[]);
        assert_eq!(run(over(kind, &[1]), &x).to_f64(), [expected; 2], "{} {dtype}", kind.name());
        assert!(run(over(kind, &[0]), &x).is_empty());
    }
}

#[test]
fn edges() {
    let inf = f64::INFINITY;
    let of = |v: &[f64]| HostTensor::from_f64(DType::F64, &[v.len()], v);
    let sum = |v: &[f64]| run(over(ReduceKind::Sum, &[0]), &of(v)).to_f64()[0];
    assert_eq!(sum(&[1e16, 1.0, -1e16]), 1.0);
    assert_eq!(sum(&[inf, 1.0]), inf);
    assert!(sum(&[inf, -inf]).is_nan());
    for kind in [ReduceKind::Max, ReduceKind::Min] {
        assert!(run(over(kind, &[0]), &of(&[1.0, f64::NAN, 2.0])).to_f64()[0].is_nan());
    }
    let bytes = HostTensor::from_i64(DType::U8, &[3], &[200, 100, 3]);
    assert_eq!(run(over(ReduceKind::Sum, &[0]), &bytes).to_i64(), [47]);
}

#[test]
fn arg_reductions_take_the_first_of_equals_and_the_first_nan() {
    let of = |v: &[f64]| HostTensor::from_f64(DType::F32, &[v.len()], v);
    let arg = |max, v: &[f64]| run(ArgReduce { max, axis: 0 }, &of(v)).to_i64()[0];
    assert_eq!((arg(true, &[1.0, 3.0, 3.0]), arg(false, &[2.0, 1.0, 1.0])), (1, 1));
    assert_eq!((arg(true, &[1.0, f64::NAN, 9.0, f64::NAN]), arg(false, &[-1.0, f64::NAN, -9.0])), (1, 1));
    assert_eq!((arg(true, &[-0.0, 0.0]), arg(false, &[0.0, -0.0])), (0, 0));
    let rows = HostTensor::from_i64(DType::I64, &[2, 2], &[i64::MAX, i64::MIN, i64::MAX - 1, i64::MAX]);
    assert_eq!(run(ArgReduce { max: true, axis: 1 }, &rows).to_i64(), [0, 1]);
    assert_eq!(run(ArgReduce { max: false, axis: 0 }, &rows).to_i64(), [1, 0]);
}

proptest! {
    #[test]
    fn order_does_not_matter(v in proptest::collection::vec(-1e6f64..1e6, 1..50)) {
        let of = |v: &[f64]| HostTensor::from_f64(DType::F64, &[v.len()], v);
        let reversed: Vec<f64> = v.iter().rev().copied().collect();
        let largest = v.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        for kind in [ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min] {
            let (a, b) = (run(over(kind, &[0]), &of(&v)).to_f64()[0], run(over(kind, &[0]), &of(&reversed)).to_f64()[0]);
            prop_assert!((a - b).abs() <= f64::EPSILON * largest);
        }
    }
}
