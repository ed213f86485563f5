//! `cargo xtask bless`: accept what the code now prints as the expectation of snapshot tests.

use anyhow::Result;

use crate::repo::{Repo, TEST_PROFILE};

/// Rewrite the expectations of snapshot tests to what the code prints now; read the diff before you commit it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this package
    #[arg(long, short)]
    package: Option<String>,
    /// Only tests whose name contains this
    filter: Option<String>,
}

/// Runs the tests that `args` selects with snapshots being rewritten.
pub(crate) fn run(repo: &Repo, args: &Args) -> Result<()> {
    let mut process = repo.cargo(&["test", "--profile", TEST_PROFILE]).env("UPDATE_EXPECT", "1");
    process = match &args.package {
        Some(package) => process.args(["--package", package]),
        None => process.args(["--workspace", "--exclude", "wootz-python"]),
    };
    process = process.args(["--lib", "--bins", "--tests"]);
    if let Some(filter) = &args.filter {
        process = process.arg(filter);
    }
    println!("$ {process}");
    process.run()
}
