//! What the tests share.

use std::path::PathBuf;
use std::time::Duration;

use wootz_bench::protocol::Loss;
use wootz_bench::runner::Worker;
use wootz_bench::{Model, RunOptions, Runner};

pub(crate) fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Two small cases on the well-behaved worker `fake`.
pub(crate) fn options(out: PathBuf) -> RunOptions {
    RunOptions {
        models: vec![Model::new("tiny", &[6, 5, 3], Loss::CrossEntropy)],
        backends: Some(Vec::new()),
        batch_sizes: vec![4],
        cold_batch_sizes: vec![4],
        threads: Some(1),
        warmup_rounds: 1,
        sample_time: Duration::from_micros(100),
        timeout: Duration::from_secs(60),
        baseline: "fake".to_owned(),
        out: Some(out),
        progress: false,
        extra_runners: vec![fake("fake", &[])],
        ..RunOptions::quick()
    }
}

pub(crate) fn fake(name: &str, environment: &[(&str, &str)]) -> Runner {
    let mut runner = Runner::command(name, [env!("CARGO_BIN_EXE_wootz-bench-fake-worker")]);
    if let Worker::Command(command) = &mut runner.worker {
        command.environment = environment.iter().map(|(n, v)| (n.into(), v.into())).collect();
    }
    runner
}
