//! The Python workers on small cases: those whose packages are there are held to the float64 reference; for the others
//! the reason is printed. `cargo xtask test` requires those that the package's own environment has.

mod common;

use common::{options, temporary};
use wootz_bench::kernels::{self, Case, Peer, Per, Script, Tensor};
use wootz_bench::peers;
use wootz_bench::protocol::Loss;
use wootz_bench::result::Outcome;
use wootz_bench::runner::{PYTHON, write_worker_sources};
use wootz_bench::{Mode, Model, Runner, run};

/// Names the workers, with commas between them, whose packages must be there.
const REQUIRED: &str = "WOOTZ_REQUIRED_PEERS";

#[test]
fn installed_peers_pass_the_check() {
    let out = temporary();
    let sources = write_worker_sources(out.path()).expect("the embedded sources");
    let python = peers::python();
    let mut options = options(out.path().join("run"));
    options.models =
        vec![Model::new("tiny", &[6, 5, 4, 3], Loss::CrossEntropy), Model::new("line", &[8, 3], Loss::Mse)];
    options.threads = Some(2);
    // torch.compile takes many seconds a case and runs the same module as the eager peer.
    let names = PYTHON.iter().map(|(name, _)| *name).filter(|name| *name != "torch-compile");
    options.extra_runners.extend(names.map(|name| Runner::python(name, python.as_deref(), &sources)));
    options.cold_spawns = 0;
    let report = run(&options).expect("failures are rows");
    let required = std::env::var(REQUIRED).unwrap_or_default();
    let required: Vec<&str> = required.split(',').collect();

    for row in report.rows.iter().filter(|row| row.runner != "fake") {
        match &row.outcome {
            Outcome::Ok(measured) => {
                println!("checked: {} {} {:?}", row.case, row.runner, measured.versions);
                assert!(measured.versions.contains_key("python"));
                assert!(
                    cfg!(not(target_os = "linux")) || measured.memory.len() >= 4,
                    "{:?}",
                    measured.memory
                );
            }
            Outcome::Missing { reason, .. } => {
                println!("skipped: {} {}: {reason}", row.case, row.runner);
                assert!(!required.contains(&row.runner.as_str()), "{} is required: {reason}", row.runner);
            }
            Outcome::Unsupported { reason } => {
                assert_eq!((row.runner.as_str(), row.case.mode), ("onnxruntime", Mode::Training), "{reason}");
            }
            Outcome::Failed { reason, stderr } => panic!("{} {}: {reason}\n{stderr}", row.case, row.runner),
        }
    }
}

/// The worker itself, without any stack: an unknown peer is a usage error, not a traceback.
#[test]
fn the_worker_refuses_an_unknown_peer() {
    let out = temporary();
    let sources = write_worker_sources(out.path()).expect("the embedded sources");
    let Some(python) = peers::python() else {
        println!("skipped: there is no python3 on the path");
        return;
    };
    let result =
        std::process::Command::new(python).arg(sources).arg("tensorflow").output().expect("python starts");
    assert_eq!(result.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&result.stderr).starts_with("usage:"));
    assert!(result.stdout.is_empty());
}

/// s = 10, b = 50 ± 7 in one bin, 60 observed.
const ONE_BIN: &str = r#"{"version": "1.0.0",
  "channels": [{"name": "SR", "samples": [
    {"name": "signal", "data": [10], "modifiers": [{"name": "mu", "type": "normfactor", "data": null}]},
    {"name": "background", "data": [50], "modifiers": [{"name": "b", "type": "shapesys", "data": [7]}]}]}],
  "observations": [{"name": "SR", "data": [60]}],
  "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}]}"#;

#[test]
fn installed_stacks_agree_on_a_counting_experiment() {
    // -ln of Poisson(60 | 1.5 · 10 + 1.25 · 50) · Poisson(τ | 1.25 τ) with τ = (50/7)², and CLs of μ = 1 by asymptotic formulae.
    let cases =
        [("nll", 9.368_408_917_876_077, 1e-9, vec![1.5, 1.25]), ("cls_observed", 0.602_043_5, 1e-4, vec![])];
    let stacks = ["wootz", "nextstat", "pyhf-numpy", "pyhf-jax"];
    let make = |(operation, expected, tolerance, point): (&'static str, f64, f64, Vec<f32>)| {
        let shape = vec![point.len()];
        let input = Tensor { name: "point".to_owned(), shape, values: point };
        let case = Case {
            name: operation.to_owned(),
            threads: 1,
            per: Per::Step,
            expected: vec![expected],
            tolerance,
            subject: "wootz".to_owned(),
            contenders: Vec::new(),
            peers: stacks.iter().map(|name| Peer::of(Script::HistFactory, name, name, operation)).collect(),
            inputs: if input.values.is_empty() { Vec::new() } else { vec![input] },
            document: Some(ONE_BIN.to_owned()),
            goals: Vec::new(),
        };
        Box::new(move || Ok(case)) as Box<dyn FnOnce() -> Result<Case, String>>
    };
    let options = kernels::Options {
        sample_time: std::time::Duration::from_millis(1),
        budget: Some(std::time::Duration::from_millis(100)),
        ..kernels::Options::default()
    };
    let rows = kernels::measure(cases.map(make), &options, &|_| {}).expect("failures are rows");
    assert_eq!(rows.len(), cases_of(&rows, "nll") + cases_of(&rows, "cls_observed"));
    let required = std::env::var(REQUIRED).unwrap_or_default();
    for row in rows {
        let needed = required
            .split(',')
            .any(|name| name == row.contender || row.contender == "wootz" && name == "wootz-python");
        match row.outcome {
            kernels::Outcome::Ok(measured) => assert!(measured.versions.contains_key("python")),
            kernels::Outcome::Missing { reason } => {
                println!("skipped: {} {}: {reason}", row.case, row.contender);
                assert!(!needed, "{} is required: {reason}", row.contender);
            }
            other => panic!("{} {}: {other:?}", row.case, row.contender),
        }
    }
}

fn cases_of(rows: &[kernels::Row], case: &str) -> usize {
    rows.iter().filter(|row| row.case == case).count()
}
