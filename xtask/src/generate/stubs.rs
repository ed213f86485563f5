//! The type stubs of the native Python module, read by maturin from what PyO3 records in the built library.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process::Process;
use crate::repo::{Repo, TEST_PROFILE};
use crate::test::fresh_dir;
use crate::venv::Venv;

/// The stubs of `wootz._native`.
pub(super) fn native(repo: &Repo) -> Result<String> {
    let venv = Venv::ensure(&repo.scratch("venv"), "test", &repo.path("requirements/test.txt"))?;
    let out = repo.scratch("stubs");
    fresh_dir(&out)?;
    Process::new(venv.program("maturin"))
        .args(["generate-stubs", "--quiet", "--profile", TEST_PROFILE, "--interpreter"])
        .arg(venv.python())
        .arg("--out")
        .arg(&out)
        .current_dir(repo.root())
        .run_on_stderr()?;
    let Some(path) = find_stub(&out)? else {
        bail!("maturin made no stub in {}; is PyO3's feature `experimental-inspect` on?", out.display());
    };
    let stub = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(format!("# Made by `cargo xtask gen` from crates/python; do not edit.\n{}\n", stub.trim_end()))
}

fn find_stub(dir: &Path) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry.with_context(|| format!("cannot list {}", dir.display()))?.path();
        if path.is_dir() {
            if let Some(found) = find_stub(&path)? {
                return Ok(Some(found));
            }
        } else if path.extension().is_some_and(|extension| extension == "pyi") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
