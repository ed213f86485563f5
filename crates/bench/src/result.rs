//! The result file: versioned JSON, described by `schema/result.schema.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::error::{BenchError, io_error};
use crate::machine::Machine;
use crate::options::Plan;
use crate::protocol::{Case, Phase, PhaseMemory};
use crate::stats::{Interval, Summary};

/// Version of the result file and of the journal.
pub const RESULT_VERSION: u32 = 1;
/// Name of the result file in a run's folder.
pub const RESULT_FILE: &str = "result.json";

/// A finished run.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct Report {
    /// [`RESULT_VERSION`].
    pub version: u32,
    /// What ran where.
    pub header: Header,
    /// One row a case and runner, in the order they were measured.
    pub rows: Vec<Row>,
    /// The folder it was read from or written to.
    #[serde(skip)]
    pub directory: PathBuf,
}

/// What ran where.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct Header {
    /// When the run began, RFC 3339, UTC.
    pub started: String,
    /// Git revision of the checkout it ran in, with `-dirty` if it had changes.
    pub revision: Option<String>,
    /// The machine.
    pub machine: Machine,
    /// What was asked for.
    pub plan: Plan,
}

/// One runner on one case.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct Row {
    /// What was measured.
    pub case: Case,
    /// Which stack.
    pub runner: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a row.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// Checked and measured.
    Ok(Box<Measured>),
    /// Wrong result, crash, hang or garbage: no time is reported.
    Failed {
        /// One line.
        reason: String,
        /// End of the worker's standard error.
        stderr: String,
    },
    /// The stack cannot do this case.
    Unsupported {
        /// One line.
        reason: String,
    },
    /// The stack is not installed.
    Missing {
        /// What is missing.
        reason: String,
        /// How to get it.
        install: String,
    },
}

/// The measurements of a row.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct Measured {
    /// Versions the worker reported.
    pub versions: BTreeMap<String, String>,
    /// How far the outputs were from the float64 reference.
    pub checks: Vec<Check>,
    /// Fresh processes, if the case had a cold phase.
    pub cold: Option<Cold>,
    /// Steady state.
    pub warm: Warm,
    /// Peak resident memory a phase; empty where the system does not tell.
    pub memory: Vec<PhaseMemory>,
}

/// Fresh processes, from the moment of spawn to the first result.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct Cold {
    /// Time to first result, nanoseconds: everything included.
    pub first_result_ns: Summary,
    /// Duration of each phase, nanoseconds; a phase the stack does not have is absent.
    pub phases_ns: BTreeMap<Phase, Summary>,
}

/// Steady state.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct Warm {
    /// Steps a sample.
    pub iterations: u64,
    /// Nanoseconds a step, one value a round.
    pub samples_ns: Vec<f64>,
    /// Summary of the samples.
    pub step_ns: Summary,
    /// This runner's time over the baseline's, taken round by round; absent if the baseline has no times.
    pub ratio: Option<Ratio>,
    /// CPU time this process used while it had to be idle, as a share of one core; absent where it cannot be told.
    pub idle_cpu_share: Option<f64>,
}

/// A ratio to the baseline.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct Ratio {
    /// The runner in the denominator.
    pub baseline: String,
    /// Median over the rounds of time / baseline time (above 1: slower than the baseline), 95 % bootstrap interval.
    #[serde(flatten)]
    pub interval: Interval,
}

impl Report {
    /// Writes `result.json` to a temporary file in `directory` and renames it.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), BenchError> {
        let path = directory.join(RESULT_FILE);
        let file = tempfile::NamedTempFile::new_in(directory).map_err(io_error(directory))?;
        serde_json::to_writer_pretty(&file, self)
            .map_err(|error| BenchError::Io { path: path.clone(), source: error.into() })?;
        file.persist(&path).map_err(|error| BenchError::Io { path: path.clone(), source: error.error })?;
        Ok(())
    }

    /// Reads a result file, or the one in a run's folder.
    pub fn read(path: &Path) -> Result<Report, BenchError> {
        let file = if path.is_dir() { path.join(RESULT_FILE) } else { path.to_owned() };
        let text = fs::read_to_string(&file).map_err(io_error(&file))?;
        let invalid = |reason: String| BenchError::InvalidResult { path: file.clone(), reason };
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        let version = value.get("version").and_then(serde_json::Value::as_u64);
        if version != Some(u64::from(RESULT_VERSION)) {
            let found = version.map_or("no version".to_owned(), |v| format!("version {v}"));
            return Err(invalid(format!("it has {found}, this build reads version {RESULT_VERSION}")));
        }
        let mut report: Report = serde_json::from_value(value).map_err(|error| invalid(error.to_string()))?;
        report.directory = file.parent().unwrap_or(Path::new(".")).to_owned();
        Ok(report)
    }

    /// Rows whose status is `failed`.
    pub fn failures(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| matches!(row.outcome, Outcome::Failed { .. }))
    }
}

impl Row {
    /// Whether measuring again could give another outcome: it failed, or the stack was missing.
    pub fn may_be_retried(&self) -> bool {
        matches!(self.outcome, Outcome::Failed { .. } | Outcome::Missing { .. })
    }

    /// The measurements, if there are any.
    pub fn measured(&self) -> Option<&Measured> {
        match &self.outcome {
            Outcome::Ok(measured) => Some(measured),
            _ => None,
        }
    }
}
