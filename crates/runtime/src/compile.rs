//! Model → program: the whole way, one line a stage.

use crate::cache::{self, Entry};
use crate::error::{CompileError, list};
use crate::{Backend, BackendOptions, Program, Stages};
use std::collections::BTreeMap;
use std::sync::Arc;
use wootz_ir::{Dim, Dims, Graph, Role, Solver, TensorType};
use wootz_nn::{Init, Traced};
use wootz_passes::Optimize;
use wootz_transform::specialize;

/// What is compiled: a graph, and how its parameters and state get their first values.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The graph; its sizes may be symbolic.
    pub graph: Graph,
    /// One an input of the graph: `Some` for parameters and state that have an initial value.
    pub init: Vec<Option<Init>>,
}

impl From<Traced> for Definition {
    fn from(traced: Traced) -> Definition {
        Definition { graph: traced.graph, init: traced.init }
    }
}

impl From<Graph> for Definition {
    fn from(graph: Graph) -> Definition {
        let init = graph.inputs.iter().map(|_| None).collect();
        Definition { graph, init }
    }
}

/// How to compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How much the graph is rewritten.
    pub level: Optimize,
    /// Whether results are searched for NaNs after every run, and their origin looked for.
    pub nan_check: bool,
    /// What the backend is told.
    pub backend: BackendOptions,
}

impl Default for Options {
    fn default() -> Options {
        Options { level: Optimize::Full, nan_check: false, backend: BackendOptions::default() }
    }
}

/// Compiles a definition for inputs of these sizes (by name; inputs not named keep the sizes they have).
pub fn compile(
    definition: &Definition,
    shapes: &BTreeMap<String, Dims>,
    backend: &dyn Backend,
    options: &Options,
) -> Result<Program, CompileError> {
    backend.check().map_err(crate::BackendError::from)?;
    let mut stages = Stages::default();
    let target = backend.target();
    let graph = stages.time("specialise", || specialise(&definition.graph, shapes))?;
    let key = stages.time("hash", || cache::key(&graph, options, &target));
    let entry = match cache::get(key) {
        Some(entry) => entry,
        None => {
            let mut observer = |_: &'static str, _: &Graph| {};
            let optimized =
                stages.time("passes", || wootz_passes::run(&graph, options.level, &target, &mut observer))?;
            let executable = backend.compile(&optimized, &options.backend, &mut stages)?;
            let entry =
                Arc::new(Entry { executable, optimized: Arc::new(optimized), stages: stages.clone() });
            cache::put(key, entry.clone());
            entry
        }
    };
    Ok(Program::new(graph, definition.init.clone(), entry, stages, options))
}

/// Solves for the sizes given, and checks that no size is left open.
pub fn specialise(graph: &Graph, shapes: &BTreeMap<String, Dims>) -> Result<Graph, CompileError> {
    let mut solver = Solver::open();
    for (name, dims) in shapes {
        let Some(input) = graph.input(name) else {
            let given = graph.inputs.iter().filter(|i| i.role == Role::Input);
            return Err(CompileError::UnknownInput {
                name: name.clone(),
                known: list(given.map(|i| &*i.name)),
            });
        };
        let ty = graph.input_type(input);
        let fits = ty.rank() == dims.len()
            && ty.shape.iter().zip(dims).all(|(dim, size)| solver.unify(dim, &Dim::from(*size)).is_ok());
        if !fits {
            let got = TensorType::new(ty.dtype, dims.as_slice());
            return Err(CompileError::Shape {
                input: name.clone(),
                expected: Box::new(ty.clone()),
                got: Box::new(got),
            });
        }
    }
    let numbers =
        solver.bindings().iter().filter_map(|(name, dim)| Some((name.to_string(), dim.as_const()?)));
    let graph = specialize(graph, &numbers.collect())?;
    match (0..graph.inputs.len()).find(|i| graph.input_type(*i).shape.concrete().is_none()) {
        Some(i) => Err(CompileError::Open {
            input: graph.inputs[i].name.to_string(),
            ty: Box::new(graph.input_type(i).clone()),
        }),
        None => Ok(graph),
    }
}
