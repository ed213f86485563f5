//! What runs kernels where machine code does not, and that a program says so.

// Reason: the system is asked to forbid executable memory.
#![allow(unsafe_code)]

use crate::check::run;
use std::sync::Arc;
use wootz_cpu::Cpu;
use wootz_cpu::isa::Isa;
use wootz_ir::{DType, Graph, HostTensor, text};
use wootz_runtime::{Backend, BackendOptions, Executable, Stages};

/// Two kernels of different grids.
fn example() -> (Graph, Vec<HostTensor>) {
    let source = r#"graph(%x: f64[37] = input "x", %y: f64[5, 100] = input "y") {
        %a = tanh %x
        %b = reduce_sum[axes=[1]] %y
        return "a" = %a, "b" = %b
    }"#;
    let values = |n: usize| (0..n).map(|i| i as f64 / 64.0 - 3.0).collect::<Vec<f64>>();
    let inputs = vec![
        HostTensor::from_f64(DType::F64, &[37], &values(37)),
        HostTensor::from_f64(DType::F64, &[5, 100], &values(500)),
    ];
    (text::parse(source).expect("well formed"), inputs)
}

fn compile(graph: &Graph, isa: Isa, jit: bool) -> Arc<dyn Executable> {
    let cpu = Cpu { isa: Some(isa), jit: Some(jit) };
    cpu.compile(graph, &BackendOptions { threads: Some(1) }, &mut Stages::default()).expect("compiles")
}

/// Instruction sets that there is machine code for.
fn native() -> impl Iterator<Item = Isa> {
    Isa::available().filter(|isa| *isa != Isa::Portable)
}

#[test]
fn a_program_says_once_what_runs_it() {
    let (graph, inputs) = example();
    for isa in native() {
        let (machine, tiles) = (compile(&graph, isa, true), compile(&graph, isa, false));
        assert_eq!(machine.describe().notes, Vec::<String>::new(), "{isa}");
        assert_eq!(tiles.describe().notes, ["2 kernels run by the tile VM: turned off"], "{isa}");
        let (machine, tiles) = (run(&graph, &*machine, &inputs), run(&graph, &*tiles, &inputs));
        assert!(machine.iter().zip(&tiles).all(|(x, y)| x.as_bytes() == y.as_bytes()), "{isa}");
    }
    let notes = compile(&graph, Isa::Portable, true).describe().notes;
    assert!(notes.len() == 1 && notes[0].starts_with("portable code"), "{notes:?}");
}

/// The process that may have no executable memory is another one: this test, started again.
#[cfg(target_os = "linux")]
#[test]
fn executable_memory_may_be_forbidden() {
    const AGAIN: &str = "WOOTZ_TEST_NO_EXECUTABLE_MEMORY";
    if std::env::var_os(AGAIN).is_some() {
        return without_executable_memory();
    }
    let mut again = std::process::Command::new(std::env::current_exe().expect("a running program"));
    again.args(["--exact", "fallback::executable_memory_may_be_forbidden", "--nocapture"]).env(AGAIN, "1");
    let output = again.output().expect("the program that runs can be started again");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{err}");
    assert!(out.contains("skipped") || out.contains("ran without executable memory"), "{out}");
    print!("{out}");
}

#[cfg(target_os = "linux")]
fn without_executable_memory() {
    unsafe extern "C" {
        fn prctl(option: i32, ...) -> i32;
    }
    const SET_MEMORY_DENY_WRITE_EXECUTE: i32 = 65;
    let (graph, inputs) = example();
    let want = run(&graph, &*compile(&graph, Isa::Portable, false), &inputs);
    // SAFETY: takes numbers only, and forbids this process to make written memory executable.
    let refused = unsafe { prctl(SET_MEMORY_DENY_WRITE_EXECUTE, 1u64, 0u64, 0u64, 0u64) };
    if refused != 0 {
        println!("skipped: this kernel (Linux before 6.3) cannot forbid executable memory");
        return;
    }
    for isa in native() {
        let executable = compile(&graph, isa, true);
        let notes = executable.describe().notes;
        assert_eq!(notes, ["2 kernels run by the tile VM: executable memory is not allowed"], "{isa}");
        for (got, want) in run(&graph, &*executable, &inputs).iter().zip(&want) {
            crate::check::assert_close("a result", got, want, crate::check::Bound::Units(4.0));
        }
    }
    println!("ran without executable memory");
}
