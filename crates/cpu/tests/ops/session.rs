//! Sessions bind memory once: what is bound anew, kept by a reader or written to is seen by the next run.

use std::collections::BTreeMap;
use wootz_cpu::Cpu;
use wootz_ir::{DType, HostTensor, text};
use wootz_runtime::{Definition, Options, Params, Program, Session};

fn program() -> Program {
    let graph = text::parse(
        r#"graph(%x: f32[40] = input "x", %w: f32[40] = param "w") {
             %p = mul %x, %w
             %y = exp %w
             %z = add %p, %y
             return "z" = %z
           }"#,
    );
    let definition = Definition::from(graph.expect("well formed"));
    wootz_runtime::compile(&definition, &BTreeMap::new(), &Cpu::default(), &Options::default())
        .expect("compiles")
}

fn tensor(value: f64) -> HostTensor {
    HostTensor::from_f64(DType::F32, &[40], &[value; 40])
}

/// Runs, and compares every element of the output.
fn check(session: &mut Session, [x, w]: [f64; 2]) {
    session.run().expect("runs");
    let expected = x * w + w.exp();
    let z = session.output("z").expect("an output").to_f64();
    assert!(z.iter().all(|z| (z - expected).abs() < 1e-5), "{z:?} instead of {expected}");
}

#[test]
fn runs_see_what_was_bound_last() {
    let program = program();
    let params = Params::new([("w".into(), tensor(1.0))]);
    let mut session = program.session(&params).expect("a session");
    session.set("x", tensor(2.0)).expect("it fits");
    (0..3).for_each(|_| check(&mut session, [2.0, 1.0]));
    session.set("x", tensor(3.0)).expect("it fits");
    (0..2).for_each(|_| check(&mut session, [3.0, 1.0]));
    // Shared with somebody, so that it moves when it is written to.
    let x = tensor(4.0);
    session.set("x", x.clone()).expect("it fits");
    check(&mut session, [4.0, 1.0]);
    session.input_mut(0).expect("an input").as_mut_slice::<f32>().fill(5.0);
    (0..2).for_each(|_| check(&mut session, [5.0, 1.0]));
    params.set("w", tensor(0.5)).expect("the same type");
    (0..2).for_each(|_| check(&mut session, [5.0, 0.5]));
    // Another program's run in between, and one on an instance of this program.
    let other = program.run(&params, &[("x", x)]).expect("runs");
    assert_eq!(other.iter().len(), 1);
    check(&mut session, [5.0, 0.5]);
}

#[test]
fn an_output_that_its_reader_keeps_is_not_written_to() {
    let params = Params::new([("w".into(), tensor(0.0))]);
    let mut session = program().session(&params).expect("a session");
    session.set("x", tensor(1.0)).expect("it fits");
    check(&mut session, [1.0, 0.0]);
    let mut kept = Vec::new();
    for w in [0.5, 1.0, 1.5] {
        kept.push((session.outputs()[0].clone(), session.outputs()[0].to_f64()));
        params.set("w", tensor(w)).expect("the same type");
        (0..2).for_each(|_| check(&mut session, [1.0, w]));
        // Nothing changed but that the output is shared.
        kept.push((session.outputs()[0].clone(), session.outputs()[0].to_f64()));
        (0..2).for_each(|_| check(&mut session, [1.0, w]));
    }
    assert!(kept.iter().all(|(tensor, values)| tensor.to_f64() == *values));
}

#[test]
fn an_input_replaced_by_another_type_is_an_error() {
    let params = Params::new([("w".into(), tensor(1.0))]);
    let mut session = program().session(&params).expect("a session");
    session.set("x", tensor(2.0)).expect("it fits");
    check(&mut session, [2.0, 1.0]);
    let others = [
        HostTensor::from_f64(DType::F32, &[2], &[1.0; 2]),
        HostTensor::from_f64(DType::I32, &[40], &[1.0; 40]),
    ];
    for other in others {
        *session.input_mut(0).expect("an input") = other;
        let error = session.run().expect_err("the input has another type");
        assert!(error.to_string().contains("`x`"), "{error}");
    }
    session.set("x", tensor(2.0)).expect("it fits");
    check(&mut session, [2.0, 1.0]);
}
