//! `cargo xtask memcheck`: tests under AddressSanitizer and under valgrind.

use anyhow::{Result, bail};

use crate::process::Process;
use crate::repo::{Repo, TEST_PROFILE};
use crate::steps::Steps;

/// Run the CPU backend's tests and small conformance cases under AddressSanitizer and valgrind.
///
/// AddressSanitizer needs a nightly toolchain (`rustup toolchain install nightly --profile minimal`); it sees what
/// compiled Rust touches. valgrind needs valgrind; it also sees machine code made at run time, with AVX2 at most. A tool
/// that is not installed is named, and fails only if it was asked for.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only AddressSanitizer
    #[arg(long, conflicts_with = "valgrind")]
    asan: bool,
    /// Only valgrind
    #[arg(long)]
    valgrind: bool,
}

/// The one target both tools have.
const TARGET: &str = "x86_64-unknown-linux-gnu";

pub(crate) fn run(repo: &Repo, args: &Args) -> Result<()> {
    let mut steps = Steps::new();
    if !args.valgrind {
        let installed = Process::new("rustup").args(["run", "nightly", "rustc", "--version"]).stdout();
        match installed {
            Ok(_) => asan(repo, &mut steps)?,
            Err(_) if args.asan => {
                bail!("there is no nightly toolchain: rustup toolchain install nightly --profile minimal")
            }
            Err(_) => steps.absent("AddressSanitizer", "there is no nightly toolchain"),
        }
    }
    if !args.asan {
        match Process::new("valgrind").arg("--version").stdout() {
            Ok(_) => valgrind(repo, &mut steps)?,
            Err(_) if args.valgrind => bail!("valgrind is not installed"),
            Err(_) => steps.absent("valgrind", "it is not installed"),
        }
    }
    steps.summary();
    Ok(())
}

fn asan(repo: &Repo, steps: &mut Steps) -> Result<()> {
    let test = |what: &[&str]| {
        // rustup's proxy: the checkout's own toolchain file names a stable one.
        Process::new("rustup")
            .args(["run", "nightly", "cargo", "test", "--profile", TEST_PROFILE, "--target", TARGET])
            .args(what)
            .env("RUSTFLAGS", "-Zsanitizer=address")
            // Tests that run into guard pages on purpose expect the signal itself.
            .env("ASAN_OPTIONS", "handle_segv=0")
            .env("CARGO_TARGET_DIR", repo.scratch("asan"))
            .current_dir(repo.root())
    };
    // Not the model of the pool: loom's memory is its own.
    let cpu = ["--lib", "--test", "kernels", "--test", "ops", "--test", "allocations", "--test", "no_alloc"];
    steps.run("AddressSanitizer: cpu", &test(&[&["--package", "wootz-cpu"], &cpu[..]].concat()))?;
    let cases = test(&[
        "--package",
        "wootz-conformance",
        "--test",
        "cpu",
        "--",
        "suite_passes",
        "random_programs_pass",
    ]);
    steps.run("AddressSanitizer: conformance", &cases)?;
    // Every allocation has its exact size under the portable path as well.
    steps.run("AddressSanitizer: conformance, portable", &cases.env("WOOTZ_CPU", "portable"))
}

fn valgrind(repo: &Repo, steps: &mut Steps) -> Result<()> {
    let test = |what: &[&str]| {
        repo.cargo(&["test", "--profile", TEST_PROFILE])
            .args(what)
            // Vector code takes more of valgrind's own memory than it has for blocks of the usual length.
            .env(
                "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER",
                "valgrind --quiet --error-exitcode=99 --leak-check=no --vex-guest-max-insns=25",
            )
            // valgrind knows no AVX-512.
            .env("WOOTZ_CPU", "avx2")
            .env("WOOTZ_THREADS", "2")
    };
    steps.run("valgrind: the thread pool", &test(&["--package", "wootz-cpu", "--lib", "pool::"]))?;
    steps.run("valgrind: the tile VM", &test(&["--package", "wootz-cpu", "--lib", "vm::"]))?;
    steps.run("valgrind: machine code", &test(&["--package", "wootz-cpu", "--lib", "jit::"]))?;
    let random = ["--package", "wootz-conformance", "--test", "cpu", "--", "random_programs_pass"];
    steps.run("valgrind: random programs", &test(&random))
}
