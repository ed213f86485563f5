//! `wootz scan`: CLs over a range of the parameter of interest.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde_json::json;
use wootz::histfactory::{HypotestOptions, LimitOptions, Statistic};

use super::{Analysis, BAND, Fits, Progress, Source, advise, hypotest, parse_statistic, picture};
use crate::output::{print, print_json};

/// Test values of the parameter of interest over a range: CLs, observed and expected, and the limits in between
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    fits: Fits,
    /// The first value
    #[arg(long, value_name = "MU", default_value_t = 0.0, allow_negative_numbers = true)]
    from: f64,
    /// The last value
    #[arg(long, value_name = "MU", default_value_t = 5.0)]
    to: f64,
    /// How many values, equally spaced
    #[arg(long, value_name = "N", default_value_t = 41, value_parser = clap::value_parser!(u32).range(2..))]
    points: u32,
    /// CLs below which a value is excluded
    #[arg(long, value_name = "CLS", default_value_t = 0.05)]
    level: f64,
    /// The test statistic: q, qtilde
    #[arg(long, value_name = "NAME", default_value = "qtilde", value_parser = parse_statistic)]
    test_stat: Statistic,
    /// A picture of CLs with its expected band
    #[arg(long, value_name = "FILE.svg")]
    picture: Option<PathBuf>,
}

pub(crate) fn scan(args: &Args) -> Result<()> {
    ensure!(args.from < args.to, "--from {} must be below --to {}", args.from, args.to);
    let Analysis { mut inference, data, model } = args.source.open()?;
    let step = (args.to - args.from) / f64::from(args.points - 1);
    let values: Vec<f64> = (0..args.points).map(|i| args.from + step * f64::from(i)).collect();
    let test = HypotestOptions { statistic: args.test_stat, fit: args.fits.options() };
    let options = LimitOptions { level: args.level, test, ..LimitOptions::default() };
    let progress = Progress::of(values.len(), &mut inference);
    let scan = inference.scan(&values, &data, &options);
    progress.finish();
    let scan = scan?;
    advise(scan.tests.first().and_then(|t| t.advice));
    if let Some(path) = &args.picture {
        let poi = model.config().poi.map_or("μ", |poi| &model.config().names[poi]);
        picture::cls(path, poi, args.level, &scan)?;
    }
    if args.source.json {
        return print_json(&json!({
            "level": args.level,
            "tests": scan.tests.iter().map(hypotest::as_json).collect::<Vec<_>>(),
            "observed": scan.observed,
            "expected": scan.expected,
        }));
    }
    let mut out = format!("{:>10}  {:>9}", "", "observed");
    BAND.iter().for_each(|name| out += &format!("  {name:>9}"));
    for test in &scan.tests {
        out += &format!("\n{:>10.4}  {:>9.5}", test.mu, test.observed);
        test.expected.iter().for_each(|x| out += &format!("  {x:>9.5}"));
    }
    let limit = |x: Option<f64>| x.map_or("-".to_owned(), |x| format!("{x:.5}"));
    out += &format!("\n\n{:>10}  {:>9}", "limit", limit(scan.observed));
    scan.expected.iter().for_each(|x| out += &format!("  {:>9}", limit(*x)));
    print(&out)
}
