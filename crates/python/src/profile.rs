//! Where the time of a program's runs goes.

use crate::error::{OrRaise, Raise, guarded};
use crate::program::Program;
use crate::state::{Params, State};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyOSError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use std::path::PathBuf;
use wootz_runtime::RunError;

/// Where the time of a program's runs went, step by step. Prints as a table.
#[pyclass(frozen, module = "wootz")]
pub(crate) struct Profile(wootz_runtime::Profile);

#[pymethods]
impl Profile {
    /// The number of runs.
    #[getter]
    fn runs(&self) -> usize {
        self.0.runs
    }

    /// The mean time of a run in seconds.
    #[getter]
    fn seconds(&self) -> f64 {
        self.0.run.as_secs_f64()
    }

    /// The steps, those that took longest first, each a dict: `kind`, `detail`, `site`, `flops`, `bytes`, `calls` (a run),
    /// `seconds` (the mean), `fastest` (seconds), `share` (of a run), `limit` ("memory" or "arithmetic") and `roofline` (the
    /// least time that this machine's limits allow over the fastest), the last two `None` where nothing is known.
    #[getter]
    fn steps<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let steps = PyList::empty(py);
        for step in &self.0.steps {
            let row = PyDict::new(py);
            row.set_item("kind", step.kernel.kind)?;
            row.set_item("detail", &step.kernel.detail)?;
            row.set_item("site", &step.kernel.site)?;
            row.set_item("flops", step.kernel.flops)?;
            row.set_item("bytes", step.kernel.bytes)?;
            row.set_item("calls", step.calls)?;
            row.set_item("seconds", step.mean_ns * 1e-9)?;
            row.set_item("fastest", step.fastest_ns as f64 * 1e-9)?;
            row.set_item("share", step.share)?;
            row.set_item("limit", step.bound.map(|bound| bound.limit.name()))?;
            row.set_item("roofline", step.roofline())?;
            steps.append(row)?;
        }
        Ok(steps)
    }

    /// Writes the timeline of the runs as a file for Perfetto or Chrome's about:tracing.
    fn chrome_trace(&self, path: PathBuf) -> PyResult<()> {
        self.0.chrome_trace(&path).map_err(|e| PyOSError::new_err(format!("{}: {e}", path.display())))
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        self.0.to_string()
    }
}

/// `Program.profile`.
pub(crate) fn profile<'py>(
    program: &Program,
    py: Python<'py>,
    args: &Bound<'py, PyTuple>,
    runs: usize,
    inputs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    if args.len() > 1 {
        return Err(PyTypeError::new_err(
            "profile takes the parameters or the state, and then inputs by name",
        ));
    }
    let first = args.get_item(0).ok();
    let arrays = program.arrays(py, inputs)?;
    let (_outputs, mut memory) = program.memory(py, &arrays)?;
    let runtime = &program.inner;
    if !runtime.signature().updates() {
        let params = first.map(|first| match first.cast::<Params>() {
            Ok(params) => Ok(params.get().0.clone()),
            Err(_) => Params::from_python(&first).map(|p| p.0),
        });
        let params = params.transpose()?.unwrap_or_default();
        let profile = guarded(|| py.detach(|| runtime.profile_with(&params, &mut memory, runs)).or_raise())?;
        return Ok(Profile(profile).into_pyobject(py)?.into_any());
    }
    let state = first.as_ref().and_then(|first| first.cast::<State>().ok());
    let state = state.ok_or_else(|| {
        PyTypeError::new_err("the program updates its state: `state, profile = step.profile(state, ...)`")
    })?;
    let mut inner = state.get().take(runtime.signature())?;
    match guarded(|| Ok(py.detach(|| runtime.profile_step_with(&mut inner, &mut memory, runs))))? {
        Ok(profile) => {
            let pair = [State::ready(inner).into_py_any(py)?, Profile(profile).into_py_any(py)?];
            Ok(PyTuple::new(py, pair)?.into_any())
        }
        Err(error) => {
            // A backend's failure may have left the state half updated.
            if !matches!(error, RunError::Backend(_)) {
                state.get().put_back(inner);
            }
            Err(error.raise())
        }
    }
}
