//! Specialisation.

use crate::common::{f64s, graph, run};
use std::collections::BTreeMap;
use std::error::Error as _;
use wootz_ir::ops::Control;
use wootz_ir::{Builder, DType, Dim, Dims, Graph, HostTensor, Shape, TensorType};
use wootz_transform::{SpecializeError, grad, specialize, specialize_to};

fn dims(sizes: &[usize]) -> Dims {
    sizes.into()
}

/// x f64[B, 2*T] and w f64[T] → Σ over T steps, in a scan.
fn scanned() -> Graph {
    let (batch, steps) = (Dim::symbol("B"), Dim::symbol("T"));
    let twice = &steps * &Dim::from(2usize);
    let row = TensorType::new(DType::F64, [batch.clone()]);
    let body = Builder::new()
        .subregion::<wootz_ir::TypeError>(&[row.clone(), row, TensorType::scalar(DType::F64)], |b, p| {
            let weighted = b.mul(p[1], p[2])?;
            Ok(vec![b.add(p[0], weighted)?])
        })
        .unwrap();
    let inputs =
        [TensorType::new(DType::F64, [batch.clone(), twice]), TensorType::new(DType::F64, [steps.clone()])];
    graph(&inputs, |b, p| {
        let first = b.slice_axis(p[0], 1, &Dim::from(0usize), &steps)?;
        let rows = b.move_axis(first, 1, 0)?;
        let zeros = b.full(&TensorType::new(DType::F64, [batch]), 0.0)?;
        let factor = b.sum_all(p[1])?;
        let op = Control::Scan { body, carries: 1, xs: 1, length: steps, reverse: false };
        Ok(vec![b.push(op, &[zeros, rows, factor])?])
    })
}

#[test]
fn shapes_bind_symbols_everywhere() {
    let concrete = specialize_to(&scanned(), &[dims(&[2, 6]), dims(&[3])]).unwrap();
    assert!(!concrete.body.is_symbolic());
    let x = f64s(&[2, 6], &(0..12).map(f64::from).collect::<Vec<_>>());
    let out = run(&concrete, &[x, f64s(&[3], &[1.0, 0.5, 0.5])]);
    assert_eq!(out[0].to_f64(), [2.0 * 3.0, 2.0 * 21.0]);
}

#[test]
fn a_shape_that_does_not_fit_is_named_with_what_it_contradicts() {
    let error = specialize_to(&scanned(), &[dims(&[2, 6]), dims(&[4])]).unwrap_err();
    let SpecializeError::Shape { input, expected, got, .. } = &error else { panic!("{error}") };
    assert_eq!((input.as_str(), &**expected), ("x1", &Shape::from(["T"])));
    assert_eq!(**got, Shape::from([4usize]));
    let message = error.to_string();
    assert_eq!(message, "input `x1`: the shape [4] does not match [T] (given B = 2, T = 3)");
    let odd = specialize_to(&scanned(), &[dims(&[2, 5]), dims(&[2])]).unwrap_err().to_string();
    assert_eq!(odd, "input `x0`: the shape [2, 5] does not match [B, 2*T]");
    let rank = specialize_to(&scanned(), &[dims(&[2]), dims(&[2])]).unwrap_err();
    assert!(matches!(rank, SpecializeError::Shape { .. }), "{rank}");
    let arity = specialize_to(&scanned(), &[dims(&[2, 2])]).unwrap_err();
    assert_eq!(arity, SpecializeError::Arity { expected: 2, got: 1 });
}

#[test]
fn equations_are_decided_once_all_symbols_are_known() {
    let product = &Dim::symbol("A") * &Dim::symbol("B");
    let types = [product, Dim::symbol("A"), Dim::symbol("B")].map(|d| TensorType::new(DType::F64, [d]));
    let plain = graph(&types, |_, p| Ok(p.to_vec()));
    assert!(specialize_to(&plain, &[dims(&[6]), dims(&[2]), dims(&[3])]).is_ok());
    let error = specialize_to(&plain, &[dims(&[6]), dims(&[2]), dims(&[4])]).unwrap_err();
    assert!(matches!(&error, SpecializeError::Shape { .. }), "{error}");
}

#[test]
fn a_symbol_that_no_input_tells_is_an_error() {
    let plain = graph(&[TensorType::scalar(DType::F64)], |b, p| {
        Ok(vec![b.broadcast(p[0], &Shape::from(["N"]), &[])?])
    });
    let error = specialize_to(&plain, &[dims(&[])]).unwrap_err().to_string();
    assert!(error.contains("`N`") && error.contains("broadcast"), "{error}");
    let bound = specialize(&plain, &BTreeMap::from([("N".to_owned(), 3)])).unwrap();
    assert_eq!(run(&bound, &[HostTensor::scalar(DType::F64, 2.0)])[0].to_f64(), [2.0; 3]);
}

#[test]
fn sizes_the_program_has_no_meaning_for_are_errors() {
    let plain = graph(&[TensorType::new(DType::F64, ["N"])], |b, p| {
        let one = Dim::from(1usize);
        Ok(vec![b.slice_axis(p[0], 0, &one, &Dim::symbol("N"))?])
    });
    assert!(specialize_to(&plain, &[dims(&[1])]).is_ok());
    let error = specialize_to(&plain, &[dims(&[0])]).unwrap_err();
    assert!(matches!(&error, SpecializeError::Type(_)), "{error}");
    assert_eq!(error.to_string(), "the program does not fit these sizes");
    let cause = error.source().expect("the op's error").to_string();
    assert!(cause.contains("slice"), "{cause}");
}

#[test]
fn transforming_and_specialising_commute() {
    let mut plain = scanned();
    let types: Vec<TensorType> = plain.body.param_types().to_vec();
    let body = plain.body.clone();
    plain = graph(&types, |b, p| {
        let rows = b.inline(&body, p)?;
        let squares = b.mul(rows[0], rows[0])?;
        Ok(vec![b.sum_all(squares)?])
    });
    let shapes = [dims(&[2, 6]), dims(&[3])];
    let before = grad(&specialize_to(&plain, &shapes).unwrap(), 0, &[0, 1]).unwrap();
    let after = specialize_to(&grad(&plain, 0, &[0, 1]).unwrap(), &shapes).unwrap();
    assert_eq!(before.outputs, after.outputs);
    let args = [f64s(&[2, 6], &(0..12).map(f64::from).collect::<Vec<_>>()), f64s(&[3], &[1.0, 0.5, 0.25])];
    let (before, after) = (run(&before, &args), run(&after, &args));
    assert_eq!(before, after);
    // d/dw Σ (f·s)² with f = Σ w: 2 f Σ s², s = 3 and 21.
    assert_eq!(after[2].to_f64(), [2.0 * 1.75 * 450.0; 3]);
}
