//! `wootz toys`: a test by pseudo-experiments.

use anyhow::Result;
use serde_json::json;
use wootz::histfactory::{Statistic, ToyOptions};

use super::{Analysis, BAND, Fits, Progress, Source, parse_statistic};
use crate::output::{print, print_json};

/// Test a value of the parameter of interest by toys under each hypothesis
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    fits: Fits,
    /// The tested value
    #[arg(long, value_name = "MU", default_value_t = 1.0, allow_negative_numbers = true)]
    mu: f64,
    /// Toys under each hypothesis
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    toys: u32,
    /// The same seed gives the same toys
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads [default: every core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// The test statistic: q0 (with --mu 0), q, qtilde, t, ttilde
    #[arg(long, value_name = "NAME", default_value = "qtilde", value_parser = parse_statistic)]
    test_stat: Statistic,
    /// With --json: the statistics of all toys
    #[arg(long, requires = "json")]
    statistics: bool,
}

pub(crate) fn toys(args: &Args) -> Result<()> {
    let Analysis { mut inference, data, model } = args.source.open()?;
    let options = ToyOptions {
        toys: args.toys as usize,
        seed: args.seed,
        threads: args.threads.map(usize::from),
        statistic: args.test_stat,
        fit: args.fits.options(model.config())?,
    };
    let progress = Progress::of(2 * options.toys, &mut inference);
    let toys = inference.toys(args.mu, &data, &options);
    progress.finish();
    let toys = toys?;
    if args.source.json {
        let mut out = json!({
            "mu": toys.mu,
            "statistic": toys.statistic,
            "cls_b": toys.cls_b,
            "cl_b": toys.cl_b,
            "observed": toys.observed,
            "expected": toys.expected,
            "failed": toys.failed,
        });
        if args.statistics {
            out["signal"] = json!(toys.signal);
            out["background"] = json!(toys.background);
        }
        return print_json(&out);
    }
    let what = if args.test_stat == Statistic::Q0 { "p-value" } else { "CLs" };
    let mut out = format!(
        "{what} of {} by {} toys under each hypothesis ({} without a fit)\n  observed  {:.6}\n",
        toys.mu, args.toys, toys.failed, toys.observed
    );
    for (name, value) in BAND.iter().zip(toys.expected) {
        out += &format!("  {name:8}  {value:.6}\n");
    }
    print(&out)
}
