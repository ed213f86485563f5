//! Developer commands: `cargo xtask --help`. One file a subcommand.

mod accuracy;
mod bless;
mod docs;
mod fuzz;
mod generate;
mod memcheck;
mod peers;
mod process;
mod repo;
mod snapshot;
mod steps;
mod test;
mod tidy;
mod venv;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::repo::Repo;

/// Developer commands of the wootz repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Test(test::Args),
    Tidy(tidy::Args),
    Gen(generate::Args),
    Bless(bless::Args),
    Peers(peers::Args),
    Snapshot(snapshot::Args),
    Memcheck(memcheck::Args),
    Fuzz(fuzz::Args),
    MathAccuracy(accuracy::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where in these commands an error arose helps nobody: no backtrace.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    let repo = Repo::locate()?;
    match command {
        Command::Test(args) => test::run(&repo, &args),
        Command::Tidy(args) => tidy::run(&repo, &args),
        Command::Gen(args) => generate::run(&repo, &args),
        Command::Bless(args) => bless::run(&repo, &args),
        Command::Peers(args) => peers::run(&repo, &args),
        Command::Snapshot(args) => snapshot::run(&repo, &args),
        Command::Memcheck(args) => memcheck::run(&repo, &args),
        Command::Fuzz(args) => fuzz::run(&repo, &args),
        Command::MathAccuracy(args) => accuracy::run(&repo, &args),
    }
}
