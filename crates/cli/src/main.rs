//! The `wootz` command: benchmark, inspect and run models, analyse workspaces. One file a subcommand.

mod backends;
mod bench;
mod exit;
mod histfactory;
mod inspect;
mod kernels;
mod model;
mod output;
mod profile;
mod run;
mod shape;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::histfactory::{fit, hypotest, limit, ranking, scan, significance, toys};

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
    Fit(fit::Args),
    Hypotest(hypotest::Args),
    Limit(limit::Args),
    Scan(scan::Args),
    Significance(significance::Args),
    Toys(toys::Args),
    Ranking(ranking::Args),
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
        Command::Fit(args) => fit::fit(&args),
        Command::Hypotest(args) => hypotest::hypotest(&args),
        Command::Limit(args) => limit::limit(&args),
        Command::Scan(args) => scan::scan(&args),
        Command::Significance(args) => significance::significance(&args),
        Command::Toys(args) => toys::toys(&args),
        Command::Ranking(args) => ranking::ranking(&args),
        Command::BenchWorker => bench::worker(),
    }
}
