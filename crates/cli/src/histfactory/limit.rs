//! `wootz limit`: the upper limit on the parameter of interest.

use anyhow::Result;
use serde_json::json;
use wootz::histfactory::{HypotestOptions, LimitOptions, Statistic};

use super::{Analysis, BAND, Fits, Progress, Source, advise, parse_statistic};
use crate::output::{print, print_json};

/// Find the upper limit on the parameter of interest: where CLs falls below a level, observed and expected
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    fits: Fits,
    /// CLs below which a value is excluded
    #[arg(long, value_name = "CLS", default_value_t = 0.05)]
    level: f64,
    /// The test statistic: q, qtilde
    #[arg(long, value_name = "NAME", default_value = "qtilde", value_parser = parse_statistic)]
    test_stat: Statistic,
}

pub(crate) fn limit(args: &Args) -> Result<()> {
    let Analysis { mut inference, data, model } = args.source.open()?;
    let test = HypotestOptions { statistic: args.test_stat, fit: args.fits.options(model.config())? };
    let options = LimitOptions { level: args.level, test, ..LimitOptions::default() };
    let progress = Progress::endless(&mut inference);
    let limit = inference.upper_limit(&data, &options);
    progress.finish();
    let limit = limit?;
    let widened = limit.widened.map(|bound| {
        format!("the upper bound of the parameter of interest was in the way: widened to {bound}")
    });
    advise(widened.as_deref());
    if args.source.json {
        return print_json(&json!({
            "level": args.level,
            "observed": limit.observed,
            "expected": limit.expected,
            "widened": limit.widened,
        }));
    }
    let mut out = format!("upper limit at CLs = {}\n  observed  {:.6}\n", args.level, limit.observed);
    for (name, value) in BAND.iter().zip(limit.expected) {
        out += &format!("  {name:8}  {value:.6}\n");
    }
    print(&out)
}
