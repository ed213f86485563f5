//! Element types, symbolic sizes and the types of tensors.

use crate::error::Kind;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyZeroDivisionError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt, PyString, PyTuple};
use std::hash::{DefaultHasher, Hash, Hasher};
use wootz_ir::{Shape, TensorType};

/// An element type. Indexing it with a shape gives the type of a tensor: `wz.f32[32, 784]`, `wz.f32["B", 784]`, `wz.f32[()]`.
#[pyclass(frozen, eq, hash, from_py_object, module = "wootz")]
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
pub(crate) struct DType(pub(crate) wootz_ir::DType);

#[pymethods]
impl DType {
    /// The element type of this name: `f32`.
    #[new]
    fn new(name: &str) -> PyResult<DType> {
        name.parse().map(DType).map_err(|e: wootz_ir::UnknownDType| Kind::DType.error(e.to_string()))
    }

    /// The name: `f32`.
    #[getter]
    fn name(&self) -> &'static str {
        self.0.name()
    }

    /// Bytes of one element.
    #[getter]
    fn itemsize(&self) -> usize {
        self.0.size()
    }

    /// Whether it is a floating-point type.
    #[getter]
    fn is_float(&self) -> bool {
        self.0.is_float()
    }

    fn __getitem__(&self, shape: &Bound<'_, PyAny>) -> PyResult<Spec> {
        Ok(Spec(TensorType { dtype: self.0, shape: shape_from(shape)? }))
    }

    fn __repr__(&self) -> String {
        format!("wootz.{}", self.0)
    }
}

/// A symbolic size: `wz.dim("B")`, and what arithmetic makes of it.
#[pyclass(frozen, from_py_object, module = "wootz")]
#[derive(Clone)]
pub(crate) struct Dim(pub(crate) wootz_ir::Dim);

#[pymethods]
impl Dim {
    /// The size called `name`.
    #[new]
    fn new(name: &str) -> PyResult<Dim> {
        symbol(name).map(Dim)
    }

    fn __add__(&self, other: &Bound<'_, PyAny>) -> PyResult<Dim> {
        Ok(Dim(&self.0 + &dim_from(other)?))
    }

    fn __radd__(&self, other: &Bound<'_, PyAny>) -> PyResult<Dim> {
        Ok(Dim(&dim_from(other)? + &self.0))
    }

    fn __sub__(&self, other: &Bound<'_, PyAny>) -> PyResult<Dim> {
        Ok(Dim(&self.0 - &dim_from(other)?))
    }

    fn __rsub__(&self, other: &Bound<'_, PyAny>) -> PyResult<Dim> {
        Ok(Dim(&dim_from(other)? - &self.0))
    }

    fn __mul__(&self, other: &Bound<'_, PyAny>) -> PyResult<Dim> {
        Ok(Dim(&self.0 * &dim_from(other)?))
    }

    fn __rmul__(&self, other: &Bound<'_, PyAny>) -> PyResult<Dim> {
        Ok(Dim(&dim_from(other)? * &self.0))
    }

    fn __floordiv__(&self, other: &Bound<'_, PyAny>) -> PyResult<Dim> {
        let divisor = dim_from(other)?;
        let quotient = self.0.floor_div(&divisor);
        quotient.map(Dim).ok_or_else(|| PyZeroDivisionError::new_err(format!("{} // {divisor}", self.0)))
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        dim_from(other).is_ok_and(|other| self.0 == other)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        hasher.finish()
    }

    fn __index__(&self) -> PyResult<usize> {
        let unknown = || {
            Kind::Shape.error(format!("the size {} is not known until the program is specialised", self.0))
        };
        self.0.as_const().ok_or_else(unknown)
    }

    fn __repr__(&self) -> String {
        self.0.to_string()
    }
}

/// The type of a tensor: element type and shape.
#[pyclass(frozen, eq, hash, from_py_object, module = "wootz")]
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Spec(pub(crate) TensorType);

#[pymethods]
impl Spec {
    /// A tensor of this element type and shape.
    #[new]
    fn new(dtype: DType, shape: &Bound<'_, PyAny>) -> PyResult<Spec> {
        Ok(Spec(TensorType { dtype: dtype.0, shape: shape_from(shape)? }))
    }

    /// The element type.
    #[getter]
    fn dtype(&self) -> DType {
        DType(self.0.dtype)
    }

    /// The sizes of the axes: numbers, or `Dim` where they are unknown.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        shape_to(py, &self.0.shape)
    }

    fn __repr__(&self) -> String {
        self.0.to_string()
    }
}

fn symbol(name: &str) -> PyResult<wootz_ir::Dim> {
    let mut chars = name.chars();
    let starts = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if starts && chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(wootz_ir::Dim::symbol(name));
    }
    Err(Kind::Shape.error(format!(
        "`{name}` cannot name a size: use a word such as \"B\", and arithmetic on wz.dim(\"B\") for the rest"
    )))
}

/// A size from an `int`, a name or a `Dim`.
pub(crate) fn dim_from(size: &Bound<'_, PyAny>) -> PyResult<wootz_ir::Dim> {
    if let Ok(dim) = size.cast::<Dim>() {
        return Ok(dim.get().0.clone());
    }
    if let Ok(name) = size.cast::<PyString>() {
        return symbol(&name.to_cow()?);
    }
    // NumPy's integers have `__index__`; floats do not.
    let number =
        if size.is_exact_instance_of::<PyInt>() { size.clone() } else { size.call_method0("__index__")? };
    let number: i64 =
        number.extract().map_err(|_| Kind::Shape.error(format!("{size} is too large for a size")))?;
    Ok(wootz_ir::Dim::Const(number))
}

/// A shape from one size or a sequence of sizes.
pub(crate) fn shape_from(shape: &Bound<'_, PyAny>) -> PyResult<Shape> {
    let sizes: Vec<Bound<'_, PyAny>> = match shape.cast::<PyTuple>() {
        Ok(tuple) => tuple.iter().collect(),
        Err(_) if shape.is_instance_of::<PyString>() || shape.is_instance_of::<Dim>() => vec![shape.clone()],
        Err(_) => match shape.try_iter() {
            Ok(iterator) => iterator.collect::<PyResult<_>>()?,
            Err(_) => vec![shape.clone()],
        },
    };
    let mut dims = Vec::with_capacity(sizes.len());
    for size in &sizes {
        if size.is_instance_of::<PyBool>() {
            return Err(PyTypeError::new_err(format!("{size} is not a size")));
        }
        let dim = dim_from(size).map_err(|error| {
            match error.is_instance_of::<pyo3::exceptions::PyAttributeError>(size.py()) {
                true => {
                    PyTypeError::new_err(format!("{size} is not a size: give an int, a name or a wz.dim"))
                }
                false => error,
            }
        })?;
        if matches!(dim, wootz_ir::Dim::Const(n) if n < 0) {
            return Err(Kind::Shape.error(format!("{dim} is not a size")));
        }
        dims.push(dim);
    }
    let elements = dims.iter().filter_map(wootz_ir::Dim::as_const).try_fold(1usize, |n, d| n.checked_mul(d));
    if elements.is_none() && !dims.iter().any(|d| d.is(0)) {
        return Err(Kind::Shape.error(format!("{dims:?} has more elements than this machine can count")));
    }
    Ok(dims.into_iter().collect())
}

/// A seed, whose errors name it.
pub(crate) fn seed_from(seed: &Bound<'_, PyAny>) -> PyResult<u64> {
    seed.extract().map_err(|error: PyErr| match error.is_instance_of::<PyOverflowError>(seed.py()) {
        true => Kind::Model.error(format!("seed is {seed}; it must be from 0 to 2**64 - 1")),
        false => PyTypeError::new_err(format!("seed is {seed}; it must be an integer")),
    })
}

/// The most threads a run may use, or `None` for all there are.
pub(crate) fn threads_from(threads: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
    let wrong = || format!("threads is {threads}; it must be at least 1, or None for all there are");
    match threads.extract() {
        Ok(Some(0)) => Err(Kind::Backend.error(wrong())),
        Ok(threads) => Ok(threads),
        Err(error) if error.is_instance_of::<PyOverflowError>(threads.py()) => {
            Err(Kind::Backend.error(wrong()))
        }
        Err(_) => Err(PyTypeError::new_err(wrong())),
    }
}

/// A shape as a tuple of `int`s and `Dim`s.
pub(crate) fn shape_to<'py>(py: Python<'py>, shape: &Shape) -> PyResult<Bound<'py, PyTuple>> {
    let sizes = shape.iter().map(|dim| dim_to(py, dim)).collect::<PyResult<Vec<_>>>()?;
    PyTuple::new(py, sizes)
}

fn dim_to<'py>(py: Python<'py>, dim: &wootz_ir::Dim) -> PyResult<Bound<'py, PyAny>> {
    match dim.as_const() {
        Some(n) => Ok(n.into_pyobject(py)?.into_any()),
        None => Ok(Dim(dim.clone()).into_pyobject(py)?.into_any()),
    }
}
