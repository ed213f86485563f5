//! `wootz bench`: compile against execution, by the method of the suite in `wootz-bench`.

mod compare;
mod histfactory;
mod kernels;
mod report;
mod roofline;
mod run;
mod worker;

use anyhow::Result;

/// Measure wootz and other stacks, and compare the results
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    Run(run::Args),
    Report(report::Args),
    Compare(compare::Args),
    Kernels(kernels::Args),
    Histfactory(histfactory::Args),
    Roofline(roofline::Args),
}

pub(crate) fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Run(args) => run::run(args),
        Command::Report(args) => report::report(&args),
        Command::Compare(args) => compare::compare(&args),
        Command::Kernels(args) => kernels::kernels(&args),
        Command::Histfactory(args) => histfactory::histfactory(&args),
        Command::Roofline(args) => roofline::roofline(&args),
    }
}

/// Serves one benchmark run.
pub(crate) fn worker() -> Result<()> {
    Ok(wootz_bench::worker::serve(&worker::Wootz)?)
}
