//! What a backend is: four methods, none for an op.

use crate::{Bound, Trace};
use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wootz_ir::{Graph, HostTensor, Site, Target};

/// A way to run graphs.
pub trait Backend: Send + Sync {
    /// The name users choose it by: `cpu`, `cuda`, `jax`, ….
    fn name(&self) -> &'static str;

    /// Whether it can run here; if not, what is missing and how to get it.
    fn check(&self) -> Result<(), Unavailable>;

    /// What it can do.
    fn target(&self) -> Target;

    /// Compiles a graph that has been through the passes for this backend's [`Target`]. The backend adds its own stages' times to
    /// `stages`.
    fn compile(
        &self,
        graph: &Graph,
        options: &BackendOptions,
        stages: &mut Stages,
    ) -> Result<Arc<dyn Executable>, BackendError>;
}

/// What a backend is told besides the graph.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct BackendOptions {
    /// The most threads a run may use; `None` is all the backend has.
    pub threads: Option<usize>,
}

/// A compiled graph: immutable, shared, nameless.
pub trait Executable: Send + Sync {
    /// Kernels, work, memory.
    fn describe(&self) -> Description;

    /// The generated code, on code-generating backends; otherwise the plan as text.
    fn source(&self) -> String;

    /// A hash of the prepare part, layouts and instruction set included: equal fingerprints give interchangeable [`Prepared`]s for
    /// equal parameters.
    fn fingerprint(&self) -> u128;

    /// Whether a run reads this input itself (not only what was prepared from it).
    fn reads(&self, input: usize) -> bool;

    /// Whether the prepare part reads this input.
    fn prepares(&self, input: usize) -> bool;

    /// Computes what depends on rarely changing parameters alone. `params` has an entry an input of the graph; those that the
    /// prepare part reads are `Some`.
    fn prepare(&self, params: &[Option<HostTensor>]) -> Result<Prepared, BackendError>;

    /// The steps of every plan of the program, its own and those it calls: what a [`Trace`]'s entries refer to.
    fn steps(&self) -> Vec<Vec<KernelInfo>> {
        vec![self.describe().kernels]
    }

    /// The least time each of [`Executable::steps`] could take here, where the backend knows; it may measure the machine first.
    fn bounds(&self) -> Vec<Vec<Option<Bound>>> {
        Vec::new()
    }

    /// Everything one run at a time needs: arena, scratch memory.
    fn instance(&self) -> Result<Box<dyn Instance>, BackendError>;
}

/// What was computed from parameters: opaque to all but the backend that made it.
pub type Prepared = Arc<dyn Any + Send + Sync>;

/// The memory of one run at a time.
pub trait Instance: Send {
    /// Runs once. Allocates nothing.
    fn run(&mut self, prepared: &Prepared, bindings: &mut dyn Bindings) -> Result<(), BackendError>;

    /// Runs once and records each step. A backend that does not see its steps records none.
    fn run_traced(
        &mut self,
        prepared: &Prepared,
        bindings: &mut dyn Bindings,
        _trace: &mut Trace,
    ) -> Result<(), BackendError> {
        self.run(prepared, bindings)
    }
}

/// Where a run's inputs and outputs lie: dense, row-major, of the signature's dtypes and sizes.
pub trait Bindings {
    /// The bytes of an input that no output takes over.
    fn input(&self, index: usize) -> &[u8];

    /// The bytes of an output. For an output that takes over an input this is that input's memory, holding its old value.
    fn output(&mut self, index: usize) -> &mut [u8];

    /// Proof that what was prepared, inputs and outputs lie where they lay at the last run of the same instance, which then
    /// need not ask for them.
    fn unmoved(&self) -> Option<Unmoved<'_>> {
        None
    }

    /// Asked now and then during long runs: whether to stop.
    fn cancelled(&self) -> bool {
        false
    }
}

/// See [`Bindings::unmoved`]. Only a [`Session`](crate::Session) can give it, for one run: it owns its instance and the memory.
#[derive(Debug)]
pub struct Unmoved<'run>(pub(crate) PhantomData<&'run ()>);

/// A backend cannot be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("backend `{backend}` is not available: {missing} ({remedy})")]
pub struct Unavailable {
    /// The backend.
    pub backend: &'static str,
    /// What is missing.
    pub missing: String,
    /// How to get it.
    pub remedy: String,
}

/// A backend cannot compile or run a graph.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BackendError {
    /// It is not available.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// It lacks something the graph needs.
    #[error("backend `{backend}` does not support {what}{}", place(.site))]
    Unsupported {
        /// The backend.
        backend: &'static str,
        /// What it lacks.
        what: String,
        /// The user's name for the place.
        site: Site,
    },
    /// Memory could not be had.
    #[error("backend `{backend}` could not allocate {bytes} bytes")]
    OutOfMemory {
        /// The backend.
        backend: &'static str,
        /// How much was asked for.
        bytes: usize,
    },
    /// [`Bindings::cancelled`] said so.
    #[error("the run was cancelled")]
    Cancelled,
    /// An error in wootz.
    #[error("bug in wootz: backend `{backend}`: {message}")]
    Bug {
        /// The backend.
        backend: &'static str,
        /// What happened.
        message: String,
    },
}

fn place(site: &Site) -> String {
    if site.is_unknown() { String::new() } else { format!(" (at {site})") }
}

/// What a compiled graph consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The steps of a run, in order.
    pub kernels: Vec<KernelInfo>,
    /// The steps of preparing parameters.
    pub prepare: Vec<KernelInfo>,
    /// Bytes of the arena of one instance.
    pub arena: usize,
    /// Bytes of scratch memory of one instance.
    pub scratch: usize,
    /// Bytes made by preparing parameters.
    pub prepared: usize,
    /// Bytes of constants.
    pub constants: usize,
    /// What a user should know: a fallback in use, a feature of the machine that is missing.
    pub notes: Vec<String>,
}

/// One step of a compiled graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelInfo {
    /// What kind of step: `fused`, `gemm`, `copy`, ….
    pub kind: &'static str,
    /// Sizes and dtype, for people.
    pub detail: String,
    /// The path of the block it came from.
    pub site: String,
    /// Floating-point operations of a run (2 for a multiply-add).
    pub flops: u64,
    /// Bytes read and written if every operand is moved once.
    pub bytes: u64,
}

/// Named durations, in order.
#[derive(Clone, Debug, Default)]
pub struct Stages(Vec<(&'static str, Duration)>);

impl Stages {
    /// Runs `f` and records how long it took.
    pub fn time<R>(&mut self, name: &'static str, f: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let out = f();
        self.0.push((name, start.elapsed()));
        out
    }

    /// The durations.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Duration)> + '_ {
        self.0.iter().copied()
    }

    /// Their sum.
    pub fn total(&self) -> Duration {
        self.0.iter().map(|(_, d)| *d).sum()
    }
}

impl fmt::Display for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, duration) in self.iter() {
            writeln!(f, "{name:<16} {:>10.1} µs", duration.as_secs_f64() * 1e6)?;
        }
        write!(f, "{:<16} {:>10.1} µs", "total", self.total().as_secs_f64() * 1e6)
    }
}
