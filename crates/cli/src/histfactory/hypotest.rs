//! `wootz hypotest`: CLs of one value of the parameter of interest.

use anyhow::Result;
use serde_json::{Value, json};
use wootz::histfactory::{Hypotest, HypotestOptions, Statistic};

use super::{Analysis, BAND, Fits, Source, advise, parse_statistic};
use crate::output::{print, print_json};

/// Test a value of the parameter of interest by asymptotic formulae: CLs, observed and expected
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    fits: Fits,
    /// The tested value
    #[arg(long, value_name = "MU", default_value_t = 1.0, allow_negative_numbers = true)]
    mu: f64,
    /// The test statistic: q0 (with --mu 0), q, qtilde
    #[arg(long, value_name = "NAME", default_value = "qtilde", value_parser = parse_statistic)]
    test_stat: Statistic,
}

pub(crate) fn hypotest(args: &Args) -> Result<()> {
    let Analysis { mut inference, data, model } = args.source.open()?;
    let options = HypotestOptions { statistic: args.test_stat, fit: args.fits.options(model.config())? };
    let test = inference.hypotest(args.mu, &data, &options)?;
    advise(test.advice);
    if args.source.json {
        return print_json(&as_json(&test));
    }
    let what = if args.test_stat == Statistic::Q0 { "p-value" } else { "CLs" };
    let mut out =
        format!("{what} of {} = {}\n  observed  {:.6}\n", args.test_stat.name(), test.mu, test.observed);
    for (name, value) in BAND.iter().zip(test.expected) {
        out += &format!("  {name:8}  {value:.6}\n");
    }
    print(&out)
}

pub(crate) fn as_json(test: &Hypotest) -> Value {
    json!({
        "mu": test.mu,
        "observed": test.observed,
        "expected": test.expected,
        "cls_b": test.cls_b,
        "cl_b": test.cl_b,
        "statistic": test.statistic,
        "asimov_statistic": test.asimov,
    })
}
