use super::*;
use crate::{Builder, eval};

fn run(op: Cumsum, x: HostTensor) -> HostTensor {
    let mut b = Builder::new();
    let param = b.param(x.ty());
    let out = b.push(op, &[param]).expect("well typed");
    eval::region(&b.finish(&[out]), &[x]).expect("evaluates").remove(0)
}

#[test]
fn directions_and_exclusion() {
    let of = |reverse, exclusive| {
        let x = HostTensor::from_f64(DType::F32, &[4], &[1.0, 2.0, 3.0, 4.0]);
        run(Cumsum { axis: 0, reverse, exclusive }, x).to_f64()
    };
    assert_eq!(of(false, false), [1.0, 3.0, 6.0, 10.0]);
    assert_eq!(of(false, true), [0.0, 1.0, 3.0, 6.0]);
    assert_eq!(of(true, false), [10.0, 9.0, 7.0, 4.0]);
    assert_eq!(of(true, true), [9.0, 7.0, 4.0, 0.0]);
}

#[test]
fn axes_are_summed_by_themselves() {
    let x = HostTensor::from_i64(DType::I32, &[2, 3], &[1, 2, 3, 4, 5, 6]);
    let of = |axis| run(Cumsum { axis, reverse: false, exclusive: false }, x.clone()).to_i64();
    assert_eq!(of(0), [1, 2, 3, 5, 7, 9]);
    assert_eq!(of(1), [1, 3, 6, 4, 9, 15]);
}

#[test]
fn integers_wrap_and_infinities_stay() {
    let op = Cumsum { axis: 0, reverse: false, exclusive: false };
    assert_eq!(run(op, HostTensor::from_i64(DType::U8, &[3], &[200, 100, 1])).to_i64(), [200, 44, 45]);
    let special = HostTensor::from_f64(DType::F64, &[4], &[1.0, f64::INFINITY, 2.0, f64::NEG_INFINITY]);
    let sums = run(op, special).to_f64();
    assert_eq!(sums[..3], [1.0, f64::INFINITY, f64::INFINITY]);
    assert!(sums[3].is_nan());
}

#[test]
fn wrong_operands_are_errors() {
    let mut b = Builder::new();
    let flags = b.param(crate::TensorType::new(DType::Bool, [3]));
    let numbers = b.param(crate::TensorType::new(DType::F32, [3]));
    let op = |axis| Cumsum { axis, reverse: false, exclusive: false };
    let message = b.push(op(0), &[flags]).expect_err("bool").to_string();
    assert!(message.contains("a number (cast bool first)"), "{message}");
    assert!(b.push(op(1), &[numbers]).is_err());
}
