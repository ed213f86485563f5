//! The Python workers on small cases: those whose packages are there are held to the float64 reference; for the others
//! the reason is printed. `cargo xtask test` requires those that the package's own environment has.

mod common;

use common::{options, temporary};
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
