//! Measures one case: check, warm rounds, cold spawns.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::cases::CaseData;
use crate::check::{Check, check};
use crate::clock::cpu_ns;
use crate::error::{BenchError, io_error, with_causes};
use crate::options::Plan;
use crate::peers;
use crate::process::{WorkerCommand, WorkerError, WorkerProcess};
use crate::protocol::{
    Case, FailureKind, PROTOCOL_VERSION, Phase, PhaseMemory, Ready, Request, Response, Setup,
};
use crate::reference::{Reference, reference};
use crate::result::{Cold, Measured, Outcome, Ratio, Row, Warm};
use crate::runner::{Runner, Worker, environment};
use crate::stats::{Summary, bootstrap_median};

/// How long the machine rests before a fresh process is started.
const SETTLE: Duration = Duration::from_millis(10);
/// After a sample the threads of a pool may spin for a while: the next worker waits until they sleep, which shows as
/// less CPU time than `QUIET_NS` in each of two intervals of `QUIET_POLL`, and at most `QUIET_LIMIT`.
const QUIET_POLL: Duration = Duration::from_millis(3);
const QUIET_NS: u64 = 100_000;
const QUIET_LIMIT: Duration = Duration::from_millis(300);
/// Upper bound of steps a sample.
const MAX_ITERATIONS: u64 = 1 << 24;
/// Where a case's numbers are, below the scratch folder.
const CASE_FOLDER: &str = "case";

/// What every case of a run shares.
pub(crate) struct Context<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) runners: &'a [Runner],
    pub(crate) scratch: &'a Path,
    pub(crate) timeout: Duration,
    /// Called with a sentence on what is going on.
    pub(crate) announce: &'a dyn Fn(&str),
}

/// A runner that has passed the check and is alive.
struct Active {
    runner: usize,
    process: WorkerProcess,
    ready: Ready,
    checks: Vec<Check>,
    memory: Vec<PhaseMemory>,
    iterations: u64,
    samples_ns: Vec<f64>,
    idle: Idle,
}

/// CPU time used while idle.
#[derive(Default)]
struct Idle {
    since: Option<(Instant, u64)>,
    seconds: f64,
    cpu_ns: u64,
}

/// Measures `case` on every runner: one row each, in the runners' order.
pub(crate) fn measure(context: &Context<'_>, case: &Case) -> Result<Vec<Row>, BenchError> {
    let (mut setup, data, expected) = prepare(context, case)?;
    setup.measure_memory = true;
    let mut outcomes: BTreeMap<usize, Outcome> = BTreeMap::new();
    let mut active = Vec::new();
    for (index, runner) in context.runners.iter().enumerate() {
        (context.announce)(&format!("{case}: {} first result", runner.name));
        match admit(context, index, &setup, &expected, &data) {
            Ok(worker) => active.push(worker),
            Err(outcome) => {
                outcomes.insert(index, outcome);
            }
        }
    }
    warm(context, case, &mut active, &mut outcomes);

    // The warm workers go before fresh ones start, so that their memory and threads disturb none.
    let mut measured: BTreeMap<usize, Measured> = BTreeMap::new();
    let baseline = active
        .iter()
        .find(|worker| context.runners[worker.runner].name == context.plan.baseline)
        .map(|worker| worker.samples_ns.clone());
    for mut worker in active {
        let index = worker.runner;
        worker.process.finish();
        match summarize(worker, baseline.as_deref(), &context.plan.baseline) {
            Some(result) => drop(measured.insert(index, result)),
            None => drop(outcomes.insert(index, failed("no samples".to_owned(), String::new()))),
        }
    }
    if context.plan.cold_batch_sizes.contains(&case.batch) && context.plan.cold_spawns > 0 {
        setup.measure_memory = false;
        cold(context, case, &setup, &mut measured, &mut outcomes);
    }
    clean(context)?;

    outcomes.extend(measured.into_iter().map(|(index, result)| (index, Outcome::Ok(Box::new(result)))));
    let row = |(index, outcome): (usize, Outcome)| Row {
        case: case.clone(),
        runner: context.runners[index].name.clone(),
        outcome,
    };
    Ok(outcomes.into_iter().map(row).collect())
}

/// Whether one of `runners` now reaches a right first result of `case`.
pub(crate) fn works(context: &Context<'_>, case: &Case, runners: &[usize]) -> Result<bool, BenchError> {
    let (setup, data, expected) = prepare(context, case)?;
    let works = runners.iter().any(|index| {
        (context.announce)(&format!("{case}: {} again", context.runners[*index].name));
        admit(context, *index, &setup, &expected, &data).is_ok()
    });
    clean(context)?;
    Ok(works)
}

/// Writes the numbers of `case` and computes what comes of them.
fn prepare(context: &Context<'_>, case: &Case) -> Result<(Setup, CaseData, Reference), BenchError> {
    (context.announce)(&format!("{case}: float64 reference"));
    let data = CaseData::generate(case);
    let folder = context.scratch.join(CASE_FOLDER);
    fs::create_dir_all(&folder).map_err(io_error(&folder))?;
    let setup = data.write(case, &folder).map_err(io_error(&folder))?;
    let expected = reference(case, &data);
    Ok((setup, data, expected))
}

fn clean(context: &Context<'_>) -> Result<(), BenchError> {
    let folder = context.scratch.join(CASE_FOLDER);
    fs::remove_dir_all(&folder).map_err(io_error(&folder))
}

/// Starts a worker, lets it reach its first result and holds that to the reference.
fn admit(
    context: &Context<'_>,
    index: usize,
    setup: &Setup,
    expected: &Reference,
    data: &CaseData,
) -> Result<Active, Outcome> {
    let command = match &context.runners[index].worker {
        Worker::Command(command) => command,
        Worker::Missing { reason, install } => {
            return Err(Outcome::Missing { reason: reason.clone(), install: install.clone() });
        }
    };
    let outputs_folder = context.scratch.join(format!("outputs-{index}"));
    fs::create_dir_all(&outputs_folder)
        .map_err(|error| failed(format!("{}: {error}", outputs_folder.display()), String::new()))?;
    let (mut process, ready) = first_result(context, &context.runners[index].name, command, setup)?;
    let result = (|| {
        let request = Request::Check { directory: outputs_folder.clone() };
        let outputs = match process.ask(&request, context.timeout)? {
            Response::Outputs { outputs } => outputs,
            other => return Err(WorkerProcess::unexpected("check", &other)),
        };
        let memory = match process.ask(&Request::Memory, context.timeout)? {
            Response::Memory { phases } => phases,
            other => return Err(WorkerProcess::unexpected("memory", &other)),
        };
        Ok((outputs, memory))
    })();
    let (outputs, memory) = result.map_err(|error| outcome_of(&error, &mut process))?;
    let checks = check(expected, data, &outputs).map_err(|reason| failed(reason, process.stderr_tail()))?;
    // Leftovers only cost space in the scratch folder, which goes away as a whole.
    let _ = fs::remove_dir_all(&outputs_folder);
    Ok(Active {
        runner: index,
        process,
        ready,
        checks,
        memory,
        iterations: 1,
        samples_ns: Vec::new(),
        idle: Idle::default(),
    })
}

/// A fresh process brought to its first result.
fn first_result(
    context: &Context<'_>,
    runner: &str,
    command: &WorkerCommand,
    setup: &Setup,
) -> Result<(WorkerProcess, Ready), Outcome> {
    let mut command = command.clone();
    command.environment.extend(environment(setup.case.threads, context.plan.isa, runner));
    // A compile cache of an earlier process would turn a cold start into a warm one.
    let caches = tempfile::tempdir_in(context.scratch)
        .map_err(|error| failed(format!("{}: {error}", context.scratch.display()), String::new()))?;
    command.environment.push(("TORCHINDUCTOR_CACHE_DIR".into(), caches.path().join("inductor").into()));
    let mut process =
        WorkerProcess::spawn(&command).map_err(|error| failed(with_causes(&error), String::new()))?;
    let request = Request::Setup(Box::new(setup.clone()));
    match process.ask(&request, context.timeout) {
        Ok(Response::Ready(ready)) => match problem(&ready, process.spawned_ns()) {
            None => {
                drop(caches.keep());
                Ok((process, ready))
            }
            Some(reason) => Err(failed(reason, process.stderr_tail())),
        },
        Ok(other) => Err(outcome_of(&WorkerProcess::unexpected("setup", &other), &mut process)),
        Err(error) => Err(outcome_of(&error, &mut process)),
    }
}

/// What is wrong with a worker's marks, if anything.
fn problem(ready: &Ready, spawned_ns: u64) -> Option<String> {
    if ready.version != PROTOCOL_VERSION {
        return Some(format!("the worker speaks protocol {}, not {PROTOCOL_VERSION}", ready.version));
    }
    let mut previous = (None, spawned_ns);
    for mark in &ready.marks {
        if previous.0 >= Some(mark.phase) || mark.end_ns < previous.1 || mark.phase == Phase::Run {
            return Some(format!("the worker's mark {} is out of order", mark.phase.name()));
        }
        previous = (Some(mark.phase), mark.end_ns);
    }
    previous.0.is_none().then(|| "the worker sent no marks".to_owned())
}

/// Interleaved rounds. A worker that fails leaves `active` for `outcomes`; the others go on.
fn warm(
    context: &Context<'_>,
    case: &Case,
    active: &mut Vec<Active>,
    outcomes: &mut BTreeMap<usize, Outcome>,
) {
    let mut guarded = |active: &mut Vec<Active>, position: usize, result: Result<(), WorkerError>| -> bool {
        let Err(error) = result else { return true };
        let mut worker = active.remove(position);
        outcomes.insert(worker.runner, outcome_of(&error, &mut worker.process));
        false
    };
    let mut position = 0;
    while position < active.len() {
        (context.announce)(&format!("{case}: {} warm-up", context.runners[active[position].runner].name));
        let result = active[position].calibrate(context);
        if guarded(active, position, result) {
            position += 1;
        }
    }
    let rounds = context.plan.warmup_rounds + context.plan.repeats;
    for round in 0..rounds {
        (context.announce)(&format!("{case}: round {} of {rounds}", round + 1));
        // Each round starts with another runner, so that none always follows the same one.
        let mut order: Vec<usize> = active.iter().map(|worker| worker.runner).collect();
        if !order.is_empty() {
            let shift = round % order.len();
            order.rotate_left(shift);
        }
        for runner in order {
            let Some(position) = active.iter().position(|worker| worker.runner == runner) else { continue };
            let result = active[position].sample(context, round >= context.plan.warmup_rounds);
            guarded(active, position, result);
        }
    }
    let mut position = 0;
    while position < active.len() {
        let result = active[position].run_memory(context);
        if guarded(active, position, result) {
            position += 1;
        }
    }
}

impl Active {
    fn run(&mut self, context: &Context<'_>, warmup: u64, iterations: u64) -> Result<u64, WorkerError> {
        let request = Request::Run { warmup, iterations, repeats: 1 };
        match self.process.ask(&request, context.timeout)? {
            Response::Samples { samples_ns } if samples_ns.len() == 1 => Ok(samples_ns[0]),
            other => Err(WorkerProcess::unexpected("run", &other)),
        }
    }

    /// Finds how many steps fill a sample.
    fn calibrate(&mut self, context: &Context<'_>) -> Result<(), WorkerError> {
        self.run(context, 2, 1)?;
        loop {
            let elapsed = self.run(context, 1, self.iterations)?;
            if elapsed >= context.plan.sample_time_ns || self.iterations >= MAX_ITERATIONS {
                break;
            }
            // A fifth more than needed, so that a sample that runs a little faster still lasts long enough.
            let wanted =
                context.plan.sample_time_ns as f64 / elapsed.max(1) as f64 * self.iterations as f64 * 1.2;
            self.iterations = (wanted.ceil() as u64).clamp(self.iterations + 1, self.iterations * 100);
        }
        self.iterations = self.iterations.min(MAX_ITERATIONS);
        self.rest();
        Ok(())
    }

    /// One sample, preceded by untimed steps that bring the caches and the threads back.
    fn sample(&mut self, context: &Context<'_>, record: bool) -> Result<(), WorkerError> {
        self.idle.end(self.process.id());
        let elapsed = self.run(context, self.iterations.div_ceil(2), self.iterations)?;
        if record {
            self.samples_ns.push(elapsed as f64 / self.iterations as f64);
        }
        self.rest();
        Ok(())
    }

    fn run_memory(&mut self, context: &Context<'_>) -> Result<(), WorkerError> {
        match self.process.ask(&Request::Memory, context.timeout)? {
            Response::Memory { phases } => {
                self.memory = phases;
                Ok(())
            }
            other => Err(WorkerProcess::unexpected("memory", &other)),
        }
    }

    /// Waits until the worker's threads sleep; from then on it has to be idle.
    fn rest(&mut self) {
        self.idle.since = settle(self.process.id()).map(|used| (Instant::now(), used));
    }
}

/// Waits until a process's threads sleep; the CPU time it has used, where the system tells.
pub(crate) fn settle(pid: u32) -> Option<u64> {
    let deadline = Instant::now() + QUIET_LIMIT;
    let (mut before, mut quiet) = (cpu_ns(pid), 0);
    while quiet < 2 && Instant::now() < deadline {
        thread::sleep(QUIET_POLL);
        let now = cpu_ns(pid);
        let used = now.unwrap_or(0).saturating_sub(before.unwrap_or(0));
        quiet = if used < QUIET_NS { quiet + 1 } else { 0 };
        before = now;
    }
    before
}

impl Idle {
    fn end(&mut self, pid: u32) {
        if let (Some((since, before)), Some(now)) = (self.since.take(), cpu_ns(pid)) {
            self.seconds += since.elapsed().as_secs_f64();
            self.cpu_ns += now.saturating_sub(before);
        }
    }

    fn share(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.cpu_ns as f64 / 1e9 / self.seconds)
    }
}

fn summarize(worker: Active, baseline: Option<&[f64]>, baseline_name: &str) -> Option<Measured> {
    let step_ns = Summary::of(&worker.samples_ns)?;
    let ratio = baseline.and_then(|baseline| {
        // Both have a sample of every round, or the worker would have failed.
        let ratios: Vec<f64> = worker.samples_ns.iter().zip(baseline).map(|(own, base)| own / base).collect();
        let interval = bootstrap_median(&ratios, 0)?;
        Some(Ratio { baseline: baseline_name.to_owned(), interval })
    });
    Some(Measured {
        versions: worker.ready.versions,
        checks: worker.checks,
        cold: None,
        warm: Warm {
            iterations: worker.iterations,
            step_ns,
            ratio,
            idle_cpu_share: worker.idle.share(),
            samples_ns: worker.samples_ns,
        },
        memory: worker.memory,
    })
}

/// Fresh processes, interleaved, alone on the machine.
fn cold(
    context: &Context<'_>,
    case: &Case,
    setup: &Setup,
    measured: &mut BTreeMap<usize, Measured>,
    outcomes: &mut BTreeMap<usize, Outcome>,
) {
    let plan = context.plan;
    let mut spawns: BTreeMap<usize, Vec<(u64, Ready)>> = BTreeMap::new();
    for spawn in 0..plan.cold_spawns {
        // A stack that compiles for minutes has its one process; repeating it would take hours for a few per cent.
        let spent = |index: &usize| -> u64 {
            spawns.get(index).map_or(0, |starts| starts.iter().map(duration).sum())
        };
        let within = |index: &usize| {
            !spawns.contains_key(index) || plan.cold_budget_ns.is_none_or(|budget| spent(index) < budget)
        };
        let mut order: Vec<usize> = measured.keys().copied().filter(within).collect();
        if !order.is_empty() {
            let shift = spawn % order.len();
            order.rotate_left(shift);
        }
        for index in order {
            let runner = &context.runners[index];
            let Worker::Command(command) = &runner.worker else { continue };
            let name = &runner.name;
            (context.announce)(&format!(
                "{case}: {name} fresh process {} of {}",
                spawn + 1,
                plan.cold_spawns
            ));
            thread::sleep(SETTLE);
            match first_result(context, name, command, setup) {
                Ok((mut process, ready)) => {
                    spawns.entry(index).or_default().push((process.spawned_ns(), ready));
                    process.finish();
                }
                Err(outcome) => {
                    measured.remove(&index);
                    outcomes.insert(index, outcome);
                }
            }
        }
    }
    for (index, result) in measured.iter_mut() {
        result.cold = spawns.get(index).and_then(|starts| summarize_cold(starts));
    }
}

/// From spawn to first result, nanoseconds.
fn duration((spawned_ns, ready): &(u64, Ready)) -> u64 {
    ready.marks.last().map_or(0, |mark| mark.end_ns - spawned_ns)
}

fn summarize_cold(starts: &[(u64, Ready)]) -> Option<Cold> {
    let mut totals = Vec::new();
    let mut phases: BTreeMap<Phase, Vec<f64>> = BTreeMap::new();
    for (spawned_ns, ready) in starts {
        let mut start = *spawned_ns;
        for mark in &ready.marks {
            phases.entry(mark.phase).or_default().push((mark.end_ns - start) as f64);
            start = mark.end_ns;
        }
        totals.push((start - spawned_ns) as f64);
    }
    let phases_ns = phases.into_iter().filter_map(|(phase, d)| Some((phase, Summary::of(&d)?))).collect();
    Some(Cold { first_result_ns: Summary::of(&totals)?, phases_ns })
}

fn failed(reason: String, stderr: String) -> Outcome {
    Outcome::Failed { reason, stderr }
}

fn outcome_of(error: &WorkerError, process: &mut WorkerProcess) -> Outcome {
    match error {
        WorkerError::Reported(failure) if failure.kind == FailureKind::Missing => {
            Outcome::Missing { reason: failure.message.clone(), install: peers::INSTALL_HINT.to_owned() }
        }
        WorkerError::Reported(failure) if failure.kind == FailureKind::Unsupported => {
            Outcome::Unsupported { reason: failure.message.clone() }
        }
        error => failed(with_causes(error), process.stderr_tail()),
    }
}
