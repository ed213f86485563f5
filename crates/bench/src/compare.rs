//! Compares two runs.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::protocol::Case;
use crate::result::{Report, Row};
use crate::stats::{Interval, bootstrap_ratio};
use crate::table;

/// What the interval says about B against A.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// B is faster: the whole interval lies below 1.
    Better,
    /// B is slower: the whole interval lies above 1.
    Worse,
    /// The interval holds 1.
    NoDifference,
}

impl Verdict {
    /// The verdict of an interval of time ratios.
    pub fn of(interval: &Interval) -> Verdict {
        if interval.high < 1.0 {
            Verdict::Better
        } else if interval.low > 1.0 {
            Verdict::Worse
        } else {
            Verdict::NoDifference
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::NoDifference => "no difference",
        })
    }
}

/// Two runs side by side.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Reasons to read the verdicts with care: another machine, other versions, other threads.
    pub warnings: Vec<String>,
    /// Rows measured in both runs.
    pub rows: Vec<ComparedRow>,
    /// Rows that only one run has a time for, in words.
    pub unmatched: Vec<String>,
}

/// One row measured in both runs.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct ComparedRow {
    /// The case, as in A.
    pub case: Case,
    /// The stack.
    pub runner: String,
    /// Step time of B over A, 95 % bootstrap interval of the ratio of medians.
    pub ratio: Interval,
    /// What that says.
    pub verdict: Verdict,
}

/// Compares the warm times of `b` with those of `a`, row by row.
pub fn compare(a: &Report, b: &Report) -> Comparison {
    let mut rows = Vec::new();
    let mut unmatched = Vec::new();
    let mut versions: BTreeMap<String, [String; 2]> = BTreeMap::new();
    for row in a.rows.iter().filter(|row| row.measured().is_some()) {
        let other = b.rows.iter().find(|other| same(row, other)).and_then(Row::measured);
        let (Some(before), Some(after)) = (row.measured(), other) else {
            unmatched.push(format!("{} {}: only in A", row.case, row.runner));
            continue;
        };
        for (name, version) in &before.versions {
            if let Some(now) = after.versions.get(name).filter(|now| *now != version) {
                versions.insert(name.clone(), [version.clone(), now.clone()]);
            }
        }
        match bootstrap_ratio(&after.warm.samples_ns, &before.warm.samples_ns, 0) {
            Some(ratio) => rows.push(ComparedRow {
                case: row.case.clone(),
                runner: row.runner.clone(),
                ratio,
                verdict: Verdict::of(&ratio),
            }),
            None => unmatched.push(format!("{} {}: no usable samples", row.case, row.runner)),
        }
    }
    for row in b.rows.iter().filter(|row| row.measured().is_some()) {
        if !a.rows.iter().any(|other| same(row, other) && other.measured().is_some()) {
            unmatched.push(format!("{} {}: only in B", row.case, row.runner));
        }
    }
    let mut warnings = Vec::new();
    if a.header.machine != b.header.machine {
        warnings.push(format!(
            "the machines differ: {} and {}",
            a.header.machine.slug(),
            b.header.machine.slug()
        ));
    }
    if a.header.plan.threads != b.header.plan.threads {
        warnings.push(format!(
            "the thread counts differ: {} and {}",
            a.header.plan.threads, b.header.plan.threads
        ));
    }
    warnings.extend(versions.iter().map(|(name, [old, new])| format!("{name} is {old} in A and {new} in B")));
    Comparison { warnings, rows, unmatched }
}

/// Same work and stack; the thread count may differ, which is a warning of its own.
fn same(a: &Row, b: &Row) -> bool {
    a.runner == b.runner
        && a.case.model == b.case.model
        && a.case.batch == b.case.batch
        && a.case.mode == b.case.mode
        && a.case.dtype == b.case.dtype
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        writeln!(f, "{}", table::comparison(self))?;
        for line in &self.unmatched {
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}
