//! `wootz scan`: CLs over a range of the parameter of interest, or the profiled likelihood of a parameter.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use serde_json::json;
use wootz::histfactory::{HypotestOptions, LimitOptions, Statistic};

use super::{Analysis, BAND, Fits, Progress, Source, advise, hypotest, parse_statistic, picture};
use crate::output::{print, print_json};

/// Test values of the parameter of interest over a range: CLs, observed and expected, and the limits in between
///
/// With --parameter: −2 ln λ of any parameter, all others fitted again at each value.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    fits: Fits,
    /// Scan −2 ln λ of this parameter and not CLs
    #[arg(long, value_name = "NAME", conflicts_with_all = ["level", "test_stat"])]
    parameter: Option<String>,
    /// The first value [default: 0; of --parameter 2.5 standard deviations below the best fit]
    #[arg(long, value_name = "MU", allow_negative_numbers = true)]
    from: Option<f64>,
    /// The last value [default: 5; of --parameter 2.5 standard deviations above the best fit]
    #[arg(long, value_name = "MU", allow_negative_numbers = true)]
    to: Option<f64>,
    /// How many values, equally spaced
    #[arg(long, value_name = "N", default_value_t = 41, value_parser = clap::value_parser!(u32).range(2..))]
    points: u32,
    /// CLs below which a value is excluded
    #[arg(long, value_name = "CLS", default_value_t = 0.05)]
    level: f64,
    /// The test statistic: q, qtilde
    #[arg(long, value_name = "NAME", default_value = "qtilde", value_parser = parse_statistic)]
    test_stat: Statistic,
    /// A picture of CLs with its expected band, or of −2 ln λ
    #[arg(long, value_name = "FILE.svg|png")]
    picture: Option<PathBuf>,
}

pub(crate) fn scan(args: &Args) -> Result<()> {
    picture::check([&args.picture])?;
    if let Some(name) = &args.parameter {
        return likelihood(args, name);
    }
    let values = args.values(0.0, 5.0)?;
    let Analysis { mut inference, data, model } = args.source.open()?;
    let test = HypotestOptions { statistic: args.test_stat, fit: args.fits.options(model.config())? };
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

/// How many standard deviations around the best fit are scanned by default.
const REACH: f64 = 2.5;

fn likelihood(args: &Args, name: &str) -> Result<()> {
    let Analysis { mut inference, data, model } = args.source.open()?;
    let config = model.config();
    let Some(index) = config.names.iter().position(|n| n == name) else {
        bail!("there is no parameter `{name}`; there are: {}", config.names.join(", "));
    };
    let options = args.fits.options(model.config())?;
    let fit = inference.fit(&data, &options)?;
    let n = fit.parameters.len();
    let reach = REACH * inference.covariance(&fit, &data)?[index * n + index].sqrt();
    let (low, high) = options.bounds.as_ref().unwrap_or(&config.bounds)[index];
    let best = fit.parameters[index];
    let values = args.values((best - reach).max(low), (best + reach).min(high))?;
    let progress = Progress::of(values.len(), &mut inference);
    let rises = inference.profile(index, &values, &fit, &data, &options);
    progress.finish();
    let rises = rises?;
    if let Some(path) = &args.picture {
        picture::likelihood(path, name, &values, &rises)?;
    }
    if args.source.json {
        return print_json(&json!({
            "parameter": name,
            "best_fit": best,
            "values": values,
            "twice_nll_rises": rises,
        }));
    }
    let mut out = format!("{name:>12}  {:>12}", "−2 ln λ");
    for (value, rise) in values.iter().zip(&rises) {
        out += &format!("\n{value:>12.5}  {rise:>12.6}");
    }
    print(&out)
}

impl Args {
    /// The values to scan, equally spaced; between these where nothing else is asked for.
    fn values(&self, from: f64, to: f64) -> Result<Vec<f64>> {
        let (from, to) = (self.from.unwrap_or(from), self.to.unwrap_or(to));
        ensure!(from < to, "--from {from} must be below --to {to}");
        let step = (to - from) / f64::from(self.points - 1);
        Ok((0..self.points).map(|i| from + step * f64::from(i)).collect())
    }
}
