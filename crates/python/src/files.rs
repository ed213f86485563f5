//! Parameters and state in safetensors files.

use crate::error::{Kind, OrRaise};
use crate::state::{Params, State};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use wootz_io::{TensorFile, safetensors};
use wootz_ir::HostTensor;

/// The version of what the metadata says and how tensors are named.
const VERSION: &str = "1";
const FORMAT: &str = "wootz.format";
const KIND: &str = "wootz.kind";

/// Writes tensors to `path` as safetensors. A reader sees the old file or the new one, never a part.
#[pyfunction]
pub(crate) fn save(py: Python<'_>, path: PathBuf, contents: &Bound<'_, PyAny>) -> PyResult<()> {
    let (kind, tensors) = if let Ok(state) = contents.cast::<State>() {
        ("state", state.get().tensors()?)
    } else {
        ("params", Params::from_python(contents)?.0.tensors().or_raise()?)
    };
    let tensors: BTreeMap<String, HostTensor> =
        tensors.into_iter().map(|(n, t)| (n.to_string(), t)).collect();
    let metadata = [(FORMAT, VERSION), (KIND, kind)].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let file = TensorFile { tensors, metadata: metadata.into() };
    py.detach(|| safetensors::write(&path, &file)).or_raise()
}

/// Reads a safetensors file: `State` if a state was saved, otherwise `Params`.
#[pyfunction]
pub(crate) fn load(py: Python<'_>, path: PathBuf) -> PyResult<Py<PyAny>> {
    let file = py.detach(|| safetensors::read(&path)).or_raise()?;
    if let Some(version) = file.metadata.get(FORMAT).filter(|v| *v != VERSION) {
        let path = path.display();
        return Err(Kind::File
            .error(format!("`{path}` has format version {version}; this wootz reads version {VERSION}")));
    }
    let is_state = file.metadata.get(KIND).is_some_and(|kind| kind == "state");
    let tensors = file.tensors.into_iter().map(|(name, tensor)| (name.into(), tensor));
    if is_state {
        State::loaded(tensors.collect()).into_py_any(py)
    } else {
        Params(wootz_runtime::Params::new(tensors)).into_py_any(py)
    }
}
