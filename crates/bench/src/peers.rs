//! The Python environment of the peers. `cargo xtask peers` makes it from a pinned requirement file and keeps it in the
//! user's cache folder; here it is only found.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The pinned requirements of every Python peer.
pub const REQUIREMENTS: &str = include_str!("../../../requirements/peers.txt");

/// How a user gets the peers.
pub const INSTALL_HINT: &str = "cargo xtask peers";

/// Names a Python interpreter to use instead of the cached environment.
pub const PYTHON_VARIABLE: &str = "WOOTZ_PEERS_PYTHON";

/// Written into an environment when its installation is finished, with the requirements it was made from.
const COMPLETE: &str = "complete";

/// The interpreter that runs the peers: [`PYTHON_VARIABLE`] if set, else that of the cached environment of
/// [`REQUIREMENTS`], else `python3` of the path, which may have some of the peers.
pub fn python() -> Option<PathBuf> {
    if let Some(python) = env::var_os(PYTHON_VARIABLE).filter(|path| !path.is_empty()) {
        return Some(PathBuf::from(python));
    }
    if let Some(python) = cache().and_then(|cache| environment(&cache.join("wootz"))) {
        return Some(python);
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join("python3")).find(|python| python.is_file())
}

/// `$XDG_CACHE_HOME`, or `.cache` in the home folder. (XDG base directory specification: a relative path is ignored.)
fn cache() -> Option<PathBuf> {
    let xdg = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    xdg.or_else(|| env::home_dir().map(|home| home.join(".cache")))
}

/// The interpreter of a finished environment `peers-*` in `parent` that was made from exactly these requirements.
fn environment(parent: &Path) -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir(parent)
        .ok()?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let ours = entry.file_name().to_str()?.starts_with("peers-");
            let made_from = fs::read_to_string(entry.path().join(COMPLETE)).ok()?;
            (ours && made_from == REQUIREMENTS).then(|| entry.path())
        })
        .collect();
    // One environment an interpreter: the choice among them has to be the same every time.
    folders.sort();
    folders.into_iter().map(|folder| folder.join("bin").join("python")).find(|python| python.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_finished_environment_of_these_requirements_is_used() {
        let cache = tempfile::tempdir().expect("a temporary folder");
        let make = |name: &str, complete: Option<&str>| {
            let bin = cache.path().join(name).join("bin");
            fs::create_dir_all(&bin).expect("a folder");
            fs::write(bin.join("python"), "").expect("a file");
            if let Some(text) = complete {
                fs::write(cache.path().join(name).join(COMPLETE), text).expect("a file");
            }
            bin.join("python")
        };
        assert_eq!(environment(&cache.path().join("absent")), None);
        make("peers-1", None);
        make("peers-2", Some("numpy==1.0.0\n"));
        make("other-3", Some(REQUIREMENTS));
        assert_eq!(environment(cache.path()), None);
        let python = make("peers-4", Some(REQUIREMENTS));
        assert_eq!(environment(cache.path()), Some(python));
    }
}
