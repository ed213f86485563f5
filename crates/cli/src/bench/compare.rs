//! `wootz bench compare`.

use std::path::PathBuf;

use anyhow::Result;

use crate::output::{print, print_json};

/// Say where run B is better or worse than run A, by 95 % intervals
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The earlier run: its folder or its result.json
    a: PathBuf,
    /// The later run
    b: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn compare(args: &Args) -> Result<()> {
    let (a, b) = (wootz_bench::report(&args.a)?, wootz_bench::report(&args.b)?);
    let comparison = wootz_bench::compare(&a, &b);
    if args.json { print_json(&serde_json::to_value(&comparison)?) } else { print(&comparison.to_string()) }
}
