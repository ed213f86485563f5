//! `cargo xtask math-accuracy`: the errors of the elementary and special functions.

use anyhow::Result;

use crate::repo::Repo;

/// Compare functions of f32 with f64 ones, on every operand (takes minutes a function).
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Take every n-th operand only
    #[arg(long, default_value_t = 1, value_name = "N")]
    stride: u64,
    /// Threads to use [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Functions, as `exp`; all of them if none is named
    #[arg(value_name = "FUNCTION")]
    functions: Vec<String>,
}

/// Runs the example `math_accuracy` of the CPU backend.
pub(crate) fn run(repo: &Repo, args: &Args) -> Result<()> {
    let mut process = repo
        .cargo(&["run", "--release", "--package", "wootz-cpu", "--example", "math_accuracy", "--"])
        .args(["--stride", &args.stride.to_string()]);
    if let Some(threads) = args.threads {
        process = process.args(["--threads", &threads.to_string()]);
    }
    process.args(&args.functions).run()
}
