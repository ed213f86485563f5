//! `wootz fit`: the maximum likelihood fit of a workspace.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};
use wootz::histfactory::{Fit, FitOptions, GoodnessOfFit, Prediction, Pull};

use super::{Analysis, Fits, Source, picture};
use crate::output::{print, print_json};

/// Fit a pyhf workspace: best-fit parameters, uncertainties, pulls, goodness of fit, yields
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    fits: Fits,
    /// Hold the parameter of interest at this value
    #[arg(long, value_name = "MU", allow_negative_numbers = true)]
    mu: Option<f64>,
    /// Intervals of these parameters from the profiled likelihood, as MINOS gives them (repeatable)
    #[arg(long, value_name = "NAME")]
    interval: Vec<String>,
    /// A picture of the pulls
    #[arg(long, value_name = "FILE.svg|png")]
    pulls: Option<PathBuf>,
    /// A picture of the yields before and after the fit
    #[arg(long, value_name = "FILE.svg|png")]
    yields: Option<PathBuf>,
    /// A picture of the correlations
    #[arg(long, value_name = "FILE.svg|png")]
    correlations: Option<PathBuf>,
}

struct Summary {
    fit: Fit,
    covariance: Vec<f64>,
    pulls: Vec<Option<Pull>>,
    goodness: GoodnessOfFit,
    before: Prediction,
    after: Prediction,
    intervals: Vec<(usize, wootz::histfactory::Interval)>,
}

pub(crate) fn fit(args: &Args) -> Result<()> {
    picture::check([&args.pulls, &args.yields, &args.correlations])?;
    let mut analysis = args.source.open()?;
    let summary = summary(args, &mut analysis)?;
    let names = &analysis.model.config().names;
    if let Some(path) = &args.pulls {
        picture::pulls(path, names, &summary.pulls)?;
    }
    if let Some(path) = &args.correlations {
        picture::correlations(path, names, &summary.covariance)?;
    }
    if let Some(path) = &args.yields {
        let title = args.source.title();
        picture::yields(path, &title, &analysis.model, &analysis.data, &summary.before, &summary.after)?;
    }
    if args.source.json {
        print_json(&as_json(&analysis, &summary))
    } else {
        print(&as_text(&analysis, &summary))
    }
}

fn summary(args: &Args, analysis: &mut Analysis) -> Result<Summary> {
    let Analysis { inference, data, model } = analysis;
    let options = args.fits.options(model.config())?;
    let fit = inference.fit(data, &FitOptions { poi: args.mu, ..options.clone() })?;
    let covariance = inference.covariance(&fit, data)?;
    let names = &model.config().names;
    let mut intervals = Vec::new();
    for name in &args.interval {
        let Some(index) = names.iter().position(|n| n == name) else {
            bail!("there is no parameter `{name}`; there are: {}", names.join(", "));
        };
        intervals.push((index, inference.interval(index, 1.0, &fit, data, &options)?));
    }
    Ok(Summary {
        pulls: inference.pulls(&fit, data)?,
        goodness: inference.goodness_of_fit(&fit, data)?,
        before: inference.prefit_prediction()?,
        after: inference.prediction(&fit.parameters, &covariance)?,
        fit,
        covariance,
        intervals,
    })
}

fn error(covariance: &[f64], n: usize, i: usize) -> f64 {
    covariance[i * n + i].sqrt()
}

fn as_json(analysis: &Analysis, summary: &Summary) -> Value {
    let Summary { fit, covariance, pulls, goodness, after, .. } = summary;
    let config = analysis.model.config();
    let n = fit.parameters.len();
    let parameters: Map<String, Value> = (0..n)
        .map(|i| {
            let interval = summary.intervals.iter().find(|(at, _)| *at == i).map(|(_, x)| [x.lower, x.upper]);
            let parameter = json!({
                "value": fit.parameters[i],
                "uncertainty": error(covariance, n, i),
                "fixed": !fit.fitted[i],
                "held": fit.held[i],
                "pull": pulls[i].map(|p| p.value),
                "constraint": pulls[i].map(|p| p.uncertainty),
                "interval": interval,
            });
            (config.names[i].clone(), parameter)
        })
        .collect();
    let yields = |sample: usize| -> Map<String, Value> {
        let totals = config.channels.iter().zip(&after.sample_totals[sample]);
        totals.map(|(c, y)| (c.name.clone(), json!([y.value, y.uncertainty]))).collect()
    };
    let yields: Map<String, Value> =
        config.samples.iter().enumerate().map(|(s, name)| (name.clone(), yields(s).into())).collect();
    json!({
        "parameters": parameters,
        "names": config.names,
        "covariance": covariance.chunks(n).collect::<Vec<_>>(),
        "twice_nll": fit.twice_nll,
        "goodness_of_fit": {
            "chi2": goodness.chi2,
            "degrees_of_freedom": goodness.degrees_of_freedom,
            "p_value": goodness.p_value,
        },
        "yields": yields,
        "iterations": fit.iterations,
        "largest_scaled_gradient": fit.kkt,
    })
}

fn as_text(analysis: &Analysis, summary: &Summary) -> String {
    let Summary { fit, covariance, pulls, goodness, after, .. } = summary;
    let config = analysis.model.config();
    let n = fit.parameters.len();
    let width = config.names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut out =
        format!("{:width$}  {:>10}  {:>10}  {:>7}  {:>10}\n", "", "value", "±", "pull", "constraint");
    for i in 0..n {
        let name = &config.names[i];
        let _ = write!(out, "{name:width$}  {:>10.5}  {:>10.5}", fit.parameters[i], error(covariance, n, i));
        if let Some(pull) = pulls[i] {
            let _ = write!(out, "  {:>7.3}  {:>10.3}", pull.value, pull.uncertainty);
        }
        if !fit.fitted[i] {
            out.push_str("  fixed");
        } else if fit.held[i] {
            out.push_str("  at its bound, or without effect");
        }
        out.push('\n');
    }
    for (index, interval) in &summary.intervals {
        let end = |end: Option<f64>| end.map_or("its bound".to_owned(), |x| format!("{x:.5}"));
        let (lower, upper) = (end(interval.lower), end(interval.upper));
        let _ = writeln!(out, "\n{}: from {lower} to {upper} at −2 ln λ = 1", config.names[*index]);
    }
    let _ = writeln!(out, "\n-2 ln L = {:.6} after {} iterations", fit.twice_nll, fit.iterations);
    let (chi2, dof) = (goodness.chi2, goodness.degrees_of_freedom);
    let p = goodness.p_value.map_or(String::new(), |p| format!(", p = {p:.4}"));
    let _ = writeln!(out, "goodness of fit: χ² = {chi2:.3} for {dof} degrees of freedom{p}\n");
    let samples = config.samples.iter().zip(&after.sample_totals);
    let rows = samples.map(|(name, totals)| (name.as_str(), totals)).chain([("total", &after.channels)]);
    let width = config.samples.iter().map(|s| s.chars().count()).max().unwrap_or(0).max(5);
    for (c, channel) in config.channels.iter().enumerate() {
        let counts: f64 = analysis.data[channel.slice.clone()].iter().sum();
        let _ = writeln!(out, "{}: {counts} observed", channel.name);
        for (name, totals) in rows.clone() {
            let total = totals[c];
            let _ = writeln!(out, "  {name:width$}  {:>12.2} ± {:.2}", total.value, total.uncertainty);
        }
    }
    out
}
