//! The `.npy` format: one array, as `numpy.save` writes it.
//!
//! Format: NEP 1 and `numpy.lib.format`, versions 1.0 to 3.0. Both byte orders and both memory orders are read;
//! little-endian, row-major files are written.

mod header;

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Write};
use std::path::{Path, PathBuf};

use wootz_ir::{DType, HostTensor};

use self::header::{Header, HeaderError};
use crate::{Error, tensor, write_atomically};

const FORMAT: &str = "npy";
/// What errors call the only tensor of the file.
const ONLY: &str = "array";

/// Reads the array in `path`.
///
/// # Errors
/// [`Error::Read`], [`Error::Malformed`], [`Error::MalformedTensor`], [`Error::UnsupportedDType`] (object and
/// structured arrays among them).
pub fn read(path: &Path) -> Result<HostTensor, Error> {
    let io = |source| Error::read(path, source);
    let file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    read_whole(&mut BufReader::new(file), size, path)
}

/// Reads an array from `bytes`; errors call the file `label`.
///
/// # Errors
/// As [`read`].
pub fn from_bytes(bytes: &[u8], label: &str) -> Result<HostTensor, Error> {
    read_whole(&mut Cursor::new(bytes), bytes.len() as u64, Path::new(label))
}

/// Writes `tensor` to `path`; a reader sees the old file or the new one, never a part.
///
/// # Errors
/// [`Error::Write`], and [`Error::NotInFormat`] for bf16, which NumPy does not have.
pub fn write(path: &Path, tensor: &HostTensor) -> Result<(), Error> {
    let header = header_of(tensor, ONLY, FORMAT)?;
    write_atomically(path, |writer| write_parts(writer, &header, tensor))
}

/// The bytes that [`write()`] would write.
///
/// # Errors
/// [`Error::NotInFormat`] for bf16.
pub fn to_bytes(tensor: &HostTensor) -> Result<Vec<u8>, Error> {
    let mut bytes = header_of(tensor, ONLY, FORMAT)?;
    bytes.extend_from_slice(tensor.as_bytes());
    Ok(bytes)
}

/// The header that describes `tensor`; `name` and `format` are for the error.
pub(crate) fn header_of(tensor: &HostTensor, name: &str, format: &'static str) -> Result<Vec<u8>, Error> {
    header::encode(tensor.dtype(), tensor.dims()).ok_or_else(|| Error::NotInFormat {
        tensor: name.to_owned(),
        dtype: tensor.dtype(),
        format,
    })
}

/// Writes what [`header_of`] made and the data.
pub(crate) fn write_parts(writer: &mut impl Write, header: &[u8], tensor: &HostTensor) -> io::Result<()> {
    writer.write_all(header)?;
    writer.write_all(tensor.as_bytes())
}

/// Reads an array from `stream`, which cannot hold more than `size` bytes. Leaves what follows it unread. Errors are
/// about `name` in `path`.
pub(crate) fn read_stream(
    stream: &mut impl Read,
    size: u64,
    path: &Path,
    name: &str,
) -> Result<HostTensor, Error> {
    let (header, length) = Header::read(stream).map_err(|error| match error {
        HeaderError::Malformed(reason) => Error::tensor(path, name, reason),
        HeaderError::Unsupported(dtype) => Error::unsupported(path, name, dtype),
    })?;
    let available = size.saturating_sub(length);
    let read = |stream: &mut _, dims: &[usize]| {
        tensor::read(stream, header.dtype, dims, available)
            .map_err(|reason| Error::tensor(path, name, reason))
    };
    if !header.column_major {
        let mut tensor = read(stream, &header.dims)?;
        if header.big_endian {
            swap_bytes(&mut tensor);
        }
        return Ok(tensor);
    }
    let reversed: Vec<usize> = header.dims.iter().rev().copied().collect();
    let mut transposed = read(stream, &reversed)?;
    if header.big_endian {
        swap_bytes(&mut transposed);
    }
    transpose(&transposed).map_err(|reason| Error::tensor(path, name, reason))
}

fn read_whole(stream: &mut impl Read, size: u64, path: &Path) -> Result<HostTensor, Error> {
    let tensor = read_stream(stream, size, path, ONLY)?;
    match io::copy(&mut stream.by_ref().take(1), &mut io::sink()) {
        Ok(0) => Ok(tensor),
        Ok(_) => Err(Error::malformed(path, FORMAT, "there are bytes after the array's data")),
        Err(source) => Err(Error::Read { path: PathBuf::from(path), source }),
    }
}

fn swap_bytes(tensor: &mut HostTensor) {
    let size = tensor.dtype().size();
    if size > 1 {
        tensor.bytes_mut().chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
}

/// `tensor` with its axes in reverse order.
fn transpose(tensor: &HostTensor) -> Result<HostTensor, String> {
    let size = tensor.dtype().size();
    let dims: Vec<usize> = tensor.dims().iter().rev().copied().collect();
    // Elements to step over in `tensor` for a step along each axis of the result.
    let strides: Vec<usize> = dims
        .iter()
        .scan(1, |stride, dim| {
            let this = *stride;
            *stride *= dim;
            Some(this)
        })
        .collect();
    let mut out = HostTensor::zeros(tensor.dtype(), &dims).map_err(|error| error.to_string())?;
    let mut index = vec![0; dims.len()];
    let mut offset = 0;
    for element in out.bytes_mut().chunks_exact_mut(size) {
        element.copy_from_slice(&tensor.as_bytes()[offset * size..][..size]);
        for axis in (0..dims.len()).rev() {
            index[axis] += 1;
            offset += strides[axis];
            if index[axis] < dims[axis] {
                break;
            }
            offset -= strides[axis] * dims[axis];
            index[axis] = 0;
        }
    }
    Ok(out)
}

/// The element type that NumPy calls `code` (kind and size, without byte order).
fn dtype_of(code: &str) -> Option<DType> {
    DType::ALL.into_iter().find(|dtype| code_of(*dtype) == Some(code))
}

/// What NumPy calls the element type, without byte order.
fn code_of(dtype: DType) -> Option<&'static str> {
    match dtype {
        DType::Bool => Some("b1"),
        DType::U8 => Some("u1"),
        DType::U32 => Some("u4"),
        DType::I32 => Some("i4"),
        DType::I64 => Some("i8"),
        DType::F16 => Some("f2"),
        DType::BF16 => None,
        DType::F32 => Some("f4"),
        DType::F64 => Some("f8"),
    }
}
