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
