//! The run: cases one after the other, a journal on the way, the result file at the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::error::{BenchError, io_error};
use crate::journal::{JOURNAL_FILE, Journal};
use crate::machine::{Machine, git_revision};
use crate::measure::{Context, measure, works};
use crate::options::RunOptions;
use crate::result::{Header, RESULT_FILE, RESULT_VERSION, Report};
use crate::runner::write_worker_sources;

/// Runs the benchmark and writes its folder. Failures of stacks are rows; errors are bad options, files that cannot be
/// written, and journals that do not fit. What was measured before an error or a kill stays in the journal.
pub fn run(options: &RunOptions) -> Result<Report, BenchError> {
    let plan = options.plan()?;
    let scratch = scratch()?;
    let sources = write_worker_sources(scratch.path()).map_err(io_error(scratch.path()))?;
    let runners = options.runners(&plan, &sources)?;
    let now = jiff::Timestamp::now();
    let header = Header {
        started: format!("{now:.0}"),
        revision: git_revision(),
        machine: Machine::describe(),
        plan: plan.clone(),
    };

    let mut journal = open_journal(options, header)?;
    let directory = journal.directory().to_owned();
    let cases = plan.cases();
    let bar = progress_bar(options.progress, cases.len() as u64);
    let announce = |what: &str| bar.set_message(what.to_owned());
    let context = Context {
        plan: &plan,
        runners: &runners,
        scratch: scratch.path(),
        timeout: options.timeout,
        announce: &announce,
    };
    let begun = Instant::now();
    for (done, case) in cases.iter().enumerate() {
        if options.stop_after.is_some_and(|limit| begun.elapsed() >= limit) {
            bar.finish_and_clear();
            return Err(BenchError::Stopped { path: directory, done, cases: cases.len() });
        }
        let retry = if options.resume { journal.to_retry(case) } else { Vec::new() };
        // Ratios are taken round by round, so that a stack which works now is measured beside all the others.
        let again = !retry.is_empty() && works(&context, case, &retry)?;
        if again || !journal.has(case) {
            journal.add(measure(&context, case)?)?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();

    let report = Report {
        version: RESULT_VERSION,
        header: journal.header.clone(),
        rows: journal.ordered(),
        directory: directory.clone(),
    };
    report.write(&directory)?;
    journal.remove()?;
    Ok(report)
}

/// A folder for this run's files. A killed run cannot remove its own, so the next one does.
fn scratch() -> Result<tempfile::TempDir, BenchError> {
    const PREFIX: &str = "wootz-bench-";
    let parent = std::env::temp_dir();
    for entry in fs::read_dir(&parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|n| n.strip_prefix(PREFIX)).and_then(|n| n.split('-').next());
        let owner = owner.and_then(|pid| pid.parse::<i32>().ok()).and_then(Pid::from_raw);
        if owner.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH)) {
            // Another user's folder stays; it only costs space.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let prefix = format!("{PREFIX}{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(&parent).map_err(io_error(&parent))
}

fn open_journal(options: &RunOptions, header: Header) -> Result<Journal, BenchError> {
    match (&options.out, options.resume) {
        (Some(out), false) => Journal::create(out, header),
        (Some(out), true) => Journal::resume(out, &header),
        (None, false) => {
            let day = header.started.split('T').next().unwrap_or_default();
            let name = format!("{day}-{}", header.machine.slug());
            Journal::create(&unused(&options.runs_directory, &name), header)
        }
        (None, true) => Journal::resume(&unfinished(&options.runs_directory)?, &header),
    }
}

/// `parent/name`, or with the first number after it that is not taken.
fn unused(parent: &Path, name: &str) -> PathBuf {
    let first = parent.join(name);
    if !first.exists() {
        return first;
    }
    (2u32..).map(|n| parent.join(format!("{name}-{n}"))).find(|path| !path.exists()).unwrap_or(first)
}

/// The folder under `parent` whose journal was written to last.
fn unfinished(parent: &Path) -> Result<PathBuf, BenchError> {
    let nothing = || BenchError::NothingToResume { path: parent.to_owned() };
    let entries = fs::read_dir(parent).map_err(|_| nothing())?;
    entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let written = fs::metadata(path.join(JOURNAL_FILE)).ok()?.modified().ok()?;
            (!path.join(RESULT_FILE).exists()).then_some((written, path))
        })
        .max()
        .map(|(_, path)| path)
        .ok_or_else(nothing)
}

/// indicatif draws nothing where standard error is no terminal.
fn progress_bar(show: bool, cases: u64) -> ProgressBar {
    if !show {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(cases);
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar
}
