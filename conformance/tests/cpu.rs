//! The CPU backend: each instruction set this machine has and portable code, with and without machine code, with more threads
//! than it has cores.

use std::process::Command;
use wootz_conformance::{Outcome, minimise, random_case, run, run_all, suite};
use wootz_cpu::Cpu;
use wootz_cpu::isa::Isa;
use wootz_ir::text;
use wootz_runtime::{Backend, BackendOptions, Stages};

/// Seeds of random programs.
const PROGRAMS: u64 = 150;
/// Ops of each.
const OPS: usize = 14;

#[test]
fn suite_passes() {
    let (cpu, cases) = (Cpu::default(), suite());
    println!("{} cases on {} {}, which notes {:?}", cases.len(), cpu.name(), cpu.target().isa, notes(&cpu));
    match run_all(&cpu, &cases) {
        Ok(unsupported) => assert_eq!(unsupported, Vec::<String>::new(), "the CPU runs everything"),
        Err(report) => panic!("{report}"),
    }
}

/// What a program of one kernel says of how it is run.
fn notes(cpu: &Cpu) -> Vec<String> {
    let graph = text::parse(r#"graph(%x: f32[8] = input "x") { %y = tanh %x return "y" = %y }"#);
    let graph = graph.expect("well formed");
    let executable = cpu.compile(&graph, &BackendOptions::default(), &mut Stages::default());
    executable.expect("compiles").describe().notes
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
    let cpu = Cpu::default();
    again_with(&[("WOOTZ_THREADS", "3")], cpu.target().isa, &notes(&cpu));
}

#[test]
fn avx2() {
    if !Isa::Avx2.is_available() {
        println!("skipped: this processor has no AVX2");
        return;
    }
    again_with(&[("WOOTZ_CPU", "avx2")], "avx2", &[]);
}

#[test]
fn without_machine_code() {
    let isa = Cpu::default().target().isa;
    let note = match isa {
        "portable" => PORTABLE,
        _ => "1 kernel run by the tile VM: turned off",
    };
    again_with(&[("WOOTZ_JIT", "off")], isa, &[note.to_owned()]);
}

#[test]
fn portable_code_on_three_threads() {
    let environment = [("WOOTZ_THREADS", "3"), ("WOOTZ_CPU", "portable")];
    again_with(&environment, "portable", &[PORTABLE.to_owned()]);
}

const PORTABLE: &str = "portable code: this processor has no AVX2, or WOOTZ_CPU says so";

/// Runs the two tests above in a new process: the backend reads its environment once. It must run what is meant.
fn again_with(environment: &[(&str, &str)], isa: &str, notes: &[String]) {
    let program = std::env::current_exe().expect("a running program has a path");
    let output = Command::new(program)
        .args(["--exact", "suite_passes", "random_programs_pass", "--nocapture", "--test-threads=1"])
        .envs(environment.iter().copied())
        .output()
        .expect("the program that runs can be started again");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "with {environment:?}:\n{out}\n{err}");
    assert!(out.contains("2 passed"), "both tests ran: {out}");
    let ran = format!(" cases on cpu {isa}, which notes {notes:?}");
    assert!(out.contains(&ran), "with {environment:?} it should say `{ran}`: {out}");
    print!("{out}");
}
