//! The suite's errors. What goes wrong in a worker is a row, not an error.

use std::io;
use std::path::{Path, PathBuf};

/// Why a run, a report or a comparison could not be made.
#[derive(thiserror::Error, Debug)]
pub enum BenchError {
    /// A file operation failed.
    #[error("cannot read or write `{path}`")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A name that is no model.
    #[error("no model is called {name:?}; there are {known}")]
    UnknownModel {
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A name that is no runner.
    #[error("no backend is called {name:?}; there are {known}")]
    UnknownRunner {
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// An option that makes no sense.
    #[error("{option}: {reason}")]
    InvalidOption {
        /// The option.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The time that the run was given is over.
    #[error("stopped after {done} of {cases} cases, as asked; go on with --resume --out {path}")]
    Stopped {
        /// The run's folder.
        path: PathBuf,
        /// Cases that are in the journal.
        done: usize,
        /// Cases of the run.
        cases: usize,
    },
    /// `resume` found nothing to go on from.
    #[error(
        "nothing to resume in {path}: it has no journal of an unfinished run, and no result with failed or missing rows"
    )]
    NothingToResume {
        /// Where it looked.
        path: PathBuf,
    },
    /// The journal is of a run with other options or of another machine.
    #[error("{path} cannot be resumed: {difference}")]
    ResumeMismatch {
        /// The journal.
        path: PathBuf,
        /// What differs.
        difference: String,
    },
    /// The folder already has a result.
    #[error("{path} already holds a result; name another folder")]
    AlreadyThere {
        /// The folder.
        path: PathBuf,
    },
    /// A file that is no result or journal of this version.
    #[error("{path} is not a benchmark result: {reason}")]
    InvalidResult {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// An error's message with those of its causes, for a row of the result.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

pub(crate) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> BenchError {
    let path = path.to_owned();
    move |source| BenchError::Io { path, source }
}
