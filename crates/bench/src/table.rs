//! Tables for people.

use std::fmt;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{Cell, CellAlignment, Table};

use crate::compare::Comparison;
use crate::protocol::Phase;
use crate::result::{Cold, Outcome, Report, Row};
use crate::stats::Interval;

const COLD: [&str; 15] = [
    "model",
    "mode",
    "batch",
    "stack",
    "processes",
    "start",
    "NumPy",
    "import",
    "load",
    "build",
    "compile",
    "pack",
    "first run",
    "first result",
    "own",
];
const OVERHEAD: [&str; 5] = ["model", "stack", "call", "spread", "× baseline"];
const WARM: [&str; 8] = ["model", "mode", "batch", "stack", "step", "spread", "× baseline", "peak memory"];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = &self.header;
        writeln!(
            f,
            "{} ({} cores), {}, {} threads a stack, {}",
            header.machine.cpu,
            header.machine.cores,
            header.machine.kernel,
            header.plan.threads,
            header.started
        )?;
        let mut cold = new_table(&COLD);
        let mut warm = new_table(&WARM);
        let mut overhead = new_table(&OVERHEAD);
        for row in &self.rows {
            if let Some(measured) = row.measured().and_then(|measured| measured.cold.as_ref()) {
                cold.add_row([place(row), cold_cells(measured)].concat());
            }
            let cells = warm_cells(&row.outcome);
            if row.case.model.is_scalar() {
                let place = vec![row.case.model.name.clone(), row.runner.clone()];
                overhead.add_row([place, cells.into_iter().take(OVERHEAD.len() - 2).collect()].concat());
            } else {
                warm.add_row([place(row), cells].concat());
            }
        }
        if !cold.is_empty() {
            right_align(&mut cold, &[2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
            writeln!(
                f,
                "\nCold: medians of fresh processes, from the spawn; the phases add up to the first result, and own is what \
                 comes after the interpreter and NumPy.\n\n{cold}"
            )?;
        }
        right_align(&mut warm, &[2, 4, 5, 7]);
        right_align(&mut overhead, &[2, 3]);
        writeln!(
            f,
            "\nWarm: medians of {} interleaved rounds; spread: interquartile range; × baseline: time over {}'s, round by \
             round, with its 95 % interval (above 1: slower).",
            header.plan.repeats, header.plan.baseline
        )?;
        if !warm.is_empty() {
            writeln!(f, "\n{warm}")?;
        }
        if !overhead.is_empty() {
            writeln!(
                f,
                "\nOverhead: the same for a call of a program whose tensors have one element (scalar: one layer; scalar-mlp: as \
                 many parameters as mlp).\n\n{overhead}"
            )?;
        }
        if let Some(isa) = header.plan.isa {
            let free = header.plan.runners.iter().filter(|runner| !isa.holds(runner));
            let free: Vec<&str> = free.map(String::as_str).collect();
            let free = if free.is_empty() {
                String::new()
            } else {
                format!("; no way to hold: {}", free.join(", "))
            };
            writeln!(f, "\nHeld to {}{free}.", isa.name())?;
        }
        let mut notes: Vec<(String, Vec<String>)> = Vec::new();
        for row in &self.rows {
            let Some(note) = note(row) else { continue };
            match notes.iter_mut().find(|(text, _)| *text == note) {
                Some((_, cases)) => cases.push(row.case.to_string()),
                None => notes.push((note, vec![row.case.to_string()])),
            }
        }
        notes.iter().try_for_each(|(note, cases)| writeln!(f, "{note}\n    ({})", cases.join(", ")))
    }
}

/// Why a row has no times, or what is doubtful about them.
fn note(row: &Row) -> Option<String> {
    let runner = &row.runner;
    match &row.outcome {
        Outcome::Failed { reason, stderr } => {
            let lines: Vec<&str> = stderr.lines().collect();
            let tail = &lines[lines.len().saturating_sub(5)..];
            Some(tail.iter().fold(format!("{runner} failed: {reason}"), |note, line| note + "\n    " + line))
        }
        Outcome::Unsupported { reason } => Some(format!("{runner}: {reason}")),
        Outcome::Missing { reason, install } => {
            Some(format!("{runner} is missing ({reason}): run `{install}`"))
        }
        Outcome::Ok(measured) => measured.warm.idle_cpu_share.filter(|share| *share > 0.05).map(|_| {
            format!("{runner} kept a CPU busy while it had to be idle: other stacks suffer from it")
        }),
    }
}

fn place(row: &Row) -> Vec<String> {
    let case = &row.case;
    vec![case.model.name.clone(), case.mode.to_string(), case.batch.to_string(), row.runner.clone()]
}

fn cold_cells(cold: &Cold) -> Vec<String> {
    let median = |phase: &Phase| cold.phases_ns.get(phase).map(|summary| summary.median);
    let mut cells = vec![cold.first_result_ns.count.to_string()];
    cells.extend(Phase::COLD.iter().map(|phase| median(phase).map_or(String::new(), time)));
    let base = median(&Phase::ProcessStart).unwrap_or(0.0) + median(&Phase::ImportNumpy).unwrap_or(0.0);
    cells.push(time(cold.first_result_ns.median));
    cells.push(time(cold.first_result_ns.median - base));
    cells
}

fn warm_cells(outcome: &Outcome) -> Vec<String> {
    let measured = match outcome {
        Outcome::Ok(measured) => measured,
        Outcome::Failed { .. } => return vec!["failed".to_owned()],
        Outcome::Unsupported { .. } => return vec!["n/a".to_owned()],
        Outcome::Missing { .. } => return vec!["missing".to_owned()],
    };
    let peak = measured.memory.iter().map(|phase| phase.peak_bytes).max();
    vec![
        time(measured.warm.step_ns.median),
        format!("{:.1} %", 100.0 * measured.warm.step_ns.relative_spread()),
        measured.warm.ratio.as_ref().map_or(String::new(), |ratio| interval(&ratio.interval)),
        peak.map_or(String::new(), |bytes| format!("{:.0} MiB", bytes as f64 / (1 << 20) as f64)),
    ]
}

pub(crate) fn comparison(comparison: &Comparison) -> Table {
    let mut table = new_table(&["model", "mode", "batch", "stack", "B / A", "B is"]);
    for row in &comparison.rows {
        table.add_row(vec![
            row.case.model.name.clone(),
            row.case.mode.to_string(),
            row.case.batch.to_string(),
            row.runner.clone(),
            interval(&row.ratio),
            row.verdict.to_string(),
        ]);
    }
    right_align(&mut table, &[2]);
    table
}

pub(crate) fn new_table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(headings.iter().map(Cell::new));
    table
}

pub(crate) fn right_align(table: &mut Table, columns: &[usize]) {
    for index in columns {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

pub(crate) fn interval(interval: &Interval) -> String {
    format!("{:.2} [{:.2}, {:.2}]", interval.estimate, interval.low, interval.high)
}

/// A duration in nanoseconds with three significant digits and a unit.
pub(crate) fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "µs"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    let decimals = if value < 10.0 {
        2
    } else if value < 100.0 {
        1
    } else {
        0
    };
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_have_a_fitting_unit() {
        assert_eq!(time(12.34), "12.3 ns");
        assert_eq!(time(1_234.0), "1.23 µs");
        assert_eq!(time(123_456_000.0), "123 ms");
        assert_eq!(time(2.5e9), "2.50 s");
    }
}
