//! Filling a tensor from a stream that may lie about its size.

use std::io::Read;

use wootz_ir::{DType, HostTensor};

/// Bytes of a tensor, or what is wrong with its dtype and dims.
pub(crate) fn byte_count(dtype: DType, dims: &[usize]) -> Result<u64, String> {
    dims.iter()
        .try_fold(dtype.size(), |bytes, dim| bytes.checked_mul(*dim))
        .filter(|bytes| *bytes <= isize::MAX as usize)
        .map(|bytes| bytes as u64)
        .ok_or_else(|| format!("{dtype}{dims:?} is too large for this machine"))
}

/// Reads a row-major, little-endian tensor from `stream`, of which at most `available` bytes are left.
///
/// The count is checked before anything is allocated, so that a header cannot ask for more than its file holds.
pub(crate) fn read(
    stream: &mut impl Read,
    dtype: DType,
    dims: &[usize],
    available: u64,
) -> Result<HostTensor, String> {
    let bytes = byte_count(dtype, dims)?;
    if bytes > available {
        return Err(format!("{dtype}{dims:?} needs {bytes} bytes, only {available} are there"));
    }
    // Asked for once in a way that can fail: `HostTensor::zeros` would end the process.
    Vec::<u8>::new()
        .try_reserve_exact(bytes as usize)
        .map_err(|_| format!("{dtype}{dims:?} needs {bytes} bytes, more memory than there is"))?;
    let mut tensor = HostTensor::zeros(dtype, dims).map_err(|error| error.to_string())?;
    stream.read_exact(tensor.bytes_mut()).map_err(|error| format!("its data cannot be read: {error}"))?;
    check_bools(&tensor)?;
    Ok(tensor)
}

/// Refuses a `bool` that is neither 0 nor 1: code that reads one may rely on it.
fn check_bools(tensor: &HostTensor) -> Result<(), String> {
    if tensor.dtype() == DType::Bool
        && let Some(at) = tensor.as_bytes().iter().position(|byte| *byte > 1)
    {
        return Err(format!("element {at} is {}, which is not a bool (0 or 1)", tensor.as_bytes()[at]));
    }
    Ok(())
}
