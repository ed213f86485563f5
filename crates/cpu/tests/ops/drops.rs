//! Programs that are dropped while others run. Code is shared between programs by structure, and a mapping by all code that
//! was made at once: what one program drops another may still run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use wootz_cpu::Cpu;
use wootz_ir::{DType, HostTensor, text};
use wootz_runtime::{Options, Program, Session, clear_cache, compile};

/// `tanh(x)·2 + 1`, which all programs have in common, and `sum(x) − shift` over grids of their own.
fn program(shift: usize) -> Program {
    let source = format!(
        r#"graph(%x: f64[301] = input "x") {{
            %two = constant[value=f64[]{{2.0}}] : f64[]
            %twos = broadcast[axes=[], shape=[301]] %two
            %t = tanh %x
            %y = mul %t, %twos
            %s = reduce_sum[axes=[0]] %x
            %c = constant[value=f64[]{{{shift}.0}}] : f64[]
            %z = sub %s, %c
            return "y" = %y, "z" = %z
        }}"#
    );
    let graph = text::parse(&source).expect("well formed");
    compile(&graph.into(), &BTreeMap::new(), &Cpu::default(), &Options::default()).expect("a program")
}

fn session(program: &Program) -> Session {
    let params = program.init(0).expect("no parameters");
    let mut session = program.session(&params).expect("a session");
    let values: Vec<f64> = (0..301).map(|i| f64::from(i) / 100.0 - 1.5).collect();
    session.set("x", HostTensor::from_f64(DType::F64, &[301], &values)).expect("it fits");
    session
}

fn results(session: &mut Session) -> [Vec<f64>; 2] {
    session.run().expect("runs");
    ["y", "z"].map(|name| session.output(name).expect("an output").to_f64())
}

#[test]
fn programs_are_dropped_while_others_run() {
    let (done, runs) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let runner = scope.spawn(|| {
            let mut own = session(&program(1000));
            let first = results(&mut own);
            while !done.load(Ordering::Relaxed) {
                assert_eq!(results(&mut own), first);
                runs.fetch_add(1, Ordering::Relaxed);
            }
            first
        });
        for shift in 0..200 {
            // Kept by its session alone, then by nothing.
            let mut session = session(&program(shift % 7));
            clear_cache();
            let [y, z] = results(&mut session);
            assert!((y[0] - 2.0 * (-1.5f64).tanh()).abs() < 1e-12, "{}", y[0]);
            assert!((z[0] + (shift % 7) as f64).abs() < 1e-9, "{}", z[0]);
        }
        done.store(true, Ordering::Relaxed);
        let [y, z] = runner.join().expect("no panic");
        assert!((z[0] + 1000.0).abs() < 1e-9 && y.len() == 301);
    });
    assert!(runs.into_inner() > 0, "the other thread ran its program meanwhile");
}
