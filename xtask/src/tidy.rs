//! `cargo xtask tidy`: what rustfmt and clippy do not check.

mod crates;
mod text;

use std::fmt;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::generate;
use crate::repo::Repo;

/// Check the rules of STYLE.md that a program can check and rustfmt and clippy do not.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// A broken rule: where, and what to do.
struct Finding {
    file: String,
    /// Counted from 1; 0 where the whole file is meant.
    line: usize,
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message),
            line => write!(f, "{}:{line}: {}", self.file, self.message),
        }
    }
}

/// Checks every file of the checkout; an error if a rule is broken anywhere.
pub(crate) fn run(repo: &Repo, _: &Args) -> Result<()> {
    let findings = check(repo)?;
    if findings.is_empty() {
        println!("tidy: nothing to say");
        return Ok(());
    }
    for finding in &findings {
        println!("{finding}");
    }
    bail!("tidy found {} place(s) to mend", findings.len())
}

fn check(repo: &Repo) -> Result<Vec<Finding>> {
    let rules = text::Rules {
        forbidden: text::parse_forbidden(&read(repo, "xtask/tidy/forbidden-words.txt")?)?,
        long_files: text::parse_long_files(&read(repo, "xtask/tidy/long-files.txt")?)?,
    };
    let mut findings = Vec::new();
    let mut long_files_used = Vec::new();
    for file in repo.files()? {
        let bytes = fs::read(repo.path(&file)).with_context(|| format!("cannot read {file}"))?;
        // Weights, images and archives have no lines.
        let Ok(contents) = String::from_utf8(bytes) else { continue };
        if generate::is_generated(&file) || is_data(&file) {
            continue;
        }
        text::check(&file, &contents, &rules, &mut findings, &mut long_files_used);
    }
    for (file, _) in &rules.long_files {
        if !long_files_used.contains(file) {
            findings.push(Finding {
                file: "xtask/tidy/long-files.txt".to_owned(),
                line: 0,
                message: format!("`{file}` is not too long (or not there); strike it from the list"),
            });
        }
    }
    crates::check(repo, &mut findings)?;
    Ok(findings)
}

/// Files nobody writes by hand: recorded runs, test inputs and outputs, lock files.
fn is_data(file: &str) -> bool {
    file == "Cargo.lock"
        || file == "LICENSE"
        || file.starts_with("runs/")
        || file.split('/').any(|part| ["golden", "fixtures", "data"].contains(&part))
}

fn read(repo: &Repo, relative: &str) -> Result<String> {
    fs::read_to_string(repo.path(relative)).with_context(|| format!("cannot read {relative}"))
}
