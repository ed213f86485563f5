//! The report for people.

use std::fmt;

use super::report::{Measured, Outcome, Report, Row, Verdict};
use super::{Goal, Per};
use crate::table::{interval, new_table, right_align, time};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = &self.machine;
        writeln!(f, "{} ({} cores), {}, {}", machine.cpu, machine.cores, self.subject, self.started)?;
        let headings = ["case", "threads", "who", "time", "rate", "spread", "wootz ÷ it", "goal", "reached"];
        let mut table = new_table(&headings);
        let mut previous = "";
        for row in &self.rows {
            let case = if row.case == previous { "" } else { &row.case };
            previous = &row.case;
            let mut cells = vec![case.to_owned(), row.threads.to_string(), row.contender.clone()];
            match &row.outcome {
                Outcome::Ok(measured) => cells.extend(measurements(measured)),
                Outcome::Unsupported { .. } => cells.push("cannot".to_owned()),
                Outcome::Failed { .. } => cells.push("failed".to_owned()),
                Outcome::Missing { .. } => cells.push("missing".to_owned()),
            }
            table.add_row(cells);
        }
        right_align(&mut table, &[1, 3, 4, 5]);
        writeln!(f, "{table}")?;
        writeln!(
            f,
            "time: median of {} interleaved rounds; spread: interquartile range; wootz ÷ it: wootz's time over this \
             one's, round by round, with its 95 % interval (above 1: wootz is slower).",
            self.rounds
        )?;
        for row in &self.rows {
            let Row { case, contender, .. } = row;
            match &row.outcome {
                Outcome::Failed { reason }
                | Outcome::Missing { reason }
                | Outcome::Unsupported { reason } => {
                    writeln!(f, "{case}, {contender}: {reason}")?;
                }
                Outcome::Ok(measured) if measured.samples_ns.len() < self.rounds => {
                    let rounds = measured.samples_ns.len();
                    writeln!(
                        f,
                        "{case}, {contender}: {rounds} of {} rounds in the time for it",
                        self.rounds
                    )?;
                }
                Outcome::Ok(_) => {}
            }
        }
        Ok(())
    }
}

impl Report {
    /// The report in short, for people: a line a case, with what its subject should reach and how many times its time the others take.
    pub fn summary(&self) -> String {
        let mut others: Vec<&str> = Vec::new();
        let mut cases: Vec<(&str, Vec<&Row>)> = Vec::new();
        for row in &self.rows {
            match cases.last_mut() {
                Some((case, rows)) if *case == row.case => rows.push(row),
                _ => cases.push((&row.case, vec![row])),
            }
            if ratio_of(row).is_some() && !others.contains(&row.contender.as_str()) {
                others.push(&row.contender);
            }
        }
        let ratios: Vec<String> = others.iter().map(|who| format!("{who} ÷ who")).collect();
        let first = ["case", "who", "time", "goal", "reached"];
        let headings: Vec<&str> = first.into_iter().chain(ratios.iter().map(String::as_str)).collect();
        let mut table = new_table(&headings);
        for (case, rows) in cases {
            let subject = rows.iter().find_map(|row| match &row.outcome {
                Outcome::Ok(measured) if measured.ratio.is_none() => Some((row, measured)),
                _ => None,
            });
            let Some((row, measured)) = subject else { continue };
            let goals = || {
                rows.iter().filter_map(|row| match &row.outcome {
                    Outcome::Ok(measured) if measured.goal.is_some() => Some((row, measured)),
                    _ => None,
                })
            };
            // Of several goals, one that is not reached.
            let is_open = |measured: &Measured| !matches!(measured.verdict, Some(Verdict::Reached));
            let with_goal = goals().find(|(_, measured)| is_open(measured)).or_else(|| goals().next());
            let (goal, reached) = with_goal.map_or_else(Default::default, |(row, measured)| {
                let [.., goal, reached] = measurements(measured);
                let against =
                    if measured.ratio.is_some() { format!(" × {}", row.contender) } else { String::new() };
                (goal + &against, reached)
            });
            let mut cells =
                vec![case.to_owned(), row.contender.clone(), time(measured.step_ns.median), goal, reached];
            cells.extend(others.iter().map(|who| {
                let ratio = rows.iter().find(|row| row.contender == *who).and_then(|row| ratio_of(row));
                ratio.map_or(String::new(), |ratio| format!("{:.3}", 1.0 / ratio))
            }));
            table.add_row(cells);
        }
        right_align(&mut table, &std::iter::once(2).chain(5..5 + others.len()).collect::<Vec<_>>());
        table.to_string()
    }
}

/// The subject's time over this row's.
fn ratio_of(row: &Row) -> Option<f64> {
    match &row.outcome {
        Outcome::Ok(measured) => measured.ratio.as_ref().map(|ratio| ratio.interval.estimate),
        _ => None,
    }
}

fn measurements(measured: &Measured) -> [String; 6] {
    let median = measured.step_ns.median;
    let rate = match &measured.per {
        Per::Step => String::new(),
        Per::Items { count, unit } => format!("{} / {unit}", time(median / *count as f64)),
        Per::Bytes(n) => format!("{:.1} GB/s", *n as f64 / median),
    };
    let goal = match (&measured.goal, &measured.per) {
        (None, _) => String::new(),
        (Some(Goal::Ratio { at_most, .. }), _) => format!("≤ {at_most:.2}"),
        (Some(Goal::Time { at_most_ns }), Per::Items { unit, .. }) => {
            format!("≤ {} / {unit}", time(*at_most_ns))
        }
        (Some(Goal::Time { at_most_ns }), _) => format!("≤ {}", time(*at_most_ns)),
    };
    let reached = match measured.verdict {
        None => "",
        Some(Verdict::Reached) => "yes",
        Some(Verdict::Unclear) => "unclear",
        Some(Verdict::Missed) => "no",
    };
    [
        time(median),
        rate,
        format!("{:.1} %", 100.0 * measured.step_ns.relative_spread()),
        measured.ratio.as_ref().map_or(String::new(), |ratio| interval(&ratio.interval)),
        goal,
        reached.to_owned(),
    ]
}
