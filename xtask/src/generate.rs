//! `cargo xtask gen`: files that are made from the code and committed, so that a reader and a type checker have them.

mod help;
mod stubs;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::process::Process;
use crate::repo::Repo;

/// Make the committed files that are generated from the code.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing; print what would change and fail if anything would
    #[arg(long)]
    check: bool,
}

/// One generated file.
struct Generator {
    /// What it is, in a few words.
    name: &'static str,
    /// Where it goes.
    output: &'static str,
    /// What it is made from; while that is not there, there is nothing to make.
    needs: &'static str,
    /// Its contents.
    produce: fn(&Repo) -> Result<String>,
}

/// All of them. A new generated file is a row here.
const GENERATORS: &[Generator] = &[
    Generator {
        name: "developer commands",
        output: "docs/reference/xtask.md",
        needs: "xtask/src/main.rs",
        produce: help::xtask,
    },
    Generator {
        name: "command line",
        output: "docs/reference/cli.md",
        needs: "crates/cli/src/main.rs",
        produce: help::cli,
    },
    Generator {
        name: "Python stubs",
        output: "python/wootz/_native.pyi",
        needs: "crates/python/src/lib.rs",
        produce: stubs::native,
    },
];

/// Makes every file whose source exists, or checks that it is what would be made.
pub(crate) fn run(repo: &Repo, args: &Args) -> Result<()> {
    let mut stale = Vec::new();
    for generator in GENERATORS {
        let Generator { name, output, needs, produce } = generator;
        if !repo.has(needs) {
            println!("{output} ({name}): nothing to make it from yet, there is no {needs}");
            continue;
        }
        let made = produce(repo).with_context(|| format!("cannot make {output}"))?;
        let path = repo.path(output);
        // A file that cannot be read is written anew.
        if fs::read_to_string(&path).is_ok_and(|committed| committed == made) {
            println!("{output} ({name}): fresh");
        } else if args.check {
            println!("{output} ({name}): stale");
            stale.push(*output);
            print_diff(repo, output, &made)?;
        } else {
            write(&path, &made)?;
            println!("{output} ({name}): written");
        }
    }
    if !stale.is_empty() {
        bail!(
            "{} not what the code makes now; run `cargo xtask gen` and commit the result",
            stale.join(", ")
        );
    }
    Ok(())
}

/// Whether `file` (relative to the root) is one that this command makes.
pub(crate) fn is_generated(file: &str) -> bool {
    GENERATORS.iter().any(|generator| generator.output == file)
}

fn write(path: &Path, contents: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    fs::write(path, contents).with_context(|| format!("cannot write {}", path.display()))
}

fn print_diff(repo: &Repo, output: &str, made: &str) -> Result<()> {
    let fresh = repo.scratch("gen").join(output);
    write(&fresh, made)?;
    let committed = if repo.has(output) { repo.path(output) } else { "/dev/null".into() };
    // The exit status of a diff that found something is 1, so its failure is not one.
    let diff = Process::new("git").args(["diff", "--no-index", "--no-color"]).arg(committed).arg(fresh);
    let _ = diff.current_dir(repo.root()).run();
    Ok(())
}
