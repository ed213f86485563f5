//! `cargo xtask fuzz`: the fuzz targets, compiled or run.

use std::fs;

use anyhow::{Context, Result};

use crate::process::Process;
use crate::repo::{Repo, TEST_PROFILE};

/// Check that the fuzz targets compile; with a target's name, fuzz it.
///
/// The check needs no nightly compiler and takes the versions of the workspace's Cargo.lock. Fuzzing needs a nightly toolchain
/// (`rustup toolchain install nightly --profile minimal`) and `cargo install cargo-fuzz`; what it finds is kept in fuzz/corpus and fuzz/artifacts.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The target to fuzz
    target: Option<String>,
    /// How long to fuzz
    #[arg(long, default_value_t = 300, value_name = "SECONDS", requires = "target")]
    seconds: u32,
}

pub(crate) fn run(repo: &Repo, args: &Args) -> Result<()> {
    match &args.target {
        None => check(repo),
        Some(target) => fuzz(repo, target, args.seconds),
    }
}

/// Without libFuzzer, which is C++ and not what can rot.
fn check(repo: &Repo) -> Result<()> {
    // The crate is a workspace of its own: it would resolve other versions of everything.
    let (from, to) = (repo.path("Cargo.lock"), repo.path("fuzz/Cargo.lock"));
    fs::copy(&from, &to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    repo.cargo(&["check", "--manifest-path", "fuzz/Cargo.toml", "--profile", TEST_PROFILE])
        .args(["--no-default-features", "--bins"])
        .run()
}

fn fuzz(repo: &Repo, target: &str, seconds: u32) -> Result<()> {
    let (corpus, seeds) = (format!("fuzz/corpus/{target}"), format!("fuzz/seeds/{target}"));
    fs::create_dir_all(repo.path(&corpus)).with_context(|| format!("cannot make {corpus}"))?;
    let folders: Vec<&str> =
        [&corpus, &seeds].into_iter().filter(|f| repo.has(f)).map(String::as_str).collect();
    // rustup's proxy: the checkout's own toolchain file names a stable one.
    Process::new("rustup")
        .args(["run", "nightly", "cargo", "fuzz", "run", target])
        .args(folders)
        .args(["--", &format!("-max_total_time={seconds}")])
        .current_dir(repo.root())
        .run()
}
