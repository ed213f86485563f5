//! The `wootz` command: benchmark, inspect and run models. One file a subcommand.

mod backends;
mod bench;
mod exit;
mod inspect;
mod kernels;
mod model;
mod output;
mod profile;
mod run;
mod shape;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Define, compile, run and measure models.
///
/// Exit codes: 0 success, 1 something was wrong with what the command was given, 2 a command line that makes no sense,
/// 70 a bug in wootz.
#[derive(Parser)]
#[command(name = "wootz", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(subcommand)]
    Bench(bench::Command),
    Inspect(inspect::Args),
    Run(run::Args),
    Backends(backends::Args),
    /// Serve one benchmark run over standard input and output
    #[command(hide = true)]
    BenchWorker,
}

fn main() -> ExitCode {
    exit::catch_panics(|| match dispatch(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    })
}

fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Bench(command) => bench::dispatch(command),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Run(args) => run::run(&args),
        Command::Backends(args) => backends::backends(&args),
        Command::BenchWorker => bench::worker(),
    }
}
