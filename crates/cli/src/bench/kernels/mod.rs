//! `wootz bench kernels`: single kernels against hand-written loops, bandwidth and other stacks.

mod cases;
mod compiling;
mod local;
mod program;
mod reductions;
mod training;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use wootz::cpu::isa::Isa;
use wootz::runtime::Backend;
use wootz_bench::kernels::{Options, Report, measure};

use super::run::IsaArg;
use crate::output::{print, print_json};

pub(super) use cases::{Planned, interpret};

/// Measure single kernels against hand-written loops, bandwidth and other stacks
///
/// Elementwise chains, softmax, layer norm, reductions, the optimizer's step, small programs, compiling. Every result is
/// checked before it is timed; a stack that is not installed is a row that says so.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only kernels whose name contains one of these
    #[arg(value_name = "NAMES")]
    names: Vec<String>,
    /// Leave out these stacks: numpy, pytorch, onnxruntime
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    without: Vec<String>,
    /// Threads of the kernels that use several [default: every core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Hold every stack to this instruction set that can be; the head of the table says which could not
    #[arg(long, value_enum)]
    isa: Option<IsaArg>,
    /// Rounds, at least 10
    #[arg(long, value_name = "N", default_value_t = 10)]
    repeats: usize,
    /// Shortest duration of a sample
    #[arg(long, value_name = "MS", default_value_t = 20)]
    sample_time: u64,
    /// Folder to keep the result in, as kernels.json, for `bench report`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print the names and measure nothing
    #[arg(long)]
    list: bool,
}

pub(crate) fn kernels(args: &Args) -> Result<()> {
    let isa = match args.isa {
        Some(IsaArg::Avx2) => Isa::requested(Isa::Avx2.name())?,
        None => Isa::detect()?,
    };
    let available = wootz::cpu::pool::default_threads()?;
    let threads = args.threads.map_or(available, |n| usize::from(n).min(available));
    let mut cases = cases::all(isa, threads);
    cases.retain(|case| args.names.is_empty() || args.names.iter().any(|name| case.name.contains(name)));
    if cases.is_empty() {
        bail!("no kernel's name contains {}; see --list", args.names.join(" or "));
    }
    if args.list {
        let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        return if args.json { print_json(&names.into()) } else { print(&names.join("\n")) };
    }
    let options = Options {
        rounds: args.repeats,
        sample_time: Duration::from_millis(args.sample_time),
        without: args.without.clone(),
        isa: args.isa.map(Into::into),
        ..Options::default()
    };
    let mut report = Report::begin(subject(isa)? + &held(args), &options);
    let announce = |what: &str| log(what);
    report.rows = measure(cases.into_iter().map(|case| case.make), &options, &announce)?;
    if let Some(folder) = &args.out {
        report.write(&folder.join("kernels.json"))?;
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

/// What wootz says of itself.
pub(super) fn subject(isa: Isa) -> Result<String> {
    let backend = program::cpu(isa);
    backend.check()?;
    Ok(format!("wootz {} ({})", env!("CARGO_PKG_VERSION"), backend.target().isa))
}

/// What stacks are held to, and which could not be.
fn held(args: &Args) -> String {
    let Some(isa) = args.isa.map(wootz_bench::Isa::from) else { return String::new() };
    let free: Vec<&str> = ["numpy", "pytorch", "onnxruntime"]
        .into_iter()
        .filter(|stack| !isa.holds(stack) && !args.without.iter().any(|name| name == stack))
        .collect();
    match free.is_empty() {
        true => format!(", held to {}", isa.name()),
        false => format!(", held to {} but {}", isa.name(), free.join(", ")),
    }
}

/// Says on a terminal what is going on.
pub(super) fn log(what: &str) {
    use std::io::{IsTerminal, Write};
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        // A message that cannot be shown is not worth an error.
        let _ = write!(stderr, "\r\x1b[2K{what}");
        let _ = stderr.flush();
    }
}
