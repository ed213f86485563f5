//! Runs that are asked to stop.

use std::collections::BTreeMap;
use wootz_cpu::Cpu;
use wootz_ir::{DType, HostTensor, text};
use wootz_runtime::{BackendError, Options, Params, RunError};

/// What becomes of a chain of two products of `n`×`n` matrices when it is asked to stop from the start.
fn stopped(n: usize) -> Result<(), RunError> {
    let graph = format!(
        r#"graph(%x: f32[{n}, {n}] = input "x") {{
             %y = dot[lhs_batch=[], rhs_batch=[], lhs_contract=[1], rhs_contract=[0]] %x, %x
             %z = dot[lhs_batch=[], rhs_batch=[], lhs_contract=[1], rhs_contract=[0]] %y, %x
             return "z" = %z
           }}"#
    );
    let graph = text::parse(&graph).expect("the test's graph is well formed");
    let program =
        wootz_runtime::compile(&graph.into(), &BTreeMap::new(), &Cpu::default(), &Options::default())
            .expect("the graph compiles");
    let mut session = program.session(&Params::default()).expect("a session");
    session.set("x", HostTensor::zeros(DType::F32, &[n, n]).expect("memory")).expect("an input");
    session.run().expect("a plain run asks nobody");
    session.run_until(&|| true)
}

#[test]
fn a_long_program_without_loops_stops_between_its_steps() {
    assert!(matches!(stopped(800), Err(RunError::Backend(BackendError::Cancelled))));
}

#[test]
fn a_short_program_does_not_ask() {
    assert!(stopped(8).is_ok());
}
