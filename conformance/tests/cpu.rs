//! The CPU backend: each instruction set this machine has and portable code, with and without machine code, with more threads
//! than it has cores.

use std::process::Command;
use wootz_conformance::{Outcome, minimise, random_case, run, run_all, suite};
use wootz_cpu::Cpu;
use wootz_cpu::isa::Isa;
use wootz_runtime::Backend;

/// Seeds of random programs.
const PROGRAMS: u64 = 150;
/// Ops of each.
const OPS: usize = 14;

#[test]
fn suite_passes() {
    let (cpu, cases) = (Cpu::default(), suite());
    println!("{} cases on {} {}", cases.len(), cpu.name(), cpu.target().isa);
    match run_all(&cpu, &cases) {
        Ok(unsupported) => assert_eq!(unsupported, Vec::<String>::new(), "the CPU runs everything"),
        Err(report) => panic!("{report}"),
    }
}

#[test]
fn random_programs_pass() {
    let cpu = Cpu::default();
    let mut failed = Vec::new();
    for seed in 0..PROGRAMS {
        let case = random_case(seed, OPS);
        match run(&cpu, &case) {
            Ok(outcome) => assert_eq!(outcome, Outcome::Passed, "{}", case.name),
            Err(mismatch) => {
                let smaller = run(&cpu, &minimise(&cpu, &case)).err().unwrap_or(mismatch);
                failed.push(smaller.to_string());
            }
        }
    }
    assert!(failed.is_empty(), "{} of {PROGRAMS} programs fail\n\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn widest_instruction_set_on_three_threads() {
    again_with(&[("WOOTZ_THREADS", "3")]);
}

#[test]
fn avx2() {
    if !Isa::Avx2.is_available() {
        println!("skipped: this processor has no AVX2");
        return;
    }
    again_with(&[("WOOTZ_CPU", "avx2")]);
}

#[test]
fn without_machine_code() {
    again_with(&[("WOOTZ_JIT", "off")]);
}

#[test]
fn portable_code_on_three_threads() {
    again_with(&[("WOOTZ_THREADS", "3"), ("WOOTZ_CPU", "portable")]);
}

/// Runs the two tests above in a new process: the backend reads its environment once.
fn again_with(environment: &[(&str, &str)]) {
    let program = std::env::current_exe().expect("a running program has a path");
    let output = Command::new(program)
        .args(["--exact", "suite_passes", "random_programs_pass", "--nocapture", "--test-threads=1"])
        .envs(environment.iter().copied())
        .output()
        .expect("the program that runs can be started again");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "with {environment:?}:\n{out}\n{err}");
    assert!(out.contains("2 passed"), "both tests ran: {out}");
    print!("{out}");
}
