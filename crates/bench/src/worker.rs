//! The worker side of the protocol, for stacks written in Rust: implement [`WorkerModel`] and [`Session`], call
//! [`serve`] from `main`.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::path::Path;

use crate::clock::{monotonic_ns, peak_resident_bytes, reset_peak_resident};
use crate::protocol::{
    Failure, FailureKind, Mark, PROTOCOL_VERSION, Phase, PhaseMemory, Ready, Request, Response, Setup,
    TensorFile,
};

/// A stack that can be measured.
pub trait WorkerModel {
    /// A case made ready to run.
    type Session: Session;

    /// Versions of the stack and of what it stands on, by name.
    fn versions(&self) -> BTreeMap<String, String>;

    /// Loads, builds, compiles and packs the case, and calls [`Marks::end`] as each of these phases ends. [`serve`]
    /// does the first run itself.
    fn prepare(&self, setup: &Setup, marks: &mut Marks) -> Result<Self::Session, Failure>;
}

/// A case made ready to run.
pub trait Session {
    /// One inference, or one training step from the state the step before left. Returns when the result is in memory.
    fn step(&mut self) -> Result<(), Failure>;

    /// Writes the current outputs to `directory`: `output` (inference), or `loss` and every parameter under its name
    /// in [`Setup::parameters`] (training).
    fn outputs(&mut self, directory: &Path) -> Result<Vec<TensorFile>, Failure>;
}

impl Failure {
    /// A failure of the stack.
    pub fn failed(error: impl std::fmt::Display) -> Failure {
        Failure { kind: FailureKind::Failed, message: error.to_string() }
    }

    /// A case this stack cannot do.
    pub fn unsupported(reason: impl std::fmt::Display) -> Failure {
        Failure { kind: FailureKind::Unsupported, message: reason.to_string() }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::failed(error)
    }
}

/// Records where phases end, and their peak memory if the setup asks for it.
#[derive(Debug)]
pub struct Marks {
    marks: Vec<Mark>,
    memory: Option<Vec<PhaseMemory>>,
}

impl Marks {
    fn new(measure_memory: bool, start_ns: u64) -> Marks {
        let mut marks = Marks { marks: Vec::new(), memory: measure_memory.then(Vec::new) };
        marks.end_at(Phase::ProcessStart, start_ns);
        marks
    }

    /// The phase that began where the last one ended ends now.
    pub fn end(&mut self, phase: Phase) {
        self.end_at(phase, monotonic_ns());
    }

    fn end_at(&mut self, phase: Phase, end_ns: u64) {
        self.marks.push(Mark { phase, end_ns });
        if let Some(memory) = &mut self.memory
            && let Some(peak_bytes) = peak_resident_bytes()
        {
            memory.push(PhaseMemory { phase, peak_bytes });
            reset_peak_resident();
        }
    }
}

/// Serves one orchestrator over standard input and output until it says `shutdown` or closes the pipe. Call it first
/// thing in `main`: the phase `process_start` ends here. Errors only if the pipes break.
pub fn serve<M: WorkerModel>(model: &M) -> io::Result<()> {
    let start_ns = monotonic_ns();
    serve_on(model, io::stdin().lock(), io::stdout().lock(), start_ns)
}

/// [`serve`] over any pair of streams, for workers with other transports and for tests.
pub fn serve_on<M: WorkerModel>(
    model: &M,
    input: impl BufRead,
    mut output: impl Write,
    start_ns: u64,
) -> io::Result<()> {
    let mut server = Server { model, start_ns, session: None, marks: Marks::new(false, start_ns) };
    for line in input.lines() {
        let response = match serde_json::from_str(&line?) {
            Ok(Request::Shutdown) => return Ok(()),
            Ok(request) => server.answer(request).unwrap_or_else(Response::Error),
            Err(error) => Response::Error(Failure::failed(format!("not a request: {error}"))),
        };
        let mut text = serde_json::to_string(&response)?;
        text.push('\n');
        output.write_all(text.as_bytes())?;
        output.flush()?;
    }
    Ok(())
}

struct Server<'a, M: WorkerModel> {
    model: &'a M,
    start_ns: u64,
    session: Option<M::Session>,
    marks: Marks,
}

impl<M: WorkerModel> Server<'_, M> {
    fn answer(&mut self, request: Request) -> Result<Response, Failure> {
        match request {
            Request::Setup(setup) => self.setup(&setup),
            Request::Check { directory } => {
                let outputs = self.session()?.outputs(&directory)?;
                Ok(Response::Outputs { outputs })
            }
            Request::Run { warmup, iterations, repeats } => {
                let session = self.session()?;
                for _ in 0..warmup {
                    session.step()?;
                }
                let mut samples_ns = Vec::new();
                for _ in 0..repeats {
                    let start = monotonic_ns();
                    for _ in 0..iterations {
                        session.step()?;
                    }
                    samples_ns.push(monotonic_ns() - start);
                }
                Ok(Response::Samples { samples_ns })
            }
            Request::Memory => {
                let mut phases = self.marks.memory.clone().unwrap_or_default();
                if let Some(peak_bytes) = peak_resident_bytes() {
                    phases.push(PhaseMemory { phase: Phase::Run, peak_bytes });
                }
                Ok(Response::Memory { phases })
            }
            Request::Shutdown => Err(Failure::failed("shutdown is handled by the loop")),
        }
    }

    fn setup(&mut self, setup: &Setup) -> Result<Response, Failure> {
        if setup.version != PROTOCOL_VERSION {
            return Err(Failure::failed(format!(
                "this worker speaks protocol {PROTOCOL_VERSION}, the orchestrator {}",
                setup.version
            )));
        }
        limit_cpus(setup.case.threads);
        self.marks = Marks::new(setup.measure_memory, self.start_ns);
        let mut session = self.model.prepare(setup, &mut self.marks)?;
        session.step()?;
        self.marks.end(Phase::FirstRun);
        self.session = Some(session);
        Ok(Response::Ready(Ready {
            version: PROTOCOL_VERSION,
            versions: self.model.versions(),
            marks: self.marks.marks.clone(),
        }))
    }

    fn session(&mut self) -> Result<&mut M::Session, Failure> {
        self.session.as_mut().ok_or_else(|| Failure::failed("the request came before a successful setup"))
    }
}

/// Restricts this process to its first `threads` CPUs, so that no stack can use more than it was given.
#[cfg(target_os = "linux")]
fn limit_cpus(threads: usize) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    let Ok(allowed) = sched_getaffinity(None) else { return };
    let mut limited = CpuSet::new();
    (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).take(threads).for_each(|cpu| limited.set(cpu));
    // A refusal leaves the stack's own thread setting as the limit.
    let _ = sched_setaffinity(None, &limited);
}

#[cfg(not(target_os = "linux"))]
fn limit_cpus(_threads: usize) {}
