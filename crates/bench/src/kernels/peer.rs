//! Other stacks, in worker processes that stay alive from case to case.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Case;
use crate::error::{BenchError, io_error, with_causes};
use crate::measure::settle;
use crate::peers;
use crate::process::{WorkerCommand, WorkerError, WorkerProcess};
use crate::protocol::{FailureKind, PROTOCOL_VERSION, Request, Response, TensorFile};
use crate::runner::{environment, write_worker_sources};

/// The Python worker of this benchmark; it uses modules of the suite's.
const SOURCE: (&str, &str) =
    ("kernel_peers.py", include_str!("../../../../python/wootz/_bench_worker/kernel_peers.py"));

/// A stack that takes part in a case.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// Its name in the table.
    pub name: String,
    /// The stack: `numpy`, `pytorch`, `onnxruntime`.
    pub stack: String,
    /// What it is asked to run, by the worker's name for it: `softmax`, `layer_norm`, `chain`, `adam-fused`, ….
    pub operation: String,
}

impl Peer {
    /// A peer.
    pub fn new(name: &str, stack: &str, operation: &str) -> Peer {
        Peer { name: name.to_owned(), stack: stack.to_owned(), operation: operation.to_owned() }
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
}

/// Why a peer does not take part.
pub(super) enum Absent {
    /// It is not installed.
    Missing(String),
    /// It failed.
    Failed(String),
}

/// The worker processes, by name of the peer and number of threads.
pub(super) struct Peers {
    processes: BTreeMap<(String, usize), WorkerProcess>,
    folder: tempfile::TempDir,
    sources: PathBuf,
    timeout: Duration,
}

impl Peers {
    pub(super) fn new(timeout: Duration) -> Result<Peers, BenchError> {
        let folder = tempfile::tempdir().map_err(io_error(&std::env::temp_dir()))?;
        let sources = write_worker_sources(folder.path()).map_err(io_error(folder.path()))?;
        let own = sources.join(SOURCE.0);
        fs::write(&own, SOURCE.1).map_err(io_error(&own))?;
        Ok(Peers { processes: BTreeMap::new(), folder, sources, timeout })
    }

    /// Writes a case's inputs for the peers.
    pub(super) fn write(&self, case: &Case) -> Result<Vec<TensorFile>, BenchError> {
        let path = self.folder.path();
        let write = |t: &super::Tensor| TensorFile::write_f32(path, &t.name, &t.shape, &t.values);
        case.inputs.iter().map(write).collect::<Result<_, _>>().map_err(io_error(path))
    }

    /// Brings a peer to the first result of a case, and reads it.
    pub(super) fn setup(
        &mut self,
        peer: &Peer,
        threads: usize,
        inputs: &[TensorFile],
    ) -> Result<Vec<f64>, Absent> {
        let setup =
            Setup { r#type: "setup", version: PROTOCOL_VERSION, operation: &peer.operation, threads, inputs };
        let outputs = self.folder.path().join("outputs");
        fs::create_dir_all(&outputs).map_err(|e| Absent::Failed(e.to_string()))?;
        let timeout = self.timeout;
        let process = self.process(peer, threads)?;
        let answer = (|| {
            match process.ask_as("setup", &setup, timeout)? {
                Response::Ready(_) => {}
                other => return Err(WorkerProcess::unexpected("setup", &other)),
            }
            match process.ask(&Request::Check { directory: outputs }, timeout)? {
                Response::Outputs { outputs } => Ok(outputs),
                other => Err(WorkerProcess::unexpected("check", &other)),
            }
        })();
        let files = answer.map_err(|error| absent(&error, process))?;
        let mut values = Vec::new();
        for file in files {
            let read = file.read_f32().map_err(|e| Absent::Failed(e.to_string()))?;
            values.extend(read.into_iter().map(f64::from));
        }
        settle(process.id());
        Ok(values)
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
        if !self.processes.contains_key(&key) {
            let command = command(&self.sources, peer, threads)?;
            let process = WorkerProcess::spawn(&command).map_err(|e| Absent::Failed(with_causes(&e)))?;
            self.processes.insert(key.clone(), process);
        }
        self.processes.get_mut(&key).ok_or_else(|| Absent::Failed("the worker is gone".to_owned()))
    }
}

fn command(sources: &Path, peer: &Peer, threads: usize) -> Result<WorkerCommand, Absent> {
    let missing =
        || Absent::Missing(format!("no Python environment with the peers; run `{}`", peers::INSTALL_HINT));
    let python = peers::python().ok_or_else(missing)?;
    let arguments = vec![
        python.into_os_string(),
        // Keeps packages of the user's own site out of the pinned environment.
        "-s".into(),
        sources.join(SOURCE.0).into_os_string(),
        peer.stack.clone().into(),
    ];
    Ok(WorkerCommand { arguments, environment: environment(threads, None, &peer.stack) })
}

fn absent(error: &WorkerError, process: &mut WorkerProcess) -> Absent {
    match error {
        WorkerError::Reported(failure) if failure.kind == FailureKind::Missing => {
            Absent::Missing(format!("{}; run `{}`", failure.message, peers::INSTALL_HINT))
        }
        error => {
            let tail = process.stderr_tail();
            let last = tail.lines().last().map(|line| format!(" ({line})")).unwrap_or_default();
            Absent::Failed(format!("{error}{last}"))
        }
    }
}
