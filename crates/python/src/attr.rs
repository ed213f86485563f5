//! Attributes of ops from Python.

use crate::array::to_host;
use crate::graph::Region;
use crate::types::{DType, Dim};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList, PyString, PyTuple};
use wootz_ir::{Attr, F64};

/// An attribute from Python: `bool`, `int`, `float`, `str`, `Dim`, `Region`, a list of sizes, or an array.
pub(crate) fn attr(value: &Bound<'_, PyAny>) -> PyResult<Attr> {
    Ok(if let Ok(truth) = value.cast::<PyBool>() {
        truth.is_true().into()
    } else if value.is_instance_of::<PyInt>() {
        Attr::Dim(wootz_ir::Dim::Const(value.extract()?))
    } else if value.is_instance_of::<PyFloat>() {
        F64(value.extract()?).into()
    } else if let Ok(dtype) = value.cast::<DType>() {
        dtype.get().0.into()
    } else if let Ok(word) = value.cast::<PyString>() {
        (&*word.to_cow()?).into()
    } else if let Ok(dim) = value.cast::<Dim>() {
        (&dim.get().0).into()
    } else if let Ok(region) = value.cast::<Region>() {
        (&region.get().0).into()
    } else if value.is_instance_of::<PyTuple>() || value.is_instance_of::<PyList>() {
        let sizes = value.try_iter()?.map(|size| crate::types::dim_from(&size?));
        Attr::Dims(sizes.collect::<PyResult<_>>()?)
    } else {
        Attr::Tensor(to_host(value, "an attribute")?)
    })
}
