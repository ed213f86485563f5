//! Where the time of a program's runs goes, step by step.

use crate::{KernelInfo, RunError};
use std::fmt;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// The steps of a run as a backend records them: each [`Trace::enter`] has its [`Trace::exit`], steps inside of steps in between.
#[derive(Debug)]
pub struct Trace {
    origin: Instant,
    /// Steps that have not ended: where they are in the program, when they began, time of the steps inside.
    open: Vec<(StepId, u64, u64)>,
    spans: Vec<Span>,
    totals: Vec<(StepId, Total)>,
}

/// Most spans that are kept for the timeline; sums count every one.
const MOST_SPANS: usize = 1 << 18;

/// A step of a program: which of its plans ([`crate::Executable::steps`]), and which step of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepId {
    /// The plan.
    pub plan: u32,
    /// The step.
    pub step: u32,
}

/// One execution of a step. Nanoseconds since profiling began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The step.
    pub id: StepId,
    /// How many steps it is inside of.
    pub depth: u32,
    /// When it began.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct Total {
    count: u64,
    /// Without the steps inside.
    own_ns: u64,
    fastest_ns: u64,
}

impl Default for Trace {
    fn default() -> Trace {
        Trace { origin: Instant::now(), open: vec![], spans: vec![], totals: vec![] }
    }
}

impl Trace {
    /// A step begins.
    pub fn enter(&mut self, id: StepId) {
        self.open.push((id, self.now(), 0));
    }

    /// The step that began last ends.
    pub fn exit(&mut self) {
        let end_ns = self.now();
        let Some((id, start_ns, inside_ns)) = self.open.pop() else { return };
        let elapsed = end_ns - start_ns;
        if let Some((_, _, inside)) = self.open.last_mut() {
            *inside += elapsed;
        }
        let own_ns = elapsed.saturating_sub(inside_ns);
        let at = match self.totals.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(at) => at,
            Err(at) => {
                self.totals.insert(at, (id, Total { count: 0, own_ns: 0, fastest_ns: u64::MAX }));
                at
            }
        };
        let total = &mut self.totals[at].1;
        total.count += 1;
        total.own_ns += own_ns;
        total.fastest_ns = total.fastest_ns.min(own_ns);
        if self.spans.len() < MOST_SPANS {
            self.spans.push(Span { id, depth: self.open.len() as u32, start_ns, end_ns });
        }
    }

    fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }
}

/// The least time a step could take on this machine: its bytes at the memory's bandwidth, or its arithmetic at the peak,
/// whichever is longer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// Nanoseconds.
    pub ns: f64,
    /// What limits it.
    pub limit: Limit,
}

/// What limits a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Moving its operands.
    Memory,
    /// Computing.
    Arithmetic,
}

impl Limit {
    /// The name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Limit::Memory => "memory",
            Limit::Arithmetic => "arithmetic",
        }
    }
}

/// Where the time of a program's runs went.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Runs that were profiled (one more, not counted, came before them).
    pub runs: usize,
    /// The mean time of a run, profiling included.
    pub run: Duration,
    /// The steps that were executed, those that took longest first.
    pub steps: Vec<StepProfile>,
    spans: Vec<(Span, usize)>,
}

/// One step of a program.
#[derive(Clone, Debug, PartialEq)]
pub struct StepProfile {
    /// Where it is in the program.
    pub id: StepId,
    /// What it is.
    pub kernel: KernelInfo,
    /// How often a run executes it.
    pub calls: f64,
    /// Nanoseconds of one execution, the mean, without steps inside of it.
    pub mean_ns: f64,
    /// The fastest execution.
    pub fastest_ns: u64,
    /// Its share of a run, in [0, 1].
    pub share: f64,
    /// The least time it could take; `None` where nothing is known.
    pub bound: Option<Bound>,
}

impl StepProfile {
    /// How near it comes to the machine's limits: the least time it could take over its fastest. 1 is as fast as this machine
    /// can; operands that a smaller cache holds than the one assumed can make it larger.
    #[must_use]
    pub fn roofline(&self) -> Option<f64> {
        self.bound.map(|bound| bound.ns / self.fastest_ns.max(1) as f64)
    }

    /// Gigabytes a second.
    #[must_use]
    pub fn bandwidth(&self) -> f64 {
        self.kernel.bytes as f64 / self.mean_ns
    }

    /// GFLOP/s.
    #[must_use]
    pub fn arithmetic(&self) -> f64 {
        self.kernel.flops as f64 / self.mean_ns
    }
}

/// Runs `run` once, and then `runs` times with a trace.
pub(crate) fn profile(
    executable: &dyn crate::Executable,
    runs: usize,
    mut run: impl FnMut(&mut Trace) -> Result<(), RunError>,
) -> Result<Profile, RunError> {
    let runs = runs.max(1);
    run(&mut Trace::default())?;
    let mut trace = Trace::default();
    let start = Instant::now();
    for _ in 0..runs {
        run(&mut trace)?;
    }
    let elapsed = start.elapsed();
    let (plans, bounds) = (executable.steps(), executable.bounds());
    let find = |id: StepId| plans.get(id.plan as usize)?.get(id.step as usize).cloned();
    let bound = |id: StepId| *bounds.get(id.plan as usize)?.get(id.step as usize)?;
    let steps = trace.totals.iter().filter_map(|(id, total)| {
        Some(StepProfile {
            id: *id,
            kernel: find(*id)?,
            calls: total.count as f64 / runs as f64,
            mean_ns: total.own_ns as f64 / total.count as f64,
            fastest_ns: total.fastest_ns,
            share: total.own_ns as f64 / elapsed.as_nanos().max(1) as f64,
            bound: bound(*id),
        })
    });
    let mut steps: Vec<StepProfile> = steps.collect();
    steps.sort_by(|a, b| b.share.total_cmp(&a.share));
    let position = |id: StepId| steps.iter().position(|s| s.id == id);
    let spans = trace.spans.iter().filter_map(|span| Some((*span, position(span.id)?))).collect();
    Ok(Profile { runs, run: elapsed / runs as u32, steps, spans })
}

impl Profile {
    /// Every execution of every step in the order in which they ended (the first quarter of a million of them), with the
    /// position of the step in [`Profile::steps`].
    pub fn spans(&self) -> impl ExactSizeIterator<Item = (&Span, usize)> {
        self.spans.iter().map(|(span, step)| (span, *step))
    }

    /// Writes the timeline as a file that Perfetto and Chrome's `about:tracing` show (Trace Event Format, complete events).
    ///
    /// # Errors
    /// What the system says about the file.
    pub fn chrome_trace(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let event = |(span, step): &(Span, usize)| {
            let StepProfile { kernel, .. } = &self.steps[*step];
            serde_json::json!({
                "name": format!("{} {}", kernel.kind, kernel.detail).trim_end(),
                "cat": kernel.kind,
                "ph": "X",
                "ts": span.start_ns as f64 / 1e3,
                "dur": (span.end_ns - span.start_ns) as f64 / 1e3,
                "pid": 1,
                "tid": 1,
                "args": {"site": kernel.site, "flops": kernel.flops, "bytes": kernel.bytes},
            })
        };
        let events: Vec<serde_json::Value> = self.spans.iter().map(event).collect();
        let trace = serde_json::json!({"displayTimeUnit": "ns", "traceEvents": events});
        std::fs::write(path, trace.to_string())
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.runs == 1 { "" } else { "s" };
        writeln!(f, "{:.1} µs a run (mean of {} run{plural})", self.run.as_nanos() as f64 / 1e3, self.runs)?;
        writeln!(
            f,
            "{:>6} {:>10} {:>10} {:>7} {:>9} {:>9} {:>17}  kernel",
            "share", "mean µs", "least µs", "calls", "GFLOP/s", "GB/s", "of roofline"
        )?;
        for step in &self.steps {
            let KernelInfo { kind, detail, site, .. } = &step.kernel;
            let roofline = match (step.roofline(), step.bound) {
                (Some(share), Some(bound)) => format!("{:.0} % {:>10}", 100.0 * share, bound.limit.name()),
                _ => String::new(),
            };
            writeln!(
                f,
                "{:>4.1} % {:>10.2} {:>10.2} {:>7} {:>9.1} {:>9.1} {roofline:>17}  {kind} {detail}{}{site}",
                100.0 * step.share,
                step.mean_ns / 1e3,
                step.fastest_ns as f64 / 1e3,
                step.calls,
                step.arithmetic(),
                step.bandwidth(),
                if site.is_empty() { "" } else { "  // " }
            )?;
        }
        let rest = 1.0 - self.steps.iter().map(|s| s.share).sum::<f64>();
        write!(f, "{:>4.1} % between the steps", 100.0 * rest.max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_inside_of_steps_are_not_counted_twice() {
        let mut trace = Trace::default();
        let id = |plan, step| StepId { plan, step };
        trace.enter(id(1, 0));
        for _ in 0..3 {
            trace.enter(id(0, 0));
            std::hint::black_box((0..1000).sum::<u64>());
            trace.exit();
        }
        trace.exit();
        let total =
            |id| trace.totals.iter().find(|(i, _)| *i == id).map(|(_, t)| *t).expect("it was executed");
        let (inner, outer) = (total(id(0, 0)), total(id(1, 0)));
        assert_eq!((inner.count, outer.count), (3, 1));
        let outer_span = trace.spans.last().expect("the outer step ended last");
        assert_eq!((outer_span.id, outer_span.depth), (id(1, 0), 0));
        assert_eq!(inner.own_ns + outer.own_ns, outer_span.end_ns - outer_span.start_ns);
        assert!(trace.spans[..3].iter().all(|s| s.depth == 1 && s.start_ns >= outer_span.start_ns));
    }
}
