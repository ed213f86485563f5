//! `cargo xtask peers`: the environment with the stacks that benchmarks compare against and the frameworks that generated
//! source is tested on.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::repo::Repo;
use crate::venv::Venv;

/// The pinned versions of the stacks.
const REQUIREMENTS: &str = "requirements/peers.txt";

/// Make the environment with the stacks that benchmarks compare against and the frameworks of generated source, install this
/// checkout's wootz there, and print its path.
///
/// It is kept in the user's cache folder, named by the hash of requirements/peers.txt, and shared by all
/// checkouts. The stacks are installed once, wootz at every call, as `pip install .` does it. Standard output is the path
/// alone.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Makes the environment where it is missing, builds and installs the wheel, and prints the path.
pub(crate) fn run(repo: &Repo, _: &Args) -> Result<()> {
    let venv = environment(repo)?;
    let _lock = venv.lock()?;
    // `--no-deps`: NumPy is pinned there. `--force-reinstall`: the version alone does not tell two checkouts apart.
    venv.pip(&["install", "--quiet", "--no-deps", "--force-reinstall"]).arg(repo.root()).run_on_stderr()?;
    println!("{}", venv.dir().display());
    Ok(())
}

/// The environment as its requirements pin it, made where it is missing. All checkouts share it, so nothing else may be
/// installed there.
pub(crate) fn environment(repo: &Repo) -> Result<Venv> {
    Venv::ensure(&cache()?.join("wootz"), "peers", &repo.path(REQUIREMENTS))
}

/// `$XDG_CACHE_HOME`, or `.cache` in the home folder. (XDG base directory specification: a relative path is ignored.)
fn cache() -> Result<PathBuf> {
    let xdg = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    xdg.or_else(|| env::home_dir().map(|home| home.join(".cache"))).context(
        "neither $XDG_CACHE_HOME nor a home folder is set, so there is no place to keep the environment",
    )
}
