//! `wootz bench histfactory`: inference on statistical workspaces against other stacks.

mod cases;
mod growth;
mod native;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use wootz::cpu::isa::Isa;
use wootz_bench::kernels::{Options, Report, measure};

use super::kernels::{log, subject};
use crate::output::{print, print_json};
use cases::Effort;

/// Measure inference on statistical workspaces against NextStat and pyhf
///
/// Log-densities, gradients, fits, tests, opening a workspace, toys; on the workloads that ship with wootz. Every result is checked before it is timed;
/// a stack that is not installed is a row that says so.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How thorough
    #[arg(value_enum, default_value_t = Preset::Quick)]
    preset: Preset,
    /// Only cases whose name contains one of these, for example --only fit --only "thu-like: NLL"
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Leave out these stacks: nextstat, pyhf-numpy, pyhf-jax
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    without: Vec<String>,
    /// Threads of toys; all else takes one [default: every core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Rounds, at least 10 [default: 10 (quick), 30 (full)]
    #[arg(long, value_name = "N")]
    repeats: Option<usize>,
    /// Shortest duration of a sample
    #[arg(long, value_name = "MS", default_value_t = 20)]
    sample_time: u64,
    /// Folder to keep the result in, as histfactory.json, for `bench report`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print the names and measure nothing
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Preset {
    /// A few seconds a stack and case
    Quick,
    /// More rounds, more time for what is slow, ten times the toys
    Full,
}

pub(crate) fn histfactory(args: &Args) -> Result<()> {
    let (effort, rounds, budget, timeout) = match args.preset {
        Preset::Quick => (Effort { toys: 1_000 }, 10, 3, 60),
        Preset::Full => (Effort { toys: 10_000 }, 30, 30, 600),
    };
    let available = wootz::cpu::pool::default_threads()?;
    let threads = args.threads.map_or(available, |n| usize::from(n).min(available));
    let mut cases = cases::all(effort, threads);
    cases.retain(|case| args.only.is_empty() || args.only.iter().any(|name| case.name.contains(name)));
    if cases.is_empty() {
        bail!("no case's name contains {}; see --list", args.only.join(" or "));
    }
    if args.list {
        let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        return if args.json { print_json(&names.into()) } else { print(&names.join("\n")) };
    }
    let options = Options {
        rounds: args.repeats.unwrap_or(rounds),
        sample_time: Duration::from_millis(args.sample_time),
        without: args.without.clone(),
        timeout: Duration::from_secs(timeout),
        budget: Some(Duration::from_secs(budget)),
        ..Options::default()
    };
    let mut report = Report::begin(subject(Isa::detect()?)?, &options);
    report.rows = measure(cases.into_iter().map(|case| case.make), &options, &|what| log(what))?;
    if let Some(folder) = &args.out {
        report.write(&folder.join("histfactory.json"))?;
    }
    if args.json {
        print_json(&serde_json::to_value(&report)?)?;
    } else {
        print(&report.to_string())?;
    }
    let failed = report.failures().count();
    if failed > 0 {
        bail!("{failed} of {} rows failed; the reasons are below the table", report.rows.len());
    }
    Ok(())
}
