//! `HostTensor`: an immutable-by-sharing, row-major tensor in host memory.

use crate::{DType, Dims, TensorType};
use bytemuck::{Pod, Zeroable};
use half::{bf16, f16};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Storage is a sequence of these, so that every tensor starts on a cache line.
#[derive(Copy, Clone, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u64; 8]);

/// A dense row-major tensor in host memory, 64-byte aligned. Cloning shares the data; writing copies it if shared.
#[derive(Clone)]
pub struct HostTensor {
    dtype: DType,
    dims: Dims,
    bytes: usize,
    data: Arc<Vec<Line>>,
}

/// The data and the shape do not describe the same tensor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// The number of elements or bytes does not fit `usize`.
    #[error("a tensor {dtype}{dims:?} is too large for this machine")]
    TooLarge {
        /// Element type.
        dtype: DType,
        /// Sizes of the axes.
        dims: Vec<usize>,
    },
    /// The machine has no memory for it.
    #[error("no memory for a tensor of {bytes} bytes")]
    OutOfMemory {
        /// What it needs.
        bytes: usize,
    },
    /// A byte or element count that is not what the shape says.
    #[error("{dtype}{dims:?} needs {expected} bytes, got {actual}")]
    Length {
        /// Element type.
        dtype: DType,
        /// Sizes of the axes.
        dims: Vec<usize>,
        /// Bytes the shape needs.
        expected: usize,
        /// Bytes that were given.
        actual: usize,
    },
    /// A `bool` tensor holding a byte other than 0 or 1.
    #[error("byte {value} at offset {offset} is not a bool (0 or 1)")]
    NotBool {
        /// Where.
        offset: usize,
        /// What stands there.
        value: u8,
    },
}

impl HostTensor {
    /// A tensor of zeros.
    pub fn zeros(dtype: DType, dims: &[usize]) -> Result<HostTensor, TensorError> {
        let bytes = dims
            .iter()
            .try_fold(dtype.size(), |n, d| n.checked_mul(*d))
            .filter(|n| *n <= isize::MAX as usize - 64)
            .ok_or_else(|| TensorError::TooLarge { dtype, dims: dims.to_vec() })?;
        let mut data = Vec::new();
        data.try_reserve_exact(bytes.div_ceil(64)).map_err(|_| TensorError::OutOfMemory { bytes })?;
        data.resize(bytes.div_ceil(64), Line::zeroed());
        Ok(HostTensor { dtype, dims: dims.into(), bytes, data: Arc::new(data) })
    }

    /// A tensor holding a copy of `bytes` (native endianness, row-major).
    pub fn from_bytes(dtype: DType, dims: &[usize], bytes: &[u8]) -> Result<HostTensor, TensorError> {
        let mut tensor = HostTensor::zeros(dtype, dims)?;
        if tensor.bytes != bytes.len() {
            let (expected, actual) = (tensor.bytes, bytes.len());
            return Err(TensorError::Length { dtype, dims: dims.to_vec(), expected, actual });
        }
        if dtype == DType::Bool
            && let Some(offset) = bytes.iter().position(|b| *b > 1)
        {
            return Err(TensorError::NotBool { offset, value: bytes[offset] });
        }
        tensor.bytes_mut().copy_from_slice(bytes);
        Ok(tensor)
    }

    /// A tensor holding a copy of `elements`.
    pub fn from_slice<T: Element>(dims: &[usize], elements: &[T]) -> Result<HostTensor, TensorError> {
        HostTensor::from_bytes(T::DTYPE, dims, bytemuck::cast_slice(elements))
    }

    /// A rank-0 tensor of `dtype` holding `value` converted to it (rounded to nearest; integers saturate, NaN gives 0).
    pub fn scalar(dtype: DType, value: f64) -> HostTensor {
        HostTensor::from_f64(dtype, &[], &[value])
    }

    /// A tensor of `dtype` from `f64` values, converted as in [`HostTensor::scalar`].
    ///
    /// # Panics
    /// If `values` has not as many elements as `dims` say.
    pub fn from_f64(dtype: DType, dims: &[usize], values: &[f64]) -> HostTensor {
        assert_eq!(values.len(), dims.iter().product::<usize>(), "as many values as the shape has elements");
        let mut out = HostTensor::zeros(dtype, dims).expect("values of this size exist, so the tensor can");
        match dtype {
            DType::Bool => fill(&mut out.bytes_mut()[..], values, |v| u8::from(v != 0.0)),
            DType::U8 => fill(out.as_mut_slice::<u8>(), values, |v| v as u8),
            DType::U32 => fill(out.as_mut_slice::<u32>(), values, |v| v as u32),
            DType::I32 => fill(out.as_mut_slice::<i32>(), values, |v| v as i32),
            DType::I64 => fill(out.as_mut_slice::<i64>(), values, |v| v as i64),
            DType::F16 => fill(out.as_mut_slice::<f16>(), values, |v| f16::from_f32(odd_f64(v))),
            DType::BF16 => fill(out.as_mut_slice::<bf16>(), values, |v| bf16::from_f32(odd_f64(v))),
            DType::F32 => fill(out.as_mut_slice::<f32>(), values, |v| v as f32),
            DType::F64 => fill(out.as_mut_slice::<f64>(), values, |v| v),
        }
        out
    }

    /// A tensor of `dtype` from `i64` values, wrapped to its width (`bool`: non-zero is true; floats: rounded).
    ///
    /// # Panics
    /// If `values` has not as many elements as `dims` say.
    pub fn from_i64(dtype: DType, dims: &[usize], values: &[i64]) -> HostTensor {
        assert_eq!(values.len(), dims.iter().product::<usize>(), "as many values as the shape has elements");
        let mut out = HostTensor::zeros(dtype, dims).expect("values of this size exist, so the tensor can");
        match dtype {
            DType::Bool => fill(&mut out.bytes_mut()[..], values, |v| u8::from(v != 0)),
            DType::U8 => fill(out.as_mut_slice::<u8>(), values, |v| v as u8),
            DType::U32 => fill(out.as_mut_slice::<u32>(), values, |v| v as u32),
            DType::I32 => fill(out.as_mut_slice::<i32>(), values, |v| v as i32),
            DType::I64 => fill(out.as_mut_slice::<i64>(), values, |v| v),
            DType::F16 => fill(out.as_mut_slice::<f16>(), values, |v| f16::from_f32(odd_i64(v))),
            DType::BF16 => fill(out.as_mut_slice::<bf16>(), values, |v| bf16::from_f32(odd_i64(v))),
            DType::F32 => fill(out.as_mut_slice::<f32>(), values, |v| v as f32),
            DType::F64 => fill(out.as_mut_slice::<f64>(), values, |v| v as f64),
        }
        out
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Sizes of the axes, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.bytes / self.dtype.size()
    }

    /// True if there are no elements.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The tensor's type.
    pub fn ty(&self) -> TensorType {
        TensorType::new(self.dtype, self.dims.as_slice())
    }

    /// The elements as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.data)[..self.bytes]
    }

    /// The elements, for writing; copies the data first if it is shared. A `bool` tensor must keep to 0 and 1.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(Arc::make_mut(&mut self.data).as_mut_slice())[..self.bytes]
    }

    /// Whether another tensor has the same data, so that writing would copy it. If not, reads of it through tensors that are
    /// gone have happened before.
    pub fn is_shared(&self) -> bool {
        let shared = Arc::strong_count(&self.data) != 1;
        // What the count says is learnt without order; its decrements release.
        std::sync::atomic::fence(std::sync::atomic::Ordering::Acquire);
        shared
    }

    /// The elements as `T`, if that is the tensor's element type (`bool` tensors read as `u8`).
    pub fn try_as_slice<T: Element>(&self) -> Option<&[T]> {
        let fits = T::DTYPE == self.dtype || (T::DTYPE == DType::U8 && self.dtype == DType::Bool);
        fits.then(|| bytemuck::cast_slice(self.as_bytes()))
    }

    /// The elements as `T`.
    ///
    /// # Panics
    /// If `T` is not the element type.
    pub fn as_slice<T: Element>(&self) -> &[T] {
        self.try_as_slice().expect("the caller names the tensor's element type")
    }

    /// The elements as `T`, for writing; copies the data first if it is shared.
    ///
    /// # Panics
    /// If `T` is not the element type.
    pub fn as_mut_slice<T: Element>(&mut self) -> &mut [T] {
        assert!(T::DTYPE == self.dtype || (T::DTYPE == DType::U8 && self.dtype == DType::Bool));
        bytemuck::cast_slice_mut(self.bytes_mut())
    }

    /// Every element as `f64` (`i64` values beyond 2^53 round; `bool` is 0 or 1).
    pub fn to_f64(&self) -> Vec<f64> {
        match self.dtype {
            DType::Bool | DType::U8 => self.as_bytes().iter().map(|v| f64::from(*v)).collect(),
            DType::U32 => self.as_slice::<u32>().iter().map(|v| f64::from(*v)).collect(),
            DType::I32 => self.as_slice::<i32>().iter().map(|v| f64::from(*v)).collect(),
            DType::I64 => self.as_slice::<i64>().iter().map(|v| *v as f64).collect(),
            DType::F16 => self.as_slice::<f16>().iter().map(|v| v.to_f64()).collect(),
            DType::BF16 => self.as_slice::<bf16>().iter().map(|v| v.to_f64()).collect(),
            DType::F32 => self.as_slice::<f32>().iter().map(|v| f64::from(*v)).collect(),
            DType::F64 => self.as_slice::<f64>().to_vec(),
        }
    }

    /// Every element as `i64` (floats truncate toward zero, saturate, and NaN gives 0).
    pub fn to_i64(&self) -> Vec<i64> {
        match self.dtype {
            DType::Bool | DType::U8 => self.as_bytes().iter().map(|v| i64::from(*v)).collect(),
            DType::U32 => self.as_slice::<u32>().iter().map(|v| i64::from(*v)).collect(),
            DType::I32 => self.as_slice::<i32>().iter().map(|v| i64::from(*v)).collect(),
            DType::I64 => self.as_slice::<i64>().to_vec(),
            _ => self.to_f64().iter().map(|v| *v as i64).collect(),
        }
    }

    /// The same data under another shape.
    pub fn reshaped(&self, dims: &[usize]) -> Result<HostTensor, TensorError> {
        let elements = dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        if elements != Some(self.len()) {
            let expected = elements.unwrap_or(usize::MAX).saturating_mul(self.dtype.size());
            return Err(TensorError::Length {
                dtype: self.dtype,
                dims: dims.to_vec(),
                expected,
                actual: self.bytes,
            });
        }
        Ok(HostTensor { dims: dims.into(), ..self.clone() })
    }
}

fn fill<A: Copy, B>(out: &mut [B], values: &[A], f: impl Fn(A) -> B) {
    for (o, v) in out.iter_mut().zip(values) {
        *o = f(*v);
    }
}

/// Rounds to `f32`, inexact values to the neighbour with an odd last bit: a later rounding to fewer bits is then correct.
fn odd_f64(v: f64) -> f32 {
    let near = v as f32;
    match f64::from(near).abs().partial_cmp(&v.abs()) {
        Some(order) => make_odd(near, order),
        None => near,
    }
}

fn odd_i64(v: i64) -> f32 {
    let near = v as f32;
    make_odd(near, (near as i128).abs().cmp(&i128::from(v).abs()))
}

/// `near` is the `f32` nearest to some value; `order` compares its magnitude with the value's.
fn make_odd(near: f32, order: Ordering) -> f32 {
    match order {
        Ordering::Equal => near,
        Ordering::Greater => f32::from_bits((near.to_bits() - 1) | 1),
        Ordering::Less => f32::from_bits(near.to_bits() | 1),
    }
}

/// Rust types that are element types. (`bool` tensors are read and written as `u8`.)
pub trait Element: Pod {
    /// The dtype with this representation.
    const DTYPE: DType;
}

macro_rules! elements {
    ($($t:ty => $d:ident),*) => { $(impl Element for $t { const DTYPE: DType = DType::$d; })* };
}
elements!(u8 => U8, u32 => U32, i32 => I32, i64 => I64, f16 => F16, bf16 => BF16, f32 => F32, f64 => F64);

/// Bitwise equality: NaNs with the same bits are equal, 0.0 and -0.0 are not.
impl PartialEq for HostTensor {
    fn eq(&self, other: &Self) -> bool {
        self.dtype == other.dtype
            && self.dims == other.dims
            && (Arc::ptr_eq(&self.data, &other.data) || self.as_bytes() == other.as_bytes())
    }
}
impl Eq for HostTensor {}
impl Hash for HostTensor {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.dtype.hash(state);
        self.dims.hash(state);
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for HostTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ty())?;
        if self.len() <= 16 { write!(f, " {:?}", self.to_f64()) } else { f.write_str(" {…}") }
    }
}
