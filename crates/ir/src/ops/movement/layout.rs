//! Index arithmetic over row-major tensors, shared by the reference evaluations of movement, contraction and indexing.

use crate::{DType, Dims, HostTensor, TensorError};

/// Elements between neighbours along each axis of a row-major tensor.
pub(in crate::ops) fn strides(dims: &[usize]) -> Dims {
    let mut out: Dims = dims.into();
    let mut step = 1;
    for (stride, dim) in out.iter_mut().zip(dims).rev() {
        *stride = step;
        step *= dim;
    }
    out
}

/// The position of the element at `index`.
pub(in crate::ops) fn offset(index: impl IntoIterator<Item = usize>, strides: &[usize]) -> usize {
    index.into_iter().zip(strides).map(|(i, s)| i * s).sum()
}

/// Every index of a tensor of these sizes, in row-major order.
pub(in crate::ops) fn indices(dims: &[usize]) -> impl Iterator<Item = Dims> + use<> {
    let dims: Dims = dims.into();
    let count: usize = dims.iter().product();
    let strides = strides(&dims);
    (0..count).map(move |n| dims.iter().zip(&strides).map(|(d, s)| n / s % d).collect())
}

/// A tensor each of whose elements is copied from where `source` says: a tensor of the same dtype and a position in it.
pub(in crate::ops) fn arrange<'a>(
    dtype: DType,
    dims: &[usize],
    source: impl Fn(&[usize]) -> (&'a HostTensor, usize),
) -> Result<HostTensor, TensorError> {
    let mut out = HostTensor::zeros(dtype, dims)?;
    let size = dtype.size();
    for (element, index) in out.bytes_mut().chunks_exact_mut(size).zip(indices(dims)) {
        let (from, at) = source(&index);
        element.copy_from_slice(&from.as_bytes()[at * size..][..size]);
    }
    Ok(out)
}
