//! The journal: rows are appended as they finish, so that a killed run keeps them.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{BenchError, io_error};
use crate::protocol::Case;
use crate::result::{Header, RESULT_FILE, RESULT_VERSION, Report, Row};

/// Name of the journal in a run's folder. It goes away when the result file is there.
pub const JOURNAL_FILE: &str = "journal.jsonl";

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Entry {
    Header { version: u32, header: Box<Header> },
    Row { row: Box<Row> },
}

/// An open journal and what it holds.
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// What ran where.
    pub(crate) header: Header,
    /// Rows so far.
    pub(crate) rows: Vec<Row>,
}

impl Journal {
    /// Starts a journal in `directory`, which is created. Errors if it has a result or a journal already.
    pub(crate) fn create(directory: &Path, header: Header) -> Result<Journal, BenchError> {
        fs::create_dir_all(directory).map_err(io_error(directory))?;
        let path = directory.join(JOURNAL_FILE);
        if directory.join(RESULT_FILE).exists() || path.exists() {
            return Err(BenchError::AlreadyThere { path: directory.to_owned() });
        }
        Journal::start(path, header)
    }

    /// Opens the journal in `directory` to go on from; that of a finished run with failed or missing rows is made anew from
    /// its result. Errors if there is neither, or if it is of another plan, machine or revision.
    pub(crate) fn resume(directory: &Path, header: &Header) -> Result<Journal, BenchError> {
        let path = directory.join(JOURNAL_FILE);
        if path.exists() {
            let (found, rows, kept) = read(&path)?;
            check(&path, &found, header)?;
            let file = OpenOptions::new().append(true).open(&path).map_err(io_error(&path))?;
            // A line that a kill cut short must not run into the next one.
            file.set_len(kept).map_err(io_error(&path))?;
            return Ok(Journal { path, file, header: found, rows });
        }
        if !directory.join(RESULT_FILE).exists() {
            return Err(BenchError::NothingToResume { path: directory.to_owned() });
        }
        let report = Report::read(directory)?;
        if !report.rows.iter().any(Row::may_be_retried) {
            return Err(BenchError::NothingToResume { path: directory.to_owned() });
        }
        check(&directory.join(RESULT_FILE), &report.header, header)?;
        let mut journal = Journal::start(path, report.header)?;
        journal.add(report.rows)?;
        Ok(journal)
    }

    fn start(path: PathBuf, header: Header) -> Result<Journal, BenchError> {
        let file = OpenOptions::new().append(true).create_new(true).open(&path).map_err(io_error(&path))?;
        let mut journal = Journal { path, file, header, rows: Vec::new() };
        let header = Box::new(journal.header.clone());
        journal.append(&[Entry::Header { version: RESULT_VERSION, header }])?;
        Ok(journal)
    }

    /// The run's folder.
    pub(crate) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// Whether every runner of the plan has its row for `case`.
    pub(crate) fn has(&self, case: &Case) -> bool {
        self.header
            .plan
            .runners
            .iter()
            .all(|runner| self.rows.iter().any(|row| row.case == *case && row.runner == *runner))
    }

    /// The runners whose row for `case` failed or is missing, by position in the plan.
    pub(crate) fn to_retry(&self, case: &Case) -> Vec<usize> {
        let failed = |runner: &String| {
            self.rows.iter().any(|row| row.case == *case && row.runner == *runner && row.may_be_retried())
        };
        let runners = self.header.plan.runners.iter().enumerate();
        runners.filter(|(_, runner)| failed(runner)).map(|(index, _)| index).collect()
    }

    /// Appends the rows of one case and flushes them to disk; they take the place of those that it had.
    pub(crate) fn add(&mut self, rows: Vec<Row>) -> Result<(), BenchError> {
        let entries: Vec<Entry> = rows.iter().map(|row| Entry::Row { row: Box::new(row.clone()) }).collect();
        self.append(&entries)?;
        self.rows.retain(|old| !rows.iter().any(|row| row.case == old.case && row.runner == old.runner));
        self.rows.extend(rows);
        Ok(())
    }

    /// The rows in the order of the plan, whatever the order in which they were measured.
    pub(crate) fn ordered(&self) -> Vec<Row> {
        let (cases, runners) = (self.header.plan.cases(), &self.header.plan.runners);
        let mut rows = self.rows.clone();
        rows.sort_by_key(|row| {
            let case = cases.iter().position(|case| *case == row.case);
            (case, runners.iter().position(|runner| *runner == row.runner))
        });
        rows
    }

    /// Deletes the journal; the result file has everything.
    pub(crate) fn remove(self) -> Result<(), BenchError> {
        fs::remove_file(&self.path).map_err(io_error(&self.path))
    }

    fn append(&mut self, entries: &[Entry]) -> Result<(), BenchError> {
        let mut text = String::new();
        for entry in entries {
            let line = serde_json::to_string(entry)
                .map_err(|error| BenchError::Io { path: self.path.clone(), source: error.into() })?;
            text.push_str(&line);
            text.push('\n');
        }
        self.file.write_all(text.as_bytes()).map_err(io_error(&self.path))?;
        self.file.sync_data().map_err(io_error(&self.path))
    }
}

/// Errors if the run that `found` heads, in `path`, is not the one that `now` asks for.
fn check(path: &Path, found: &Header, now: &Header) -> Result<(), BenchError> {
    let mismatch = |difference: &str| {
        Err(BenchError::ResumeMismatch { path: path.to_owned(), difference: difference.to_owned() })
    };
    if found.plan != now.plan {
        return mismatch("it was begun with other options");
    }
    if found.machine != now.machine {
        return mismatch("it was begun on another machine");
    }
    // Outside a checkout there is no revision to hold it to.
    let revisions = found.revision.as_ref().zip(now.revision.as_ref());
    if revisions.is_some_and(|(found, now)| found != now) {
        return mismatch("it was begun at another revision");
    }
    Ok(())
}

/// Reads a journal: header, rows and the length of the part that is whole. Rows of a case come in one write, so a torn
/// last line means that its case is measured again.
fn read(path: &Path) -> Result<(Header, Vec<Row>, u64), BenchError> {
    let text = fs::read(path).map_err(io_error(path))?;
    let invalid = |reason: String| BenchError::InvalidResult { path: path.to_owned(), reason };
    let mut header = None;
    let mut rows: Vec<Row> = Vec::new();
    let mut kept = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
        match serde_json::from_slice(line).map_err(|error| invalid(error.to_string()))? {
            Entry::Header { version: RESULT_VERSION, header: found } => header = Some(*found),
            Entry::Header { version, .. } => {
                return Err(invalid(format!("it has version {version}, this build reads {RESULT_VERSION}")));
            }
            // A row that is there twice was measured again after a torn write: the later one counts.
            Entry::Row { row } => {
                rows.retain(|other| other.case != row.case || other.runner != row.runner);
                rows.push(*row);
            }
        }
        kept += line.len() as u64;
    }
    let header = header.ok_or_else(|| invalid("it has no header".to_owned()))?;
    Ok((header, rows, kept))
}
