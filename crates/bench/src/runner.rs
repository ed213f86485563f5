//! Runners: which stacks there are and how their worker is started.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::isa::{Isa, XLA_FLAGS};
use crate::peers;
use crate::process::WorkerCommand;

/// The runner that ratios are taken against unless told otherwise.
pub const WOOTZ: &str = "wootz";

/// wootz held to AVX2, whatever the machine has; runs where it is asked for.
pub const WOOTZ_AVX2: &str = "wootz-avx2";

/// Stacks in Python in the order of tables: runner name (the worker's argument) and display name.
pub const PYTHON: [(&str, &str); 6] = [
    ("wootz-python", "wootz from Python"),
    ("pytorch", "PyTorch eager"),
    ("torch-compile", "torch.compile"),
    ("jax", "JAX jit"),
    ("numpy", "NumPy"),
    ("onnxruntime", "ONNX Runtime"),
];

/// A stack under measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runner {
    /// Name in reports and on the command line.
    pub name: String,
    /// How to start its worker, or why that is impossible.
    pub worker: Worker,
}

/// A runner's worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Worker {
    /// Start this.
    Command(WorkerCommand),
    /// Not installed.
    Missing {
        /// What is missing.
        reason: String,
        /// How to get it.
        install: String,
    },
}

impl Runner {
    /// Any command that speaks the protocol.
    pub fn command(name: &str, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Runner {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Runner {
            name: name.to_owned(),
            worker: Worker::Command(WorkerCommand { arguments, environment: Vec::new() }),
        }
    }

    /// wootz itself: the hidden subcommand `bench-worker` of the given `wootz` binary.
    pub fn wootz(binary: &Path) -> Runner {
        Runner::command(WOOTZ, [binary.as_os_str(), OsStr::new("bench-worker")])
    }

    /// [`Runner::wootz`] held to AVX2.
    pub fn wootz_avx2(binary: &Path) -> Runner {
        let mut runner = Runner { name: WOOTZ_AVX2.to_owned(), ..Runner::wootz(binary) };
        if let Worker::Command(command) = &mut runner.worker {
            command.environment.extend(Isa::Avx2.environment(WOOTZ_AVX2).unwrap_or_default());
        }
        runner
    }

    /// A stack of [`PYTHON`], run from the worker sources in `sources` by `python`.
    pub fn python(name: &str, python: Option<&Path>, sources: &Path) -> Runner {
        match python {
            // -s keeps packages of the user's own site out of the pinned environment.
            Some(python) => Runner::command(
                name,
                [python.as_os_str(), OsStr::new("-s"), sources.as_os_str(), OsStr::new(name)],
            ),
            None => Runner {
                name: name.to_owned(),
                worker: Worker::Missing {
                    reason: "no Python environment with the stacks".to_owned(),
                    install: peers::INSTALL_HINT.to_owned(),
                },
            },
        }
    }
}

/// Environment that holds each stack to `threads` threads, to the CPU and to `isa`, whatever thread pool it uses.
pub(crate) fn environment(threads: usize, isa: Option<Isa>, runner: &str) -> Vec<(OsString, OsString)> {
    let count = OsString::from(threads.to_string());
    let mut environment: Vec<(OsString, OsString)> = [
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "RAYON_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "WOOTZ_THREADS",
    ]
    .iter()
    .map(|name| (OsString::from(name), count.clone()))
    .collect();
    environment.push(("JAX_PLATFORMS".into(), "cpu".into()));
    environment.extend(isa.and_then(|isa| isa.environment(runner)).unwrap_or_default());
    if threads == 1 {
        let mut flags = OsString::from("--xla_cpu_multi_thread_eigen=false");
        // A variable that is set twice has the last value only.
        for (_, more) in environment.iter().filter(|(name, _)| name == XLA_FLAGS) {
            flags.push(" ");
            flags.push(more);
        }
        environment.push((XLA_FLAGS.into(), flags));
    }
    environment
}

/// The Python worker's sources, so that the binary works from anywhere.
const SOURCES: [(&str, &str); 9] = [
    ("__init__.py", include_str!("../../../python/wootz/_bench_worker/__init__.py")),
    ("__main__.py", include_str!("../../../python/wootz/_bench_worker/__main__.py")),
    ("bench_protocol.py", include_str!("../../../python/wootz/_bench_worker/bench_protocol.py")),
    ("peer_jax.py", include_str!("../../../python/wootz/_bench_worker/peer_jax.py")),
    ("peer_numpy.py", include_str!("../../../python/wootz/_bench_worker/peer_numpy.py")),
    ("peer_onnxruntime.py", include_str!("../../../python/wootz/_bench_worker/peer_onnxruntime.py")),
    ("peer_pytorch.py", include_str!("../../../python/wootz/_bench_worker/peer_pytorch.py")),
    ("peer_torch_compile.py", include_str!("../../../python/wootz/_bench_worker/peer_torch_compile.py")),
    ("peer_wootz.py", include_str!("../../../python/wootz/_bench_worker/peer_wootz.py")),
];

/// Writes the Python worker's sources to a new folder in `directory` and returns it.
pub fn write_worker_sources(directory: &Path) -> io::Result<PathBuf> {
    let folder = directory.join("_bench_worker");
    fs::create_dir_all(&folder)?;
    for (name, text) in SOURCES {
        fs::write(folder.join(name), text)?;
    }
    Ok(folder)
}
