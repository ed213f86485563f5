//! `cargo xtask snapshot`: run the benchmarks and keep the result in the repository.

use anyhow::{Result, bail};
use jiff::Timestamp;

use crate::repo::Repo;

/// Run `wootz bench run quick` and keep its result below runs/.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What the machine is called in the folder's name, as in `runs/2026-11-22-zen3`
    #[arg(long)]
    machine: String,
    /// Go on with the run that today's folder holds
    #[arg(long)]
    resume: bool,
    /// Further options of `wootz bench run`, after `--`
    #[arg(last = true, value_name = "OPTIONS")]
    options: Vec<String>,
}

/// Runs the benchmarks into `runs/<date>-<machine>`, which must not exist unless the run is resumed.
pub(crate) fn run(repo: &Repo, args: &Args) -> Result<()> {
    if args.machine.is_empty()
        || !args.machine.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    {
        bail!("the machine's name `{}` may hold letters, digits, `-` and `_` only", args.machine);
    }
    let folder = format!("runs/{}-{}", Timestamp::now().strftime("%Y-%m-%d"), args.machine);
    if repo.has(&folder) && !args.resume {
        bail!("{folder} is there already; published results are not overwritten");
    }
    let process = repo
        .cargo(&[
            "run",
            "--release",
            "--package",
            "wootz-cli",
            "--bin",
            "wootz",
            "--",
            "bench",
            "run",
            "quick",
        ])
        .args(["--out", &folder])
        .args(args.resume.then_some("--resume"))
        .args(&args.options);
    println!("$ {process}");
    process.run()?;
    if !repo.has(&folder) {
        bail!("the run ended well and yet there is no {folder}");
    }
    println!("kept in {folder}; add it to the next commit");
    Ok(())
}
