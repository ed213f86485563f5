//! Generated source on every framework that a Python here has.

use std::path::PathBuf;
use std::process::Command;
use wootz_conformance::{Case, models, random_case, run_python, samples, suite};
use wootz_ir::ops::Composite;
use wootz_ir::{DType, Op};
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

/// Names the frameworks, with commas between them, that some Python here must have.
const REQUIRED: &str = "WOOTZ_REQUIRED_FRAMEWORKS";

/// Set to `all` to run JAX on every case too.
const AMOUNT: &str = "WOOTZ_CONFORMANCE_PYTHON";

/// The most failures that are printed with their sources.
const PRINTED: usize = 5;

fn check(framework: Framework, module: &str, levels: &[Optimize], cases: &[Case]) {
    let Some(python) = python_with(module) else {
        let required = std::env::var(REQUIRED).unwrap_or_default();
        let name = module.split('.').next().expect("a module has a name");
        assert!(!required.split(',').any(|one| one == name), "{name} is required, and no Python here has it");
        println!(
            "not run: no Python with {module} (`cargo xtask peers` makes one, or name one in WOOTZ_PYTHON)"
        );
        return;
    };
    let mut cases = cases.to_vec();
    cases.extend((0..PROGRAMS).map(|seed| random_case(seed, OPS)));
    let report = run_python(&python, framework, levels, &cases).expect("the runner runs");
    println!("{framework}: {} sources, {} cases not supported", report.run, report.unsupported.len());
    if let Some(first) = report.unsupported.first() {
        println!("not supported, for example: {first}");
    }
    assert!(report.run > 1000, "only {} sources were run", report.run);
    let missing = match framework {
        Framework::Numpy => Some("`numpy` has no bf16"),
        Framework::Mlx => Some("`mlx` has no f64"),
        Framework::Jax | Framework::Torch => None,
    };
    let unexpected = |why: &&String| missing.is_none_or(|missing| !why.contains(missing));
    assert_eq!(report.unsupported.iter().find(unexpected), None, "{framework} should have all other types");
    let failed = &report.failed;
    assert!(
        failed.is_empty(),
        "{} of {} sources fail on {framework}\n{}\n\n{}",
        failed.len(),
        report.run,
        failed.iter().filter_map(|text| text.lines().next()).collect::<Vec<_>>().join("\n"),
        failed.iter().take(PRINTED).cloned().collect::<Vec<_>>().join("\n\n")
    );
}

#[test]
fn numpy() {
    check(Framework::Numpy, "numpy", &ALL, &suite());
}

// XLA takes longer over a program than everything else together.
#[test]
fn jax() {
    if std::env::var_os(AMOUNT).is_some_and(|v| v == "all") {
        return check(Framework::Jax, "jax", &ALL, &suite());
    }
    println!(
        "jax: one level, no other sizes of the same ops, no f16, no f32 but attention's; {AMOUNT}=all runs every case"
    );
    // Attention is a call of JAX's function in f32 alone.
    let attends = |case: &Case| {
        let mut ops = case.graph.body.nodes().iter().map(|node| &node.op);
        ops.any(|op| matches!(op, Op::Composite(Composite::Attention { .. })))
    };
    let narrower = |case: &Case| {
        let mut dtypes = case.inputs.iter().map(|t| t.dtype());
        dtypes.any(|dtype| dtype == DType::F16 || (dtype == DType::F32 && !attends(case)))
    };
    let mut cases = [samples(), models()].concat();
    cases.retain(|case| !narrower(case));
    check(Framework::Jax, "jax", &[Optimize::Full], &cases);
}

#[test]
fn torch() {
    check(Framework::Torch, "torch", &ALL, &suite());
}

#[test]
fn mlx() {
    check(Framework::Mlx, "mlx.core", &ALL, &suite());
}
