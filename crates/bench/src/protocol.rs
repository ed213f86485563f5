//! The messages between the orchestrator and a worker: one JSON object a line, requests on the worker's standard
//! input, responses on its standard output.
//!
//! `docs/bench-protocol.md` describes the flow; `schema/protocol.schema.json` is the machine-readable form.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Version of the protocol; both sides refuse to talk to another one.
pub const PROTOCOL_VERSION: u32 = 1;

/// Element type of a tensor file.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[serde(rename_all = "snake_case")]
pub enum DType {
    /// IEEE binary32.
    F32,
    /// IEEE binary64.
    F64,
    /// Signed 64-bit integer (class labels).
    I64,
}

/// What one step of a case does.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Forward pass from the resident input to the outputs.
    Inference,
    /// Forward, full backward with respect to the parameters, and a plain SGD update that the next step starts from.
    Training,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Inference => "inference",
            Mode::Training => "training",
        })
    }
}

/// Loss of the training mode.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Mean over all elements of (output − target)²; the target has the output's shape.
    Mse,
    /// Mean over the batch of softmax cross-entropy with integer labels.
    CrossEntropy,
}

/// A stack of linear layers `y = x·Wᵀ + b` with ReLU between them (none after the last).
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Hash)]
pub struct Model {
    /// Name in reports and on the command line.
    pub name: String,
    /// Feature counts: `dims[i]` inputs and `dims[i + 1]` outputs in layer `i`.
    pub dims: Vec<usize>,
    /// Loss of the training mode.
    pub loss: Loss,
}

/// One thing to measure: every runner gets the same.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Hash)]
pub struct Case {
    /// The model.
    pub model: Model,
    /// Rows of the input.
    pub batch: usize,
    /// Inference or training.
    pub mode: Mode,
    /// Element type of parameters, input and outputs.
    pub dtype: DType,
    /// Threads the stack may use.
    pub threads: usize,
    /// Seed of parameters, input and target.
    pub seed: u64,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} batch {} {}", self.model.name, self.batch, self.mode)
    }
}

/// A tensor in a file: raw little-endian elements in row-major order, no header.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct TensorFile {
    /// Name, e.g. `0.weight`, `input`, `loss`.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions; empty for a scalar.
    pub shape: Vec<usize>,
    /// Where the bytes are.
    pub path: PathBuf,
}

impl TensorFile {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Reads an `f32` file. Errors if the dtype is another or the file's length does not fit the shape.
    pub fn read_f32(&self) -> io::Result<Vec<f32>> {
        self.read(DType::F32, f32::from_le_bytes)
    }

    /// Reads a file of floats of either width. Errors as [`TensorFile::read_f32`].
    pub fn read_floats(&self) -> io::Result<Vec<f64>> {
        match self.dtype {
            DType::F64 => self.read(DType::F64, f64::from_le_bytes),
            DType::F32 | DType::I64 => Ok(self.read_f32()?.into_iter().map(f64::from).collect()),
        }
    }

    /// Reads an `i64` file. Errors as [`TensorFile::read_f32`].
    pub fn read_i64(&self) -> io::Result<Vec<i64>> {
        self.read(DType::I64, i64::from_le_bytes)
    }

    /// Writes `f32` values to `directory/<name>.bin` and describes them. `values` must fill `shape`.
    pub fn write_f32(
        directory: &Path,
        name: &str,
        shape: &[usize],
        values: &[f32],
    ) -> io::Result<TensorFile> {
        Self::write(directory, name, DType::F32, shape, values, |v| v.to_le_bytes())
    }

    /// Writes `i64` values, as [`TensorFile::write_f32`].
    pub fn write_i64(
        directory: &Path,
        name: &str,
        shape: &[usize],
        values: &[i64],
    ) -> io::Result<TensorFile> {
        Self::write(directory, name, DType::I64, shape, values, |v| v.to_le_bytes())
    }

    fn read<T, const N: usize>(&self, dtype: DType, from: impl Fn([u8; N]) -> T) -> io::Result<Vec<T>> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        if self.dtype != dtype {
            return Err(invalid(format!("{} has dtype {:?}, expected {dtype:?}", self.name, self.dtype)));
        }
        let bytes = fs::read(&self.path)?;
        let (chunks, rest) = bytes.as_chunks::<N>();
        if !rest.is_empty() || chunks.len() != self.elements() {
            return Err(invalid(format!(
                "{} holds {} bytes, its shape {:?} needs {}",
                self.path.display(),
                bytes.len(),
                self.shape,
                self.elements() * N
            )));
        }
        Ok(chunks.iter().map(|chunk| from(*chunk)).collect())
    }

    fn write<T: Copy, const N: usize>(
        directory: &Path,
        name: &str,
        dtype: DType,
        shape: &[usize],
        values: &[T],
        to: impl Fn(T) -> [u8; N],
    ) -> io::Result<TensorFile> {
        let path = directory.join(format!("{name}.bin"));
        let bytes: Vec<u8> = values.iter().flat_map(|v| to(*v)).collect();
        fs::write(&path, bytes)?;
        Ok(TensorFile { name: name.to_owned(), dtype, shape: shape.to_vec(), path })
    }
}

/// Everything a worker needs to reach its first result.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct Setup {
    /// [`PROTOCOL_VERSION`] of the orchestrator.
    pub version: u32,
    /// What to measure.
    pub case: Case,
    /// Initial parameters, a weight `[out, in]` and a bias `[out]` a layer, in layer order.
    pub parameters: Vec<TensorFile>,
    /// The input, `[batch, dims[0]]`.
    pub input: TensorFile,
    /// Labels `[batch]` (`i64`) or regression target `[batch, dims.last()]`; absent for inference.
    pub target: Option<TensorFile>,
    /// Step size of the SGD update.
    pub learning_rate: f64,
    /// Whether to record peak memory a phase. Off in cold runs, where reading it would cost time.
    pub measure_memory: bool,
}

/// From the orchestrator to a worker.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// Go to the first result. Sent once, first. Answer: [`Response::Ready`].
    Setup(Box<Setup>),
    /// Write the outputs of the *first* run. Sent before any `run`. Answer: [`Response::Outputs`].
    Check {
        /// Existing folder to write tensor files into.
        directory: PathBuf,
    },
    /// Run `warmup` steps, then `repeats` samples of `iterations` steps each. Answer: [`Response::Samples`].
    Run {
        /// Untimed steps before the first sample.
        warmup: u64,
        /// Steps a sample.
        iterations: u64,
        /// Number of samples.
        repeats: u64,
    },
    /// Report peak memory. Answer: [`Response::Memory`].
    Memory,
    /// Exit. No answer. The end of standard input means the same.
    Shutdown,
}

/// From a worker to the orchestrator: one response a request.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Response {
    /// The first result is there.
    Ready(Ready),
    /// Where the first run's outputs are: `output` (inference), or `loss` and every updated parameter (training).
    Outputs {
        /// One file a tensor.
        outputs: Vec<TensorFile>,
    },
    /// Durations of the samples asked for.
    Samples {
        /// Nanoseconds a sample (all its iterations together).
        samples_ns: Vec<u64>,
    },
    /// Peak resident memory.
    Memory {
        /// Peak of each finished phase, then `run` for everything since; empty where the system does not tell.
        phases: Vec<PhaseMemory>,
    },
    /// The request failed; the worker may exit afterwards.
    Error(Failure),
}

/// Phases of a worker's way to its first result, in order. Each one starts where the one before it ended, so that
/// their sum is the time to the first result and nothing is left out.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// From the orchestrator's spawn call to the first statement of the worker (loader, interpreter start).
    ProcessStart,
    /// Importing NumPy, in workers written in Python: what is left of their time is their stack's own.
    ImportNumpy,
    /// Importing the stack.
    Import,
    /// Reading parameters, input and target, and handing them to the stack.
    Load,
    /// Building or tracing the model.
    Build,
    /// Compiling it. Stacks that compile inside their first call report that call here.
    Compile,
    /// Packing parameters into the layout of the kernels, where the stack does this as a step of its own.
    Pack,
    /// The first run.
    FirstRun,
    /// Every run after that (in memory reports only).
    Run,
}

impl Phase {
    /// The phases of a cold start, in order.
    pub const COLD: [Phase; 8] = [
        Phase::ProcessStart,
        Phase::ImportNumpy,
        Phase::Import,
        Phase::Load,
        Phase::Build,
        Phase::Compile,
        Phase::Pack,
        Phase::FirstRun,
    ];

    /// Name as in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Phase::ProcessStart => "process_start",
            Phase::ImportNumpy => "import_numpy",
            Phase::Import => "import",
            Phase::Load => "load",
            Phase::Build => "build",
            Phase::Compile => "compile",
            Phase::Pack => "pack",
            Phase::FirstRun => "first_run",
            Phase::Run => "run",
        }
    }
}

/// The end of a phase.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Which phase ended.
    pub phase: Phase,
    /// `CLOCK_MONOTONIC` at its end, nanoseconds; the same clock as the orchestrator's.
    pub end_ns: u64,
}

/// Answer to `setup`.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct Ready {
    /// [`PROTOCOL_VERSION`] of the worker.
    pub version: u32,
    /// Versions of the stack and of what it stands on, by name.
    pub versions: BTreeMap<String, String>,
    /// Ends of the phases in order; a phase the stack does not have is absent.
    pub marks: Vec<Mark>,
}

/// Peak resident memory of a phase.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseMemory {
    /// The phase.
    pub phase: Phase,
    /// Highest resident set during it, bytes.
    pub peak_bytes: u64,
}

/// Why a worker could not do what it was asked.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Kind, which decides the row's status.
    pub kind: FailureKind,
    /// One line for the report.
    pub message: String,
}

/// Kinds of [`Failure`].
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The stack is not installed.
    Missing,
    /// The stack cannot do this case at all.
    Unsupported,
    /// It should have worked.
    Failed,
}
