//! `wootz significance`: the significance of a discovery.

use anyhow::Result;
use serde_json::json;

use super::{Analysis, Fits, Source};
use crate::output::{print, print_json};

/// Find the significance of a discovery: of the data over a background without signal, and as expected
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    fits: Fits,
}

pub(crate) fn significance(args: &Args) -> Result<()> {
    let Analysis { mut inference, data, model } = args.source.open()?;
    let z = inference.significance(&data, &args.fits.options(model.config())?)?;
    if args.source.json {
        return print_json(&json!({
            "observed": z.observed,
            "expected": z.expected,
            "p_value": z.p_value,
            "mu_hat": z.mu_hat,
        }));
    }
    print(&format!(
        "observed  {:.4} standard deviations (p = {:.3e}), best fit {:.5}\nexpected  {:.4}",
        z.observed, z.p_value, z.mu_hat, z.expected
    ))
}
