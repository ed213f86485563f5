//! Other stacks, in worker processes that stay alive from case to case.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Case;
use crate::Isa;
use crate::error::{BenchError, io_error, with_causes};
use crate::measure::settle;
use crate::peers;
use crate::process::{WorkerCommand, WorkerError, WorkerProcess};
use crate::protocol::{FailureKind, PROTOCOL_VERSION, Request, Response, TensorFile};
use crate::runner::{environment, write_worker_sources};

/// The Python workers of these benchmarks; they use modules of the suite's.
const SOURCES: [(&str, &str); 2] = [
    ("kernel_peers.py", include_str!("../../../../python/wootz/_bench_worker/kernel_peers.py")),
    ("histfactory_peers.py", include_str!("../../../../python/wootz/_bench_worker/histfactory_peers.py")),
];

/// The Python worker that runs a peer's operation.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub enum Script {
    /// Operations on tensors.
    Kernels,
    /// Inference on the statistical workspace that is the case's document.
    HistFactory,
}

impl Script {
    fn file(self) -> &'static str {
        match self {
            Script::Kernels => SOURCES[0].0,
            Script::HistFactory => SOURCES[1].0,
        }
    }
}

/// A stack that takes part in a case.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// Its name in the table.
    pub name: String,
    /// The worker.
    pub script: Script,
    /// The stack, by the worker's name for it: `numpy`, `pytorch`, `onnxruntime`; `wootz`, `nextstat`, `pyhf-numpy`, `pyhf-jax`.
    pub stack: String,
    /// What it is asked to run, by the worker's name for it: `softmax`, `layer_norm`, `adam_fused`; `nll`, `fit`, ….
    pub operation: String,
}

impl Peer {
    /// A peer that computes on tensors.
    pub fn new(name: &str, stack: &str, operation: &str) -> Peer {
        Peer::of(Script::Kernels, name, stack, operation)
    }

    /// A peer of any worker.
    pub fn of(script: Script, name: &str, stack: &str, operation: &str) -> Peer {
        Peer { name: name.to_owned(), script, stack: stack.to_owned(), operation: operation.to_owned() }
    }
}

/// The request that makes a worker ready for a case.
#[derive(Serialize)]
struct Setup<'a> {
    r#type: &'static str,
    version: u32,
    operation: &'a str,
    threads: usize,
    inputs: &'a [TensorFile],
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<&'a Path>,
}

/// What a case gives its peers.
pub(super) struct Given {
    inputs: Vec<TensorFile>,
    document: Option<PathBuf>,
}

/// The first result of a peer.
pub(super) struct First {
    pub(super) output: Vec<f64>,
    pub(super) versions: BTreeMap<String, String>,
}

/// Why a peer does not take part.
pub(super) enum Absent {
    /// It is not installed.
    Missing(String),
    /// It cannot do this case.
    Unsupported(String),
    /// It failed.
    Failed(String),
}

/// The worker processes, by name of the peer and number of threads.
pub(super) struct Peers {
    processes: BTreeMap<(String, usize), WorkerProcess>,
    folder: tempfile::TempDir,
    sources: PathBuf,
    timeout: Duration,
    isa: Option<Isa>,
}

impl Peers {
    pub(super) fn new(timeout: Duration, isa: Option<Isa>) -> Result<Peers, BenchError> {
        let folder = tempfile::tempdir().map_err(io_error(&std::env::temp_dir()))?;
        let sources = write_worker_sources(folder.path()).map_err(io_error(folder.path()))?;
        for (name, text) in SOURCES {
            let own = sources.join(name);
            fs::write(&own, text).map_err(io_error(&own))?;
        }
        Ok(Peers { processes: BTreeMap::new(), folder, sources, timeout, isa })
    }

    /// Writes a case's inputs for the peers.
    pub(super) fn write(&self, case: &Case) -> Result<Given, BenchError> {
        let path = self.folder.path();
        let write = |t: &super::Tensor| TensorFile::write_f32(path, &t.name, &t.shape, &t.values);
        let inputs = case.inputs.iter().map(write).collect::<Result<_, _>>().map_err(io_error(path))?;
        let document = case.document.as_ref().map(|text| {
            let file = path.join("document");
            fs::write(&file, text).map_err(io_error(&file))?;
            Ok(file)
        });
        Ok(Given { inputs, document: document.transpose()? })
    }

    /// Brings a peer to the first result of a case, and reads it.
    pub(super) fn setup(&mut self, peer: &Peer, threads: usize, given: &Given) -> Result<First, Absent> {
        let setup = Setup {
            r#type: "setup",
            version: PROTOCOL_VERSION,
            operation: &peer.operation,
            threads,
            inputs: &given.inputs,
            document: given.document.as_deref(),
        };
        let outputs = self.folder.path().join("outputs");
        fs::create_dir_all(&outputs).map_err(|e| Absent::Failed(e.to_string()))?;
        let timeout = self.timeout;
        let process = self.process(peer, threads)?;
        let answer = (|| {
            let versions = match process.ask_as("setup", &setup, timeout)? {
                Response::Ready(ready) => ready.versions,
                other => return Err(WorkerProcess::unexpected("setup", &other)),
            };
            match process.ask(&Request::Check { directory: outputs }, timeout)? {
                Response::Outputs { outputs } => Ok((outputs, versions)),
                other => Err(WorkerProcess::unexpected("check", &other)),
            }
        })();
        let (files, versions) = answer.map_err(|error| absent(&error, process))?;
        let mut output = Vec::new();
        for file in files {
            output.extend(file.read_floats().map_err(|e| Absent::Failed(e.to_string()))?);
        }
        settle(process.id());
        Ok(First { output, versions })
    }

    /// Runs `warmup` untimed steps and `iterations` timed ones; nanoseconds.
    pub(super) fn sample(
        &mut self,
        peer: &Peer,
        threads: usize,
        [warmup, iterations]: [u64; 2],
    ) -> Result<u64, Absent> {
        let timeout = self.timeout;
        let process = self.process(peer, threads)?;
        let request = Request::Run { warmup, iterations, repeats: 1 };
        match process.ask(&request, timeout) {
            Ok(Response::Samples { samples_ns }) if samples_ns.len() == 1 => {
                settle(process.id());
                Ok(samples_ns[0])
            }
            Ok(other) => Err(absent(&WorkerProcess::unexpected("run", &other), process)),
            Err(error) => Err(absent(&error, process)),
        }
    }

    fn process(&mut self, peer: &Peer, threads: usize) -> Result<&mut WorkerProcess, Absent> {
        let key = (peer.name.clone(), threads);
        // A worker that died in one case is no reason to go without its stack in the next.
        if self.processes.get_mut(&key).is_none_or(WorkerProcess::has_ended) {
            let command = command(&self.sources, peer, threads, self.isa)?;
            let process = WorkerProcess::spawn(&command).map_err(|e| Absent::Failed(with_causes(&e)))?;
            self.processes.insert(key.clone(), process);
        }
        self.processes.get_mut(&key).ok_or_else(|| Absent::Failed("the worker is gone".to_owned()))
    }
}

fn command(sources: &Path, peer: &Peer, threads: usize, isa: Option<Isa>) -> Result<WorkerCommand, Absent> {
    let missing =
        || Absent::Missing(format!("no Python environment with the peers; run `{}`", peers::INSTALL_HINT));
    let python = peers::python().ok_or_else(missing)?;
    let arguments = vec![
        python.into_os_string(),
        // Keeps packages of the user's own site out of the pinned environment.
        "-s".into(),
        sources.join(peer.script.file()).into_os_string(),
        peer.stack.clone().into(),
    ];
    Ok(WorkerCommand { arguments, environment: environment(threads, isa, &peer.stack) })
}

fn absent(error: &WorkerError, process: &mut WorkerProcess) -> Absent {
    match error {
        WorkerError::Reported(failure) if failure.kind == FailureKind::Missing => {
            Absent::Missing(format!("{}; run `{}`", failure.message, peers::INSTALL_HINT))
        }
        WorkerError::Reported(failure) if failure.kind == FailureKind::Unsupported => {
            Absent::Unsupported(failure.message.clone())
        }
        error => {
            let tail = process.stderr_tail();
            let last = tail.lines().last().map(|line| format!(" ({line})")).unwrap_or_default();
            Absent::Failed(format!("{error}{last}"))
        }
    }
}
