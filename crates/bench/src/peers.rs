//! The Python environment of the peers: one virtual environment a pinned requirement file, cached outside the tree.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The pinned requirements of every Python peer.
pub const REQUIREMENTS: &str = include_str!("../../../bench/peers/requirements-peers.txt");

/// How a user gets the peers.
pub const INSTALL_HINT: &str = "cargo xtask peers";

/// Names a Python interpreter to use instead of the cached environment.
pub const PYTHON_VARIABLE: &str = "WOOTZ_PEERS_PYTHON";

/// Written last, so that an environment whose installation was cut short is never used.
const COMPLETE_MARKER: &str = ".wootz-complete";

/// Why the peers' environment could not be made.
#[derive(thiserror::Error, Debug)]
pub enum PeersError {
    /// Neither `XDG_CACHE_HOME` nor `HOME` is set.
    #[error("no cache directory: set XDG_CACHE_HOME or HOME")]
    NoCacheDirectory,
    /// A file operation failed.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A command failed; its own output says why.
    #[error("{command} failed: {status}")]
    Command {
        /// The command.
        command: String,
        /// Its status or why it did not start.
        status: String,
    },
}

/// Where the environment of [`REQUIREMENTS`] lives, whether or not it has been made:
/// `$XDG_CACHE_HOME/wootz/peers-<hash>`. `None` without a home.
pub fn environment_directory() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    // FNV-1a: the file is our own, so a short hash that is stable over releases is all that is needed.
    let hash = REQUIREMENTS.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Some(cache.join("wootz").join(format!("peers-{hash:016x}")))
}

/// The interpreter that runs the peers: [`PYTHON_VARIABLE`] if set, the cached environment's if it is complete, or
/// `python3` of the path, which may have some of the peers.
pub fn python() -> Option<PathBuf> {
    if let Some(python) = env::var_os(PYTHON_VARIABLE).filter(|path| !path.is_empty()) {
        return Some(PathBuf::from(python));
    }
    if let Some(directory) =
        environment_directory().filter(|directory| directory.join(COMPLETE_MARKER).exists())
    {
        return Some(interpreter(&directory));
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join("python3")).find(|python| python.is_file())
}

/// Makes the environment with `python` (CPython 3.11 or later) unless it is there already; returns its interpreter.
/// pip writes its progress to the terminal.
pub fn create(python: &Path) -> Result<PathBuf, PeersError> {
    let directory = environment_directory().ok_or(PeersError::NoCacheDirectory)?;
    let interpreter = interpreter(&directory);
    let marker = directory.join(COMPLETE_MARKER);
    if marker.exists() {
        return Ok(interpreter);
    }
    let io_error = |path: &Path| {
        let path = path.to_owned();
        move |source| PeersError::Io { path, source }
    };
    fs::create_dir_all(&directory).map_err(io_error(&directory))?;
    let requirements = directory.join("requirements-peers.txt");
    fs::write(&requirements, REQUIREMENTS).map_err(io_error(&requirements))?;
    call(Command::new(python).args(["-m", "venv"]).arg(&directory))?;
    call(Command::new(&interpreter).args(["-m", "pip", "install", "--requirement"]).arg(&requirements))?;
    fs::write(&marker, "").map_err(io_error(&marker))?;
    Ok(interpreter)
}

fn interpreter(directory: &Path) -> PathBuf {
    directory.join("bin").join("python")
}

fn call(command: &mut Command) -> Result<(), PeersError> {
    let failed = |command: &Command, status: String| PeersError::Command {
        command: command.get_program().to_string_lossy().into_owned(),
        status,
    };
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(command, status.to_string())),
        Err(error) => Err(failed(command, error.to_string())),
    }
}
