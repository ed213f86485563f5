//! Compiled programs, their parameters and their state.

use crate::array::{Input, empty, input};
use crate::error::{Kind, OrRaise, Raise, guarded};
use crate::graph::Graph;
use crate::state::{Params, Report, Session, State};
use crate::types::{Spec, seed_from, threads_from};
use crate::watch::Watch;
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use wootz_ir::{Dims, Role, TensorType};
use wootz_passes::Optimize;
use wootz_runtime::{Bindings, Options, RunError};

/// What is compiled: a graph, and the initial values of its parameters and state.
#[pyclass(frozen, module = "wootz._native")]
pub(crate) struct Definition {
    pub(crate) inner: wootz_runtime::Definition,
    pub(crate) graph: Graph,
    pub(crate) summary: Option<String>,
    /// What was traced, if it was a training step, and the types of its inputs.
    pub(crate) training: Option<(wootz_nn::Training, Vec<(String, TensorType)>)>,
}

#[pymethods]
impl Definition {
    /// The definition of a graph without initial values.
    #[new]
    fn new(graph: &Graph) -> Definition {
        let inner = (*graph.0).clone();
        Definition { inner: inner.into(), graph: Graph(graph.0.clone()), summary: None, training: None }
    }

    /// The graph.
    #[getter]
    fn graph(&self) -> Graph {
        Graph(self.graph.0.clone())
    }

    /// Whether it is a training step that can be taken apart.
    #[getter]
    fn is_step(&self) -> bool {
        self.training.is_some()
    }

    /// The blocks of a model as a table.
    #[getter]
    fn summary(&self) -> Option<&str> {
        self.summary.as_deref()
    }
}

/// Compiles a definition for inputs of these shapes.
#[pyfunction]
pub(crate) fn compile(
    py: Python<'_>,
    definition: &Definition,
    shapes: BTreeMap<String, Vec<usize>>,
    backend: &str,
    optimize: &str,
    #[pyo3(from_py_with = threads_from)] threads: Option<usize>,
    nan_check: bool,
) -> PyResult<Program> {
    let level = level(optimize)?;
    let backend = match backend {
        "cpu" => wootz_cpu::Cpu::default(),
        _ => return Err(Kind::Backend.error(format!(
            "there is no backend \"{backend}\"; there are \"cpu\", \"numpy\", \"jax\", \"torch\" and \"mlx\""
        ))),
    };
    let options = Options { level, nan_check, backend: wootz_runtime::BackendOptions { threads } };
    let shapes: BTreeMap<String, Dims> = shapes.into_iter().map(|(name, dims)| (name, dims.into())).collect();
    let compiled = guarded(|| {
        py.detach(|| wootz_runtime::compile(&definition.inner, &shapes, &backend, &options)).or_raise()
    })?;
    Ok(Program::new(py, compiled))
}

/// The optimisation level of a name.
pub(crate) fn level(optimize: &str) -> PyResult<Optimize> {
    match optimize {
        "none" => Ok(Optimize::None),
        "basic" => Ok(Optimize::Basic),
        "full" => Ok(Optimize::Full),
        _ => Err(Kind::Backend
            .error(format!("optimize must be \"none\", \"basic\" or \"full\", not \"{optimize}\""))),
    }
}

/// Compiled graphs in the cache: (hits, misses, size, limit).
#[pyfunction]
pub(crate) fn cache_info() -> (u64, u64, usize, usize) {
    let info = wootz_runtime::cache_info();
    (info.hits, info.misses, info.size, info.limit)
}

/// Forgets every compiled graph.
#[pyfunction]
pub(crate) fn cache_clear() {
    wootz_runtime::clear_cache();
}

/// Sets how many compiled graphs are kept.
#[pyfunction]
pub(crate) fn cache_limit(limit: usize) {
    wootz_runtime::set_cache_limit(limit);
}

/// A compiled program: immutable, shared by any number of threads.
#[pyclass(frozen, module = "wootz")]
pub(crate) struct Program {
    pub(crate) inner: wootz_runtime::Program,
    /// The inputs given at every run.
    given: Vec<Given>,
    /// The outputs that update nothing.
    results: Vec<Given>,
    no_params: wootz_runtime::Params,
    updates: bool,
}

/// An input or output as a call from Python sees it.
struct Given {
    /// Its position in the signature.
    index: usize,
    name: Py<PyString>,
    ty: TensorType,
    dims: Dims,
}

impl Given {
    fn new(py: Python<'_>, index: usize, name: &str, ty: &TensorType) -> Given {
        let dims = ty.shape.concrete().expect("a program's sizes are numbers");
        Given { index, name: PyString::intern(py, name).unbind(), ty: ty.clone(), dims }
    }
}

impl Program {
    fn new(py: Python<'_>, inner: wootz_runtime::Program) -> Program {
        let signature = inner.signature();
        let inputs = signature.inputs.iter().enumerate().filter(|(_, x)| x.role == Role::Input);
        let outputs = signature.outputs.iter().enumerate().filter(|(_, x)| x.updates.is_none());
        let given = inputs.map(|(i, x)| Given::new(py, i, &x.name, &x.ty)).collect();
        let results = outputs.map(|(i, x)| Given::new(py, i, &x.name, &x.ty)).collect();
        let updates = signature.updates();
        Program { given, results, no_params: wootz_runtime::Params::default(), updates, inner }
    }

    /// The arrays for the inputs by keyword, checked.
    pub(crate) fn arrays<'py>(
        &self,
        py: Python<'py>,
        given: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<SmallVec<[Input<'py>; 4]>> {
        let mut arrays = SmallVec::new();
        for slot in &self.given {
            let name = slot.name.bind(py);
            let found = given.map(|dict| dict.get_item(name)).transpose()?.flatten();
            let array = found.ok_or_else(|| self.missing(py, slot, given))?;
            arrays.push(input(&array, name.to_str()?, &slot.ty)?);
        }
        if let Some(dict) = given
            && dict.len() != self.given.len()
        {
            return Err(self.unknown(py, dict));
        }
        Ok(arrays)
    }

    #[cold]
    fn missing(&self, py: Python<'_>, slot: &Given, given: Option<&Bound<'_, PyDict>>) -> PyErr {
        if let Some(dict) = given
            && let Some(name) = self.first_unknown(py, dict)
        {
            return self.unknown_name(py, &name);
        }
        Kind::UnknownName.error(format!("input `{}` ({}) is missing", slot.name.bind(py), slot.ty))
    }

    #[cold]
    fn unknown(&self, py: Python<'_>, given: &Bound<'_, PyDict>) -> PyErr {
        let name = self.first_unknown(py, given).unwrap_or_default();
        self.unknown_name(py, &name)
    }

    fn unknown_name(&self, py: Python<'_>, name: &str) -> PyErr {
        let known: Vec<String> = self.given.iter().map(|s| format!("`{}`", s.name.bind(py))).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Kind::UnknownName.error(format!("the program has no input `{name}` (there are {known})"))
    }

    fn first_unknown(&self, py: Python<'_>, given: &Bound<'_, PyDict>) -> Option<String> {
        let known = |name: &str| self.given.iter().any(|s| s.name.bind(py).to_str().is_ok_and(|k| k == name));
        given.keys().iter().filter_map(|k| k.extract::<String>().ok()).find(|name| !known(name))
    }

    /// New arrays for the outputs, and where a run reads and writes.
    pub(crate) fn memory<'py>(
        &self,
        py: Python<'py>,
        inputs: &[Input<'py>],
    ) -> PyResult<(SmallVec<[Bound<'py, PyAny>; 4]>, Memory)> {
        let signature = self.inner.signature();
        let mut memory = Memory {
            inputs: SmallVec::from_elem((std::ptr::null(), 0), signature.inputs.len()),
            outputs: SmallVec::from_elem((std::ptr::null_mut(), 0), signature.outputs.len()),
            watch: Watch::default(),
        };
        for (slot, array) in self.given.iter().zip(inputs) {
            memory.inputs[slot.index] = array.memory();
        }
        let mut arrays = SmallVec::new();
        for slot in &self.results {
            let (array, data, bytes) = empty(py, slot.ty.dtype, &slot.dims)?;
            memory.outputs[slot.index] = (data, bytes);
            arrays.push(array);
        }
        Ok((arrays, memory))
    }

    fn run(&self, py: Python<'_>, params: &wootz_runtime::Params, memory: &mut Memory) -> PyResult<()> {
        guarded(|| {
            let result = py.detach(|| self.inner.run_with(params, memory));
            result.map_err(|error| memory.raised().unwrap_or_else(|| error.raise()))
        })
    }

    fn infer<'py>(
        &self,
        py: Python<'py>,
        params: &wootz_runtime::Params,
        inputs: &[Input<'py>],
    ) -> PyResult<SmallVec<[Bound<'py, PyAny>; 4]>> {
        let (arrays, mut memory) = self.memory(py, inputs)?;
        self.run(py, params, &mut memory)?;
        Ok(arrays)
    }

    fn named<'py>(
        &self,
        py: Python<'py>,
        arrays: SmallVec<[Bound<'py, PyAny>; 4]>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let out = PyDict::new(py);
        for (slot, array) in self.results.iter().zip(arrays) {
            out.set_item(slot.name.bind(py), array)?;
        }
        Ok(out)
    }

    fn step<'py>(
        &self,
        py: Python<'py>,
        state: &State,
        given: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        // Everything that can be wrong with the inputs is found while the old handle still holds the state.
        let inputs = self.arrays(py, given)?;
        let (arrays, mut memory) = self.memory(py, &inputs)?;
        let mut inner = state.take(self.inner.signature())?;
        let result = guarded(|| Ok(py.detach(|| self.inner.step_with(&mut inner, &mut memory))))?;
        if let Err(error) = result {
            // A backend's failure may have left the state half updated.
            if !matches!(error, RunError::Backend(_)) {
                state.put_back(inner);
            }
            return Err(memory.raised().unwrap_or_else(|| error.raise()));
        }
        let out = self.named(py, arrays)?;
        PyTuple::new(py, [State::ready(inner).into_py_any(py)?, out.into_py_any(py)?])
    }
}

#[pymethods]
impl Program {
    /// Runs once on arrays given by name: `program(params, x=images)` gives a dict of arrays, and `step(state, x=images, y=labels)`
    /// the next state and a dict of arrays.
    #[pyo3(signature = (*args, **inputs))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        inputs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let first = match args.len() {
            0 => None,
            1 => Some(args.get_item(0)?),
            n => {
                let what = if self.updates { "the state" } else { "the parameters" };
                return Err(pyo3::exceptions::PyTypeError::new_err(format!(
                    "a program takes {what} and then its inputs by name, got {n} arguments by position"
                )));
            }
        };
        if self.updates {
            let state = first.as_ref().and_then(|first| first.cast::<State>().ok());
            let Some(state) = state else {
                return Err(Kind::Model
                    .error("the program updates its state: call it as `state, out = step(state, ...)`"));
            };
            return Ok(self.step(py, state.get(), inputs)?.into_any());
        }
        let arrays = self.arrays(py, inputs)?;
        let results = match &first {
            None => self.infer(py, &self.no_params, &arrays)?,
            Some(first) => match first.cast::<Params>() {
                Ok(params) => self.infer(py, &params.get().0, &arrays)?,
                Err(_) => self.infer(py, &Params::from_python(first)?.0, &arrays)?,
            },
        };
        Ok(self.named(py, results)?.into_any())
    }

    /// Runs on the inputs in order, without parameters; gives the outputs in order.
    fn positional<'py>(
        &self,
        py: Python<'py>,
        inputs: Vec<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let arrays: SmallVec<[Input<'py>; 4]> = self
            .given
            .iter()
            .zip(&inputs)
            .map(|(slot, array)| input(array, slot.name.bind(py).to_str()?, &slot.ty))
            .collect::<PyResult<_>>()?;
        PyList::new(py, self.infer(py, &self.no_params, &arrays)?)
    }

    /// Initial parameters, or the initial state of a program that updates it.
    #[pyo3(signature = (seed = 0))]
    fn init(&self, py: Python<'_>, #[pyo3(from_py_with = seed_from)] seed: u64) -> PyResult<Py<PyAny>> {
        guarded(|| {
            if self.updates {
                State::ready(py.detach(|| self.inner.init_state(seed)).or_raise()?).into_py_any(py)
            } else {
                Params(py.detach(|| self.inner.init(seed)).or_raise()?).into_py_any(py)
            }
        })
    }

    /// The state made of these tensors (a mapping of names to arrays).
    fn state(&self, tensors: &Bound<'_, PyAny>) -> PyResult<State> {
        let tensors = Params::from_python(tensors)?.0.tensors().or_raise()?;
        Ok(State::ready(wootz_runtime::State::from_tensors(self.inner.signature(), tensors).or_raise()?))
    }

    /// A session over parameters: memory and names bound once, for many runs.
    #[pyo3(signature = (params = None))]
    fn session(&self, py: Python<'_>, params: Option<&Bound<'_, PyAny>>) -> PyResult<Session> {
        let params =
            params.map(Params::from_python).transpose()?.map_or_else(wootz_runtime::Params::default, |p| p.0);
        let inner = guarded(|| py.detach(|| self.inner.session(&params)).or_raise())?;
        Ok(Session::new(inner))
    }

    /// Does now what a first run would do with the parameters (packing weights). With `consume`, parameters that only this needs
    /// are given up.
    #[pyo3(signature = (params, consume = false))]
    fn prepare(&self, py: Python<'_>, params: &Bound<'_, Params>, consume: bool) -> PyResult<()> {
        let params = &params.get().0;
        guarded(|| py.detach(|| self.inner.prepare(params, consume)).or_raise())
    }

    /// Runs `runs` times (and once before) and tells where the time went: `program.profile(params, x=images)` gives a `Profile`;
    /// `step.profile(state, x=images, y=labels)` makes as many steps and gives the state after them and a `Profile`.
    #[pyo3(signature = (*args, runs = 20, **inputs))]
    fn profile<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        runs: usize,
        inputs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        crate::profile::profile(self, py, args, runs, inputs)
    }

    /// What compiling cost and what the program consists of: stages, kernels, memory.
    fn report(&self) -> Report {
        Report(self.inner.report())
    }

    /// The generated code, or the plan.
    fn source(&self) -> String {
        self.inner.source()
    }

    /// The graph before the passes, for these shapes: the one to differentiate.
    #[getter]
    fn definition(&self) -> Graph {
        Graph::new(self.inner.definition().clone())
    }

    /// The graph after the passes.
    #[getter]
    fn graph(&self) -> Graph {
        Graph::new(self.inner.graph().clone())
    }

    /// The types of the inputs given at every run, by name.
    #[getter]
    fn inputs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        specs(py, &self.given)
    }

    /// The types of the outputs, by name.
    #[getter]
    fn outputs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        specs(py, &self.results)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let list = |slots: &[Given]| {
            slots.iter().map(|s| format!("{}: {}", s.name.bind(py), s.ty)).collect::<Vec<_>>().join(", ")
        };
        format!("<wootz.Program ({}) -> ({})>", list(&self.given), list(&self.results))
    }
}

fn specs<'py>(py: Python<'py>, slots: &[Given]) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    for slot in slots {
        out.set_item(slot.name.bind(py), Spec(slot.ty.clone()))?;
    }
    Ok(out)
}

/// Where a run reads and writes: arrays that the caller keeps alive, by position in the signature.
pub(crate) struct Memory {
    inputs: SmallVec<[(*const u8, usize); 8]>,
    outputs: SmallVec<[(*mut u8, usize); 8]>,
    watch: Watch,
}

// SAFETY: the pointers are those of arrays that outlive the run; outputs are new arrays that nothing else knows of, and inputs
// are only read (that no other thread writes to them meanwhile is asked of the user, as NumPy does).
unsafe impl Send for Memory {}

impl Memory {
    fn raised(&self) -> Option<PyErr> {
        self.watch.raised()
    }
}

impl Bindings for Memory {
    fn input(&self, index: usize) -> &[u8] {
        let (data, bytes) = self.inputs[index];
        if bytes == 0 {
            return &[];
        }
        // SAFETY: `Input` checked that a dense array of this many bytes starts here, and the caller keeps it alive.
        unsafe { std::slice::from_raw_parts(data, bytes) }
    }

    fn output(&mut self, index: usize) -> &mut [u8] {
        let (data, bytes) = self.outputs[index];
        if bytes == 0 {
            return &mut [];
        }
        // SAFETY: the array was made for this run with this many bytes; the exclusive borrow of `self` makes the slice the only one.
        unsafe { std::slice::from_raw_parts_mut(data, bytes) }
    }

    fn cancelled(&self) -> bool {
        self.watch.cancelled()
    }
}
