//! Where things are in this checkout.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process::Process;

/// The cargo profile in which tests run and the tested wheel is built: optimised, because kernels are unusably slow
/// otherwise, with assertions and overflow checks. One profile for both, so that nothing is compiled twice.
pub(crate) const TEST_PROFILE: &str = "test-release";

/// The checkout this command was built from.
pub(crate) struct Repo {
    root: PathBuf,
    target: PathBuf,
}

impl Repo {
    /// The checkout that contains this crate.
    pub(crate) fn locate() -> Result<Self> {
        // Asked at run time first: a checkout that was moved or copied with its build outputs still finds itself.
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest.parent().context("xtask/ has no parent folder")?.to_path_buf();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => root.join(dir),
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// The root folder, absolute.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// `relative` to the root, as an absolute path.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Whether there is something at `relative`.
    pub(crate) fn has(&self, relative: &str) -> bool {
        self.path(relative).exists()
    }

    /// The folder for what these commands make, below cargo's target folder.
    pub(crate) fn scratch(&self, relative: &str) -> PathBuf {
        self.target.join("xtask").join(relative)
    }

    /// `cargo` with `args`, to be run at the root.
    pub(crate) fn cargo(&self, args: &[&str]) -> Process {
        // Not $CARGO: that names one toolchain's binary and would make a repeat line nobody can type.
        Process::new("cargo").args(args).current_dir(&self.root)
    }

    /// The program `name` as built in [`TEST_PROFILE`].
    pub(crate) fn artifact(&self, name: &str) -> PathBuf {
        self.target.join(TEST_PROFILE).join(name).with_extension(env::consts::EXE_EXTENSION)
    }

    /// Every file git tracks or would track (relative to the root, `/` between parts, sorted).
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        let listed = Process::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&self.root)
            .stdout()?;
        let mut files: Vec<String> =
            listed.split('\0').filter(|f| !f.is_empty() && self.has(f)).map(str::to_owned).collect();
        files.sort();
        files.dedup();
        Ok(files)
    }
}
