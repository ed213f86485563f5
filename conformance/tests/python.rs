//! Generated source on every framework that a Python here has.

use std::path::PathBuf;
use std::process::Command;
use wootz_conformance::{random_case, run_python, suite};
use wootz_passes::Optimize;
use wootz_pycode::Framework;

/// Seeds of random programs.
const PROGRAMS: u64 = 60;
/// Ops of each.
const OPS: usize = 14;
const ALL: [Optimize; 3] = [Optimize::None, Optimize::Basic, Optimize::Full];

/// A Python that can import a module; `WOOTZ_PYTHON` names one to prefer.
fn python_with(module: &str) -> Option<PathBuf> {
    let named = std::env::var_os("WOOTZ_PYTHON").map(PathBuf::from);
    [named, wootz_bench::peers::python()].into_iter().flatten().find(|python| {
        let import = Command::new(python).args(["-c", &format!("import {module}")]).output();
        import.is_ok_and(|output| output.status.success())
    })
}

/// Set to 1 to run these tests: a framework takes minutes.
const WANTED: &str = "WOOTZ_CONFORMANCE_PYTHON";

fn check(framework: Framework, module: &str, levels: &[Optimize]) {
    if std::env::var_os(WANTED).is_none_or(|v| v != "1") {
        println!("not run: generated source takes minutes a framework; {WANTED}=1 runs it");
        return;
    }
    let Some(python) = python_with(module) else {
        println!(
            "not run: no Python with {module} (`cargo xtask peers` makes one, or name one in WOOTZ_PYTHON)"
        );
        return;
    };
    let mut cases = suite();
    cases.extend((0..PROGRAMS).map(|seed| random_case(seed, OPS)));
    let report = run_python(&python, framework, levels, &cases).expect("the runner runs");
    println!("{framework}: {} sources, {} cases not supported", report.run, report.unsupported.len());
    assert!(report.run > 1000, "only {} sources were run", report.run);
    let failed = &report.failed;
    assert!(
        failed.is_empty(),
        "{} of {} sources fail on {framework}\n\n{}",
        failed.len(),
        report.run,
        failed.join("\n\n")
    );
}

#[test]
fn numpy() {
    check(Framework::Numpy, "numpy", &ALL);
}

// XLA takes longer over a program than everything else together: one level of three.
#[test]
fn jax() {
    check(Framework::Jax, "jax", &[Optimize::Full]);
}

#[test]
fn torch() {
    check(Framework::Torch, "torch", &ALL);
}

#[test]
fn mlx() {
    check(Framework::Mlx, "mlx.core", &ALL);
}
