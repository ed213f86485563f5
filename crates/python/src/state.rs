//! Parameters, state and sessions of compiled programs.

use crate::array::{from_host, input, to_host};
use crate::error::{Kind, OrRaise, Raise, guarded};
use crate::watch::Watch;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wootz_ir::{HostTensor, Role};
use wootz_runtime::Signature;

/// Tensors by name.
pub(crate) type Named = Vec<(Arc<str>, HostTensor)>;

/// A model's parameters: a mapping of names to arrays, shared by any number of programs. Arrays that it gives are read-only;
/// assign to change one.
#[pyclass(frozen, mapping, module = "wootz")]
pub(crate) struct Params(pub(crate) wootz_runtime::Params);

impl Params {
    /// Parameters from `Params`, or copied from a mapping of names to arrays.
    pub(crate) fn from_python(given: &Bound<'_, PyAny>) -> PyResult<Params> {
        if let Ok(params) = given.cast::<Params>() {
            return Ok(Params(params.get().0.clone()));
        }
        let Ok(items) = given.call_method0("items") else {
            let kind = given.get_type().name()?;
            let message = format!("parameters are wz.Params or a mapping of names to arrays, not {kind}");
            return Err(pyo3::exceptions::PyTypeError::new_err(message));
        };
        let mut tensors: Named = Vec::new();
        for item in items.try_iter()? {
            let (name, array): (String, Bound<'_, PyAny>) = item?.extract()?;
            let tensor = to_host(&array, &name)?;
            tensors.push((name.into(), tensor));
        }
        Ok(Params(wootz_runtime::Params::new(tensors)))
    }
}

#[pymethods]
impl Params {
    /// Copies a mapping of names to arrays.
    #[new]
    fn new(tensors: &Bound<'_, PyAny>) -> PyResult<Params> {
        Params::from_python(tensors)
    }

    /// The names, in order.
    fn keys(&self) -> Vec<String> {
        self.0.names().iter().map(|n| n.to_string()).collect()
    }

    /// The arrays, in order.
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        self.0.tensors().or_raise()?.iter().map(|(_, tensor)| from_host(py, tensor)).collect()
    }

    /// (name, array) of every parameter.
    fn items<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
        named(py, &self.0.tensors().or_raise()?)
    }

    fn __getitem__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        from_host(py, &self.0.get(name).or_raise()?)
    }

    fn __setitem__(&self, name: &str, array: &Bound<'_, PyAny>) -> PyResult<()> {
        self.0.set(name, to_host(array, name)?).or_raise()
    }

    fn __contains__(&self, name: &str) -> bool {
        self.0.names().iter().any(|n| &**n == name)
    }

    fn __len__(&self) -> usize {
        self.0.names().len()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.keys().into_pyobject(py)?.try_iter()?.into_any())
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }
}

fn named<'py>(py: Python<'py>, tensors: &Named) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
    tensors.iter().map(|(name, tensor)| Ok((name.to_string(), from_host(py, tensor)?))).collect()
}

/// The state of a training run: parameters, moments, counters, keys. A mapping of names to read-only arrays. A step consumes
/// it and gives the next one, in the same memory.
#[pyclass(frozen, mapping, module = "wootz")]
pub(crate) struct State(Mutex<Held>);

enum Held {
    /// As a program made it.
    Ready(wootz_runtime::State),
    /// As a file held it: the first program that steps it says what each tensor is.
    Loaded(Named),
    /// A step took it.
    Consumed,
}

impl State {
    pub(crate) fn ready(state: wootz_runtime::State) -> State {
        State(Mutex::new(Held::Ready(state)))
    }

    pub(crate) fn loaded(tensors: Named) -> State {
        State(Mutex::new(Held::Loaded(tensors)))
    }

    /// Takes the state out of the handle.
    pub(crate) fn take(&self, signature: &Signature) -> PyResult<wootz_runtime::State> {
        let taken = std::mem::replace(&mut *self.lock(), Held::Consumed);
        match taken {
            Held::Ready(state) => Ok(state),
            Held::Loaded(tensors) => {
                wootz_runtime::State::from_tensors(signature, tensors.clone()).map_err(|error| {
                    *self.lock() = Held::Loaded(tensors);
                    error.raise()
                })
            }
            Held::Consumed => Err(consumed()),
        }
    }

    /// Gives the handle the state back.
    pub(crate) fn put_back(&self, state: wootz_runtime::State) {
        *self.lock() = Held::Ready(state);
    }

    /// Every tensor with its name.
    pub(crate) fn tensors(&self) -> PyResult<Named> {
        let tensors = match &*self.lock() {
            Held::Ready(state) => {
                Some(state.tensors().map(|(name, tensor)| (name.clone(), tensor.clone())).collect())
            }
            Held::Loaded(tensors) => Some(tensors.clone()),
            Held::Consumed => None,
        };
        tensors.ok_or_else(consumed)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, name: &str) -> PyResult<Option<HostTensor>> {
        Ok(self.tensors()?.into_iter().find(|(n, _)| &**n == name).map(|(_, tensor)| tensor))
    }
}

fn consumed() -> PyErr {
    Kind::Donated.error("this state was consumed by a step: use the state that the step returned")
}

#[pymethods]
impl State {
    /// The trained parameters, for inference. They share the state's memory until the next step, which then works on a copy.
    #[getter]
    fn params(&self) -> PyResult<Params> {
        let params = match &*self.lock() {
            Held::Ready(state) => Some(state.params()),
            Held::Loaded(tensors) => {
                let is_param =
                    |name: &str| !name.starts_with("optimizer.") && !name.starts_with("rng.") && name != "lr";
                Some(wootz_runtime::Params::new(tensors.iter().filter(|(name, _)| is_param(name)).cloned()))
            }
            Held::Consumed => None,
        };
        params.map(Params).ok_or_else(consumed)
    }

    /// Whether a step has taken the state.
    #[getter]
    fn consumed(&self) -> bool {
        matches!(*self.lock(), Held::Consumed)
    }

    /// The names, in order.
    fn keys(&self) -> PyResult<Vec<String>> {
        Ok(self.tensors()?.iter().map(|(name, _)| name.to_string()).collect())
    }

    /// The arrays, in order.
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        self.tensors()?.iter().map(|(_, tensor)| from_host(py, tensor)).collect()
    }

    /// (name, array) of every tensor.
    fn items<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
        named(py, &self.tensors()?)
    }

    fn __getitem__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        match self.find(name)? {
            Some(tensor) => from_host(py, &tensor),
            None => Err(Kind::UnknownName
                .error(format!("the state has no `{name}` (it has {})", self.keys()?.join(", ")))),
        }
    }

    fn __contains__(&self, name: &str) -> PyResult<bool> {
        Ok(self.find(name)?.is_some())
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(self.tensors()?.len())
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.keys()?.into_pyobject(py)?.try_iter()?.into_any())
    }

    fn __repr__(&self) -> String {
        let tensors = match self.tensors() {
            Ok(tensors) => tensors,
            Err(_) => return "<wootz.State (consumed)>".to_owned(),
        };
        let list: Vec<String> =
            tensors.iter().map(|(name, tensor)| format!("{name}: {}", tensor.ty())).collect();
        format!("<wootz.State {{{}}}>", list.join(", "))
    }
}

/// Memory and names bound once, for many runs of one program over the same parameters.
#[pyclass(frozen, module = "wootz")]
pub(crate) struct Session {
    program: wootz_runtime::Program,
    inner: Mutex<wootz_runtime::Session>,
}

impl Session {
    pub(crate) fn new(inner: wootz_runtime::Session) -> Session {
        Session { program: inner.program().clone(), inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, wootz_runtime::Session> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Session {
    /// Copies arrays into the inputs of these names.
    #[pyo3(signature = (**inputs))]
    fn set(&self, inputs: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        for (name, array) in inputs.into_iter().flatten() {
            let name = name.cast::<PyString>()?;
            let name = name.to_str()?;
            let index = self.program.signature().input(name).or_raise()?;
            let spec = &self.program.signature().inputs[index];
            if spec.role != Role::Input {
                return Err(Kind::UnknownName
                    .error(format!("`{name}` is a parameter: set it in the session's Params")));
            }
            let array = input(&array, name, &spec.ty)?;
            let copied = self.lock().input_mut(index).map(|target| array.copy_to(target.bytes_mut()));
            copied.or_raise()?;
        }
        Ok(())
    }

    /// Runs on what the inputs hold.
    fn run(&self, py: Python<'_>) -> PyResult<()> {
        let watch = Watch::default();
        guarded(|| {
            let result = py.detach(|| self.lock().run_until(&|| watch.cancelled()));
            result.map_err(|error| watch.raised().unwrap_or_else(|| error.raise()))
        })
    }

    /// Sets inputs, runs, and gives the outputs as a dict of read-only arrays.
    #[pyo3(signature = (**inputs))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        inputs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        self.set(inputs)?;
        self.run(py)?;
        let tensors = self.lock().outputs().to_vec();
        let out = PyDict::new(py);
        for (spec, tensor) in self.program.signature().outputs.iter().zip(tensors) {
            out.set_item(&*spec.name, from_host(py, &tensor)?)?;
        }
        Ok(out)
    }

    /// An output of the last run, read-only. The next run leaves it as it is.
    fn __getitem__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let tensor = self.lock().output(name).cloned();
        from_host(py, &tensor.or_raise()?)
    }
}

/// What compiling a program cost, and what it consists of. Prints as a table.
#[pyclass(frozen, module = "wootz")]
pub(crate) struct Report(pub(crate) wootz_runtime::Report);

/// (kind, detail, site, FLOPs, bytes) of a kernel.
type Kernel = (&'static str, String, String, u64, u64);

#[pymethods]
impl Report {
    /// Seconds of each stage of this compilation, in order.
    #[getter]
    fn stages(&self) -> Vec<(&'static str, f64)> {
        self.0.stages.iter().map(|(name, duration)| (name, duration.as_secs_f64())).collect()
    }

    /// (kind, detail, site, FLOPs, bytes) of each kernel of a run.
    #[getter]
    fn kernels(&self) -> Vec<Kernel> {
        let row =
            |k: &wootz_runtime::KernelInfo| (k.kind, k.detail.clone(), k.site.clone(), k.flops, k.bytes);
        self.0.description.kernels.iter().map(row).collect()
    }

    /// Bytes of the arena of a run.
    #[getter]
    fn arena(&self) -> usize {
        self.0.description.arena
    }

    /// Bytes made of the parameters when they are prepared.
    #[getter]
    fn prepared(&self) -> usize {
        self.0.description.prepared
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        self.0.to_string()
    }
}
