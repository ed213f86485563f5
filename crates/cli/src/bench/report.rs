//! `wootz bench report`.

use std::path::PathBuf;

use anyhow::Result;

use crate::output::{print, print_json};

/// Print the table of an earlier run
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The run's folder or its result.json
    path: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn report(args: &Args) -> Result<()> {
    let report = wootz_bench::report(&args.path)?;
    if args.json { print_json(&serde_json::to_value(&report)?) } else { print(&report.to_string()) }
}
