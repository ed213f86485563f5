//! Measures the contenders of a case in interleaved rounds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::peer::{Absent, Peers};
use super::report::{Measured, Outcome, Ratio, Row, verdict};
use super::{Case, Contender, Goal, Options, Peer, Per};
use crate::error::BenchError;
use crate::stats::{Summary, bootstrap_median};

/// Upper bound of steps a sample.
const MAX_ITERATIONS: u64 = 1 << 24;

/// A step that lasts so many samples is sampled without untimed ones where time is limited.
const SLOW: f64 = 10.0;

/// Measures the cases one after the other, each made when its turn has come; `announce` is told what is going on.
pub fn measure(
    cases: impl IntoIterator<Item = Box<dyn FnOnce() -> Result<Case, String>>>,
    options: &Options,
    announce: &dyn Fn(&str),
) -> Result<Vec<Row>, BenchError> {
    if options.rounds < 10 {
        let reason = "an interval needs at least 10 rounds".to_owned();
        return Err(BenchError::InvalidOption { option: "repeats", reason });
    }
    let mut peers = Peers::new(options.timeout, options.isa)?;
    let mut rows = Vec::new();
    for case in cases {
        match case() {
            Ok(case) => rows.extend(measure_case(case, options, &mut peers, announce)?),
            Err(reason) => rows.push(Row::new("", "", 0, Outcome::Failed { reason })),
        }
    }
    Ok(rows)
}

/// Somebody who is timed.
struct Racer {
    name: String,
    who: Who,
    iterations: u64,
    /// A step outlasts a sample by so much that it needs no untimed steps.
    slow: bool,
    /// What its samples have taken, their untimed steps included.
    spent: Duration,
    samples_ns: Vec<f64>,
    versions: BTreeMap<String, String>,
}

enum Who {
    Local(Box<dyn Contender>),
    Peer(Peer),
}

fn measure_case(
    mut case: Case,
    options: &Options,
    peers: &mut Peers,
    announce: &dyn Fn(&str),
) -> Result<Vec<Row>, BenchError> {
    announce(&format!("{}: first results", case.name));
    let mut racers: Vec<Racer> = Vec::new();
    let mut rows: Vec<(usize, Row)> = Vec::new();
    let mut order = 0;
    for contender in std::mem::take(&mut case.contenders) {
        let name = contender.name().to_owned();
        match admit(contender, &case) {
            Ok(contender) => racers.push(Racer::new(&name, Who::Local(contender), BTreeMap::new())),
            Err(reason) => rows.push((order, absent_row(&name, &case, Absent::Failed(reason)))),
        }
        order += 1;
    }
    let taking_part: Vec<Peer> =
        case.peers.iter().filter(|p| !options.without.contains(&p.stack)).cloned().collect();
    let given = peers.write(&case)?;
    for peer in taking_part {
        announce(&format!("{}: first result of {}", case.name, peer.name));
        let first = peers.setup(&peer, case.threads, &given).and_then(|first| {
            check(&case, &first.output).map_err(Absent::Failed)?;
            Ok(first.versions)
        });
        match first {
            Ok(versions) => racers.push(Racer::new(&peer.name.clone(), Who::Peer(peer), versions)),
            Err(absent) => rows.push((order, absent_row(&peer.name, &case, absent))),
        }
        order += 1;
    }
    rounds(&mut racers, &case, options, peers, announce, &mut rows);
    rows.extend(summarize(&racers, &case).into_iter().map(|row| (0, row)));
    // Failures stand behind what was measured.
    rows.sort_by_key(|(order, row)| (!matches!(row.outcome, Outcome::Ok(_)), *order));
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// The row of somebody who does not take part.
fn absent_row(name: &str, case: &Case, absent: Absent) -> Row {
    let outcome = match absent {
        Absent::Missing(reason) => Outcome::Missing { reason },
        Absent::Unsupported(reason) => Outcome::Unsupported { reason },
        Absent::Failed(reason) => Outcome::Failed { reason },
    };
    Row::new(&case.name, name, case.threads, outcome)
}

/// The first step of a contender in this process, held to the expectation.
fn admit(mut contender: Box<dyn Contender>, case: &Case) -> Result<Box<dyn Contender>, String> {
    contender.step()?;
    if let Some(output) = contender.output()? {
        check(case, &output)?;
    }
    Ok(contender)
}

/// Whether a result is right.
fn check(case: &Case, output: &[f64]) -> Result<(), String> {
    if case.expected.is_empty() {
        return Ok(());
    }
    if output.len() != case.expected.len() {
        return Err(format!("{} numbers came out instead of {}", output.len(), case.expected.len()));
    }
    let largest = case.expected.iter().fold(0.0, |a: f64, x| a.max(x.abs()));
    let error = |i: usize| (output[i] - case.expected[i]).abs() / largest;
    // A NaN is no number below the tolerance.
    match (0..output.len()).find(|i| !matches!(error(*i), e if e <= case.tolerance)) {
        None => Ok(()),
        Some(i) => Err(format!(
            "wrong result: element {i} is {} instead of {} (relative error {:.1e}, tolerance {:.1e})",
            output[i],
            case.expected[i],
            error(i),
            case.tolerance
        )),
    }
}

fn rounds(
    racers: &mut Vec<Racer>,
    case: &Case,
    options: &Options,
    peers: &mut Peers,
    announce: &dyn Fn(&str),
    rows: &mut Vec<(usize, Row)>,
) {
    let mut lost = |racers: &mut Vec<Racer>, name: &str, absent: Absent| {
        racers.retain(|r| r.name != name);
        rows.push((usize::MAX, absent_row(name, case, absent)));
    };
    let names: Vec<String> = racers.iter().map(|r| r.name.clone()).collect();
    for name in &names {
        let Some(racer) = racers.iter_mut().find(|r| r.name == *name) else { continue };
        if let Err(absent) = racer.calibrate(case, options, peers) {
            lost(racers, name, absent);
        }
    }
    for round in 0..options.warmup_rounds + options.rounds {
        announce(&format!("{}: round {}", case.name, round + 1));
        for turn in 0..names.len() {
            // Each round starts with another one, so that none always follows the same one.
            let name = &names[(turn + round) % names.len()];
            let Some(racer) = racers.iter_mut().find(|r| r.name == *name) else { continue };
            if racer.is_done(options) || racer.slow && round < options.warmup_rounds {
                continue;
            }
            match racer.sample(racer.iterations, case, peers) {
                Ok(ns) if round >= options.warmup_rounds => {
                    racer.samples_ns.push(ns as f64 / racer.iterations as f64);
                }
                Ok(_) => {}
                Err(absent) => lost(racers, name, absent),
            }
        }
    }
}

impl Racer {
    fn new(name: &str, who: Who, versions: BTreeMap<String, String>) -> Racer {
        let (iterations, slow, spent) = (1, false, Duration::ZERO);
        Racer { name: name.to_owned(), who, iterations, slow, spent, samples_ns: Vec::new(), versions }
    }

    /// Whether it has used up the time for its samples.
    fn is_done(&self, options: &Options) -> bool {
        !self.samples_ns.is_empty() && options.budget.is_some_and(|budget| self.spent >= budget)
    }

    /// A sample after half as many untimed steps, which bring caches and threads back.
    fn sample(&mut self, iterations: u64, case: &Case, peers: &mut Peers) -> Result<u64, Absent> {
        let warmup = if self.slow { 0 } else { iterations.div_ceil(2) };
        let start = Instant::now();
        let sample = match &mut self.who {
            Who::Local(contender) => {
                contender.sample(warmup).and_then(|_| contender.sample(iterations)).map_err(Absent::Failed)
            }
            Who::Peer(peer) => peers.sample(peer, case.threads, [warmup, iterations]),
        };
        self.spent += start.elapsed();
        sample
    }

    /// Finds how many steps fill a sample.
    fn calibrate(&mut self, case: &Case, options: &Options, peers: &mut Peers) -> Result<(), Absent> {
        let wanted = options.sample_time.as_nanos() as f64;
        self.slow = options.budget.is_some();
        let first = self.sample(1, case, peers)? as f64;
        if self.slow && first >= SLOW * wanted {
            return Ok(());
        }
        self.slow = false;
        loop {
            let elapsed = self.sample(self.iterations, case, peers)? as f64;
            if elapsed >= wanted || self.iterations >= MAX_ITERATIONS {
                return Ok(());
            }
            // A fifth more than needed, so that a sample that runs a little faster still lasts long enough.
            let next = (wanted / elapsed.max(1.0) * self.iterations as f64 * 1.2).ceil() as u64;
            let bounded = next.clamp(self.iterations + 1, self.iterations.saturating_mul(100));
            self.iterations = bounded.min(MAX_ITERATIONS);
        }
    }
}

fn summarize(racers: &[Racer], case: &Case) -> Vec<Row> {
    // Without its subject a case has no ratios.
    let subject = racers.iter().find(|racer| racer.name == case.subject);
    let row = |racer: &Racer| {
        let is_subject = racer.name == case.subject;
        let step_ns = Summary::of(&racer.samples_ns)?;
        let ratio = subject.filter(|_| !is_subject).and_then(|subject| {
            let ratios: Vec<f64> =
                subject.samples_ns.iter().zip(&racer.samples_ns).map(|(own, other)| own / other).collect();
            Some(Ratio { subject: subject.name.clone(), interval: bootstrap_median(&ratios, 0)? })
        });
        let goal = case.goals.iter().find(|goal| match goal {
            Goal::Ratio { against, .. } => !is_subject && *against == racer.name,
            Goal::Time { .. } => is_subject,
        });
        let verdict = goal.and_then(|goal| match goal {
            Goal::Ratio { at_most, .. } => Some(verdict(&ratio.as_ref()?.interval, *at_most)),
            Goal::Time { at_most_ns } => {
                let per = match case.per {
                    Per::Items { count, .. } => count as f64,
                    Per::Step | Per::Bytes(_) => 1.0,
                };
                let times: Vec<f64> = racer.samples_ns.iter().map(|ns| ns / per).collect();
                Some(verdict(&bootstrap_median(&times, 0)?, *at_most_ns))
            }
        });
        let measured = Measured {
            iterations: racer.iterations,
            step_ns,
            samples_ns: racer.samples_ns.clone(),
            versions: racer.versions.clone(),
            per: case.per.clone(),
            ratio,
            goal: goal.cloned(),
            verdict,
        };
        Some(Row {
            case: case.name.clone(),
            contender: racer.name.clone(),
            threads: case.threads,
            outcome: Outcome::Ok(Box::new(measured)),
        })
    };
    racers.iter().filter_map(row).collect()
}
