//! The native module of the Python package: what Python needs of the Rust crates, as thin as it can be.
//!
//! * `types`: dtypes, symbolic sizes, specs. `array`: NumPy and DLPack in and out. `attr`: attributes of ops.
//! * `trace`: a graph under construction. `graph`: finished graphs and their transformations.
//! * `nn`: models, losses, optimizers. `program`: compiled programs. `profile`: where their time goes. `state`: their parameters and state.
//! * `histfactory`: workspaces and models. `generated`: source for other frameworks. `files`: safetensors. `error`: Rust errors
//!   become Python exceptions.
//!
//! No lock is held where Python code may run: its holder could then wait for the interpreter, and whoever has that for the lock.
//!
//! Everything that is ergonomics is Python (`python/wootz`).

// The edge to Python: raw array memory, and a pointer to the model being traced for the length of a callback.
#![allow(unsafe_code)]

mod array;
mod attr;
mod error;
mod files;
mod generated;
mod graph;
mod histfactory;
mod nn;
mod profile;
mod program;
mod state;
mod trace;
mod types;
mod watch;

/// The native half of the package `wootz`.
#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use crate::array::{as_numpy, spec_of};
    #[pymodule_export]
    use crate::files::{load, save};
    #[pymodule_export]
    use crate::generated::{Caller, Generated, generate};
    #[pymodule_export]
    use crate::graph::{Graph, Region};
    #[pymodule_export]
    use crate::histfactory::{
        HistFactoryDensity, HistFactoryHistogram, HistFactoryInference, HistFactoryModel,
        HistFactoryObjective, HistFactoryPatchSet, HistFactoryWorkspace,
    };
    #[pymodule_export]
    use crate::nn::{Model, Optimizer, Training, TransformerLayer};
    #[pymodule_export]
    use crate::profile::Profile;
    #[pymodule_export]
    use crate::program::{Definition, Program, cache_clear, cache_info, cache_limit, compile};
    #[pymodule_export]
    use crate::state::{Params, Report, Session, State};
    #[pymodule_export]
    use crate::trace::{Trace, Value};
    #[pymodule_export]
    use crate::types::{DType, Dim, Spec};
}
