//! NumPy and DLPack in and out.

use crate::error::{Kind, OrRaise};
use crate::types::Spec;
use numpy::npyffi::{self, NPY_TYPES, npy_intp};
use numpy::{PY_ARRAY_API, PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::PyTypeInfo;
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyFloat, PyInt};
use smallvec::SmallVec;
use std::ffi::c_int;
use wootz_ir::{DType, Dims, HostTensor, TensorType};

/// The memory of an array that a program reads: dense, row-major, aligned. Keeps the array alive.
pub(crate) struct Input<'py> {
    array: Bound<'py, PyUntypedArray>,
    bytes: usize,
}

impl Input<'_> {
    /// Where the elements are, and how many bytes they take.
    pub(crate) fn memory(&self) -> (*const u8, usize) {
        // SAFETY: the pointer is that of a live array object.
        let data = unsafe { (*self.array.as_array_ptr()).fields.data };
        (data.cast_const().cast(), self.bytes)
    }

    /// Copies the elements.
    pub(crate) fn copy_to(&self, target: &mut [u8]) {
        let (data, bytes) = self.memory();
        if bytes > 0 {
            // SAFETY: `self` keeps a dense array of this many bytes alive, and we hold the GIL while copying.
            target.copy_from_slice(unsafe { std::slice::from_raw_parts(data, bytes) });
        }
    }

    /// A copy.
    pub(crate) fn to_host(&self, dtype: DType, dims: &[usize]) -> PyResult<HostTensor> {
        let mut tensor = HostTensor::zeros(dtype, dims).or_raise()?;
        self.copy_to(tensor.bytes_mut());
        Ok(tensor)
    }
}

/// The array given as `name` to something that takes `expected`: as it lies if its layout allows, otherwise a copy.
pub(crate) fn input<'py>(
    given: &Bound<'py, PyAny>,
    name: &str,
    expected: &TensorType,
) -> PyResult<Input<'py>> {
    let array = as_array(given, Some(expected.dtype), name)?;
    let Some(bytes) = fitting_bytes(&array, expected) else {
        return Err(wrong_type(&array, name, expected));
    };
    let array = if is_plain(&array) { array } else { plain_copy(&array)? };
    Ok(Input { array, bytes })
}

/// The elements of an `f64` vector of this length that lies dense in memory; `None` for anything else.
pub(crate) fn vector<'a>(given: &'a Bound<'_, PyAny>, length: usize) -> Option<&'a [f64]> {
    let array = given.cast::<PyUntypedArray>().ok()?;
    if dtype_of(array) != Some(DType::F64) || array.shape() != [length] || !is_plain(array) {
        return None;
    }
    // SAFETY: `given` keeps a dense, aligned array of `length` native `f64` alive. Python code that writes to it at the same time from another
    // thread may be seen or not, as with every reader of NumPy arrays.
    Some(unsafe {
        let data = (*array.as_array_ptr()).fields.data;
        if length == 0 { &[] } else { std::slice::from_raw_parts(data.cast_const().cast(), length) }
    })
}

/// Bytes of the array if it has this type.
fn fitting_bytes(array: &Bound<'_, PyUntypedArray>, expected: &TensorType) -> Option<usize> {
    if dtype_of(array) != Some(expected.dtype) || array.ndim() != expected.rank() {
        return None;
    }
    let mut elements = 1;
    for (dim, size) in expected.shape.iter().zip(array.shape()) {
        if dim.as_const() != Some(*size) {
            return None;
        }
        elements *= size;
    }
    Some(elements * expected.dtype.size())
}

#[cold]
fn wrong_type(array: &Bound<'_, PyUntypedArray>, name: &str, expected: &TensorType) -> PyErr {
    let dtype = dtype_of(array);
    if dtype.is_none() && !matches!(array.dtype().kind(), b'i' | b'u' | b'f') {
        return unsupported(array, name);
    }
    let Some(dtype) = dtype.filter(|dtype| *dtype == expected.dtype) else {
        let (got, fix) = (array.dtype().to_string(), numpy_name(expected.dtype));
        let message =
            format!("{name} is {got}, the program takes {}: pass {name}.astype({fix})", expected.dtype);
        return Kind::DType.error(message);
    };
    let got = TensorType::new(dtype, array.shape());
    Kind::Shape.error(format!(
        "{name} has shape {}, the program takes {}: compile it for that shape, or without shapes for any",
        got.shape, expected.shape
    ))
}

fn unsupported(array: &Bound<'_, PyUntypedArray>, name: &str) -> PyErr {
    let known = DType::ALL.map(|d| d.name()).join(", ");
    let fix = match array.dtype().kind() {
        b'i' | b'u' => format!(": pass {name}.astype(numpy.int64)"),
        b'f' => format!(": pass {name}.astype(numpy.float64)"),
        b'c' => ": give its real and imaginary parts".to_owned(),
        _ => String::new(),
    };
    Kind::DType.error(format!("{name} has NumPy dtype {}, which is none of {known}{fix}", array.dtype()))
}

/// How one writes the dtype in NumPy.
fn numpy_name(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "numpy.bool_",
        DType::U8 => "numpy.uint8",
        DType::U32 => "numpy.uint32",
        DType::I32 => "numpy.int32",
        DType::I64 => "numpy.int64",
        DType::F16 => "numpy.float16",
        DType::BF16 => "ml_dtypes.bfloat16",
        DType::F32 => "numpy.float32",
        DType::F64 => "numpy.float64",
    }
}

/// The element type of an array, if there is one for it.
pub(crate) fn dtype_of(array: &Bound<'_, PyUntypedArray>) -> Option<DType> {
    // SAFETY: a live array object has a live descriptor.
    let number = unsafe { (*(*array.as_array_ptr()).fields.descr).fields.type_num };
    const WIDE: bool = size_of::<std::ffi::c_long>() == 8;
    const fn number_of(kind: NPY_TYPES) -> c_int {
        kind as c_int
    }
    const BOOL: c_int = number_of(NPY_TYPES::NPY_BOOL);
    const UBYTE: c_int = number_of(NPY_TYPES::NPY_UBYTE);
    const INT: c_int = number_of(NPY_TYPES::NPY_INT);
    const UINT: c_int = number_of(NPY_TYPES::NPY_UINT);
    const LONG: c_int = number_of(NPY_TYPES::NPY_LONG);
    const ULONG: c_int = number_of(NPY_TYPES::NPY_ULONG);
    const LONGLONG: c_int = number_of(NPY_TYPES::NPY_LONGLONG);
    const HALF: c_int = number_of(NPY_TYPES::NPY_HALF);
    const FLOAT: c_int = number_of(NPY_TYPES::NPY_FLOAT);
    const DOUBLE: c_int = number_of(NPY_TYPES::NPY_DOUBLE);
    match number {
        BOOL => Some(DType::Bool),
        UBYTE => Some(DType::U8),
        INT => Some(DType::I32),
        UINT => Some(DType::U32),
        LONG if WIDE => Some(DType::I64),
        LONG => Some(DType::I32),
        ULONG if !WIDE => Some(DType::U32),
        LONGLONG => Some(DType::I64),
        HALF => Some(DType::F16),
        FLOAT => Some(DType::F32),
        DOUBLE => Some(DType::F64),
        // Types from other packages have no fixed number.
        n if n >= number_of(NPY_TYPES::NPY_USERDEF) => {
            let name = array.dtype().typeobj().name().ok()?;
            (name == "bfloat16").then_some(DType::BF16)
        }
        _ => None,
    }
}

/// Whether programs can read the array as it lies.
fn is_plain(array: &Bound<'_, PyUntypedArray>) -> bool {
    array.is_c_contiguous() && array.is_aligned() && is_native(array)
}

fn is_native(array: &Bound<'_, PyUntypedArray>) -> bool {
    // SAFETY: a live array object has a live descriptor.
    let order = unsafe { (*(*array.as_array_ptr()).fields.descr).fields.byteorder } as u8;
    order != if cfg!(target_endian = "little") { b'>' } else { b'<' }
}

fn plain_copy<'py>(array: &Bound<'py, PyUntypedArray>) -> PyResult<Bound<'py, PyUntypedArray>> {
    let py = array.py();
    let native = array.dtype().call_method1(intern!(py, "newbyteorder"), ("=",))?;
    // Not `ascontiguousarray`: it makes a scalar a vector.
    let copy = array.call_method1(intern!(py, "astype"), (native, "C"))?;
    Ok(copy.cast_into()?)
}

/// Anything array-like as a NumPy array, without a copy where that is possible. Python scalars take the dtype wanted if it can
/// hold their kind.
pub(crate) fn as_array<'py>(
    given: &Bound<'py, PyAny>,
    wanted: Option<DType>,
    name: &str,
) -> PyResult<Bound<'py, PyUntypedArray>> {
    if let Ok(array) = given.cast::<PyUntypedArray>() {
        return Ok(array.clone());
    }
    let py = given.py();
    let numpy = py.import(intern!(py, "numpy"))?;
    if let Some(default) = scalar_dtype(given) {
        let fits = wanted.filter(|d| d.is_float() || *d == default || (d.is_int() && default == DType::I64));
        let descr = descr(py, fits.unwrap_or(default))?;
        return Ok(numpy.call_method1(intern!(py, "asarray"), (given, descr))?.cast_into()?);
    }
    if given.is_none() {
        return Err(PyTypeError::new_err(format!("{name} is None; an array is needed")));
    }
    let array = if given.hasattr(intern!(py, "__dlpack__"))? {
        numpy.call_method1(intern!(py, "from_dlpack"), (given,)).or_else(|error| {
            // Types that DLPack and NumPy do not share may still come through the array protocol.
            numpy.call_method1(intern!(py, "asarray"), (given,)).map_err(|_| error)
        })?
    } else {
        numpy.call_method1(intern!(py, "asarray"), (given,))?
    };
    let array: Bound<'py, PyUntypedArray> = array.cast_into()?;
    if array.dtype().kind() == b'O' {
        let kind = given.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "{name} is {kind}, which holds no numbers; an array is needed"
        )));
    }
    Ok(array)
}

/// What a Python number is where nothing else decides.
pub(crate) fn scalar_dtype(given: &Bound<'_, PyAny>) -> Option<DType> {
    if given.is_exact_instance_of::<PyBool>() {
        Some(DType::Bool)
    } else if given.is_exact_instance_of::<PyInt>() {
        Some(DType::I64)
    } else if given.is_exact_instance_of::<PyFloat>() {
        Some(DType::F32)
    } else {
        None
    }
}

/// The type of anything array-like.
#[pyfunction]
pub(crate) fn spec_of(array: &Bound<'_, PyAny>) -> PyResult<Spec> {
    let array = as_array(array, None, "the array")?;
    Ok(Spec(type_of(&array, "the array")?))
}

/// Anything array-like as a NumPy array, without a copy where that is possible.
#[pyfunction(name = "as_array")]
pub(crate) fn as_numpy<'py>(array: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    Ok(as_array(array, None, "the array")?.into_any())
}

/// The type of an array.
fn type_of(array: &Bound<'_, PyUntypedArray>, name: &str) -> PyResult<TensorType> {
    let dtype = dtype_of(array).ok_or_else(|| unsupported(array, name))?;
    Ok(TensorType::new(dtype, array.shape()))
}

/// A copy of anything array-like.
pub(crate) fn to_host(given: &Bound<'_, PyAny>, name: &str) -> PyResult<HostTensor> {
    if let Ok(ours) = given.cast::<Shared>() {
        return Ok(ours.get().0.clone());
    }
    let array = as_array(given, None, name)?;
    let ty = type_of(&array, name)?;
    let dims: Dims = array.shape().into();
    input(array.as_any(), name, &ty)?.to_host(ty.dtype, &dims)
}

/// Owns the memory of arrays that show a tensor.
#[pyclass(frozen, module = "wootz._native")]
pub(crate) struct Shared(HostTensor);

/// A read-only array that shows a tensor's memory.
pub(crate) fn from_host<'py>(py: Python<'py>, tensor: &HostTensor) -> PyResult<Bound<'py, PyAny>> {
    let mut sizes: SmallVec<[npy_intp; 6]> = tensor.dims().iter().map(|n| *n as npy_intp).collect();
    let descr = descr(py, tensor.dtype())?;
    let owner = Bound::new(py, Shared(tensor.clone()))?;
    let data = tensor.as_bytes().as_ptr().cast_mut();
    // SAFETY: the memory is dense and row-major, of the sizes and dtype named. It lives as long as `owner`, which becomes the
    // array's base. The array is not writeable (no flag says so), and a shared tensor is never written in place.
    unsafe {
        let array = PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            PyUntypedArray::type_object_raw(py),
            descr.into_dtype_ptr(),
            sizes.len() as c_int,
            sizes.as_mut_ptr(),
            std::ptr::null_mut(),
            data.cast(),
            npyffi::NPY_ARRAY_CARRAY_RO,
            std::ptr::null_mut(),
        );
        let array = Bound::from_owned_ptr_or_err(py, array)?;
        // Steals the reference to the owner, also when it fails.
        if PY_ARRAY_API.PyArray_SetBaseObject(py, array.as_ptr().cast(), owner.into_any().into_ptr()) != 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(array)
    }
}

/// A new array with undefined elements, where they are, and how many bytes they take.
pub(crate) fn empty<'py>(
    py: Python<'py>,
    dtype: DType,
    dims: &[usize],
) -> PyResult<(Bound<'py, PyAny>, *mut u8, usize)> {
    let mut sizes: SmallVec<[npy_intp; 6]> = dims.iter().map(|n| *n as npy_intp).collect();
    let descr = descr(py, dtype)?;
    // SAFETY: `sizes` has as many entries as the array has axes, and the descriptor's reference is given away. NumPy owns the
    // memory; the pointer is valid while the returned reference is.
    unsafe {
        let array = PY_ARRAY_API.PyArray_Empty(
            py,
            sizes.len() as c_int,
            sizes.as_mut_ptr(),
            descr.into_dtype_ptr(),
            0,
        );
        let array = Bound::from_owned_ptr_or_err(py, array)?;
        let data = (*array.as_ptr().cast::<npyffi::PyArrayObject>()).fields.data;
        Ok((array, data.cast(), dims.iter().product::<usize>() * dtype.size()))
    }
}

/// NumPy's descriptor of an element type.
pub(crate) fn descr(py: Python<'_>, dtype: DType) -> PyResult<Bound<'_, PyArrayDescr>> {
    Ok(match dtype {
        DType::Bool => numpy::dtype::<bool>(py),
        DType::U8 => numpy::dtype::<u8>(py),
        DType::U32 => numpy::dtype::<u32>(py),
        DType::I32 => numpy::dtype::<i32>(py),
        DType::I64 => numpy::dtype::<i64>(py),
        DType::F32 => numpy::dtype::<f32>(py),
        DType::F64 => numpy::dtype::<f64>(py),
        DType::F16 => PyArrayDescr::new(py, "float16")?,
        DType::BF16 => {
            static BF16: PyOnceLock<Py<PyArrayDescr>> = PyOnceLock::new();
            let found = BF16.get_or_try_init(py, || {
                let module = py.import("ml_dtypes").map_err(|_| {
                    Kind::DType.error("NumPy has no bfloat16 of its own: install the package ml_dtypes")
                })?;
                Ok::<_, PyErr>(PyArrayDescr::new(py, module.getattr("bfloat16")?)?.unbind())
            })?;
            found.bind(py).clone()
        }
    })
}
