//! `wootz bench report`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;
use wootz_bench::kernels;

use crate::output::{print, print_json};

/// Print the tables of earlier runs
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A run's folder (all results in it), its result.json, or the JSON of `bench kernels` or `bench histfactory`
    path: PathBuf,
    /// Of `bench kernels` and `bench histfactory`, a line a case
    #[arg(long)]
    summary: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The results of a folder, in the order they are printed.
const FILES: [&str; 3] = ["result.json", "kernels.json", "histfactory.json"];

pub(crate) fn report(args: &Args) -> Result<()> {
    let mut files = vec![args.path.clone()];
    if args.path.is_dir() {
        let there: Vec<PathBuf> =
            FILES.map(|file| args.path.join(file)).into_iter().filter(|f| f.is_file()).collect();
        // Without any, the error is that of the suite's result.
        files = if there.is_empty() { files } else { there };
    }
    let mut values = Vec::new();
    for file in &files {
        if is_of_kernels(file) {
            let report = kernels::Report::read(file)?;
            match (args.json, args.summary) {
                (true, _) => values.push(serde_json::to_value(&report)?),
                (false, true) => print(&report.summary())?,
                (false, false) => print(&report.to_string())?,
            }
        } else {
            let report = wootz_bench::report(file)?;
            if args.json {
                values.push(serde_json::to_value(&report)?);
            } else {
                print(&report.to_string())?;
            }
        }
    }
    match values.len() {
        0 => Ok(()),
        1 => print_json(&values.remove(0)),
        _ => print_json(&Value::Array(values)),
    }
}

/// Whether a file is a report of kernels. What cannot be read is the suite's to say.
fn is_of_kernels(file: &Path) -> bool {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    serde_json::from_str::<Value>(&text).is_ok_and(|value| value.get("subject").is_some())
}
