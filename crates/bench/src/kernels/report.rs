//! What came of it, as JSON.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Goal, Options, Per};
use crate::error::{BenchError, io_error};
use crate::machine::{Machine, git_revision};
use crate::stats::{Interval, Summary};

/// Version of the report.
pub const KERNELS_VERSION: u32 = 1;

/// The benchmarks of kernels on one machine.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct Report {
    /// [`KERNELS_VERSION`].
    pub version: u32,
    /// When it began, RFC 3339, UTC.
    pub started: String,
    /// Git revision of the checkout it ran in, with `-dirty` if it had changes.
    pub revision: Option<String>,
    /// The machine.
    pub machine: Machine,
    /// What wootz says of itself: its version and instruction set, whether it compiles to machine code.
    pub subject: String,
    /// Rounds that count.
    pub rounds: usize,
    /// Shortest duration of a sample, nanoseconds.
    pub sample_time_ns: u64,
    /// One row a case and contender.
    pub rows: Vec<Row>,
}

impl Report {
    /// A report without rows, begun now.
    pub fn begin(subject: String, options: &Options) -> Report {
        Report {
            version: KERNELS_VERSION,
            started: format!("{:.0}", jiff::Timestamp::now()),
            revision: git_revision(),
            machine: Machine::describe(),
            subject,
            rounds: options.rounds,
            sample_time_ns: u64::try_from(options.sample_time.as_nanos()).unwrap_or(u64::MAX),
            rows: Vec::new(),
        }
    }

    /// Writes the report to a file, whose folder is made if need be. Never half of it: what was there is replaced at the end.
    pub fn write(&self, path: &Path) -> Result<(), BenchError> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        fs::create_dir_all(folder).map_err(io_error(folder))?;
        let file = tempfile::NamedTempFile::new_in(folder).map_err(io_error(folder))?;
        serde_json::to_writer_pretty(&file, self)
            .map_err(|error| BenchError::Io { path: path.to_owned(), source: error.into() })?;
        file.persist(path).map_err(|error| BenchError::Io { path: path.to_owned(), source: error.error })?;
        Ok(())
    }

    /// Reads what [`Report::write`] wrote; an error if it is of another version.
    pub fn read(path: &Path) -> Result<Report, BenchError> {
        let text = fs::read_to_string(path).map_err(io_error(path))?;
        let invalid = |reason: String| BenchError::InvalidResult { path: path.to_owned(), reason };
        let report: Report = serde_json::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        match report.version {
            KERNELS_VERSION => Ok(report),
            found => {
                Err(invalid(format!("it has version {found}, this build reads version {KERNELS_VERSION}")))
            }
        }
    }

    /// Rows that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| matches!(row.outcome, Outcome::Failed { .. }))
    }
}

/// One contender in one case.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct Row {
    /// What was computed.
    pub case: String,
    /// Who computed it.
    pub contender: String,
    /// Threads it might use.
    pub threads: usize,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Row {
    pub(super) fn new(case: &str, contender: &str, threads: usize, outcome: Outcome) -> Row {
        Row { case: case.to_owned(), contender: contender.to_owned(), threads, outcome }
    }
}

/// What came of a row.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// Checked and measured.
    Ok(Box<Measured>),
    /// The stack cannot do this case.
    Unsupported {
        /// One line.
        reason: String,
    },
    /// Wrong result, error or crash.
    Failed {
        /// One line.
        reason: String,
    },
    /// The stack is not installed.
    Missing {
        /// What is missing and how to get it.
        reason: String,
    },
}

/// The times of a row.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct Measured {
    /// Steps a sample.
    pub iterations: u64,
    /// Summary of the samples, nanoseconds a step.
    pub step_ns: Summary,
    /// Nanoseconds a step, one value a round; fewer than the rounds where the time for them ran out.
    pub samples_ns: Vec<f64>,
    /// The versions of the packages that ran, of workers that tell.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, String>,
    /// What the time is shown by.
    pub per: Per,
    /// The subject's time over this one's; absent for the subject itself.
    pub ratio: Option<Ratio>,
    /// What the subject should reach here.
    pub goal: Option<Goal>,
    /// Whether it does.
    pub verdict: Option<Verdict>,
}

/// A ratio of times.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct Ratio {
    /// Who is in the numerator.
    pub subject: String,
    /// Median over the rounds (above 1: the subject is slower), 95 % bootstrap interval.
    #[serde(flatten)]
    pub interval: Interval,
}

/// Whether a goal is reached.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The whole interval is on the good side.
    Reached,
    /// The interval holds the goal.
    Unclear,
    /// The whole interval is on the bad side.
    Missed,
}

pub(super) fn verdict(interval: &Interval, at_most: f64) -> Verdict {
    if interval.high <= at_most {
        Verdict::Reached
    } else if interval.low > at_most {
        Verdict::Missed
    } else {
        Verdict::Unclear
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_kept_and_those_of_other_versions_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/histfactory.json");
        let mut report = Report::begin("wootz".to_owned(), &Options::default());
        report.rows.push(Row::new("fit", "wootz", 1, Outcome::Missing { reason: "none".to_owned() }));
        report.write(&path).unwrap();
        assert_eq!(Report::read(&path).unwrap(), report);
        report.version += 1;
        report.write(&path).unwrap();
        let error = Report::read(&path).unwrap_err();
        assert!(matches!(error, BenchError::InvalidResult { .. }), "{error}");
    }

    #[test]
    fn a_goal_is_reached_by_the_whole_interval() {
        let interval = Interval { estimate: 1.0, low: 0.9, high: 1.1 };
        assert_eq!(verdict(&interval, 1.1), Verdict::Reached);
        assert_eq!(verdict(&interval, 1.0), Verdict::Unclear);
        assert_eq!(verdict(&interval, 0.8), Verdict::Missed);
    }
}
