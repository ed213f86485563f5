//! `wootz ranking`: what nuisance parameters do to the parameter of interest.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;

use super::{Analysis, Fits, Progress, Source, picture};
use crate::output::{print, print_json};

/// Rank nuisance parameters by their impact: how far the parameter of interest moves when they are fixed off their best fit
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    fits: Fits,
    /// The most parameters to show
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
    /// A picture of the impacts and pulls
    #[arg(long, value_name = "FILE.svg|png")]
    picture: Option<PathBuf>,
}

pub(crate) fn ranking(args: &Args) -> Result<()> {
    picture::check([&args.picture])?;
    let Analysis { mut inference, data, model } = args.source.open()?;
    let options = args.fits.options(model.config())?;
    let fit = inference.fit(&data, &options)?;
    let movable = fit.fitted.iter().zip(&fit.held).filter(|(fitted, held)| **fitted && !**held).count();
    let progress = Progress::of(movable.saturating_sub(1), &mut inference);
    let ranking = inference.ranking(&fit, &data, &options);
    progress.finish();
    let ranking = ranking?;
    let names = &model.config().names;
    if let Some(path) = &args.picture {
        let pulls = inference.pulls(&fit, &data)?;
        picture::ranking(path, names, &ranking[..ranking.len().min(args.top)], &pulls)?;
    }
    if args.source.json {
        let rows = ranking
            .iter()
            .map(|i| json!({ "name": names[i.parameter], "postfit": i.postfit, "prefit": i.prefit }));
        return print_json(&rows.collect());
    }
    let shown = &ranking[..ranking.len().min(args.top)];
    let width = shown.iter().map(|i| names[i.parameter].chars().count()).max().unwrap_or(0);
    let mut out = format!("{:width$}  {:^22}  {:^22}", "", "after the fit", "before the fit");
    for impact in shown {
        let pair = |p: [f64; 2]| format!("{:>+10.5} {:>+10.5}", p[0], p[1]);
        let prefit = impact.prefit.map_or(String::new(), pair);
        out += &format!("\n{:width$}  {:>22}  {prefit:>22}", names[impact.parameter], pair(impact.postfit));
    }
    print(&out)
}
