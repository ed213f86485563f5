//! The safetensors format: a length, a JSON header, the tensors' bytes without gaps.
//!
//! Format: <https://github.com/huggingface/safetensors#format>. The header is parsed and checked by the `safetensors`
//! crate; the data goes from the file into the tensors without a copy between.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::ser::{Serialize, SerializeMap, Serializer};
use wootz_ir::{DType, HostTensor};

use crate::tensor;
use crate::{Error, TensorFile, write_atomically};

const FORMAT: &str = "safetensors";
/// The longest header that readers of the format accept.
const MAX_HEADER: u64 = 100_000_000;
/// The header's key for metadata, which therefore cannot name a tensor.
const METADATA_KEY: &str = "__metadata__";

/// Reads all tensors and the metadata of `path`.
///
/// # Errors
/// [`Error::Read`], [`Error::Malformed`], [`Error::MalformedTensor`], [`Error::UnsupportedDType`].
pub fn read(path: &Path) -> Result<TensorFile, Error> {
    Reader::open(path)?.read_all()
}

/// Writes `contents` to `path`; a reader sees the old file or the new one, never a part. The same contents always
/// make the same bytes.
///
/// # Errors
/// [`Error::Write`], and [`Error::BadName`] for a tensor called `__metadata__`.
pub fn write(path: &Path, contents: &TensorFile) -> Result<(), Error> {
    let layout = Layout::of(contents)?;
    write_atomically(path, |writer| layout.write(writer))
}

/// Reads all tensors and the metadata from `bytes`; errors call the file `label`.
///
/// # Errors
/// As [`read`].
pub fn from_bytes(bytes: &[u8], label: &str) -> Result<TensorFile, Error> {
    Reader::new(Cursor::new(bytes), Path::new(label))?.read_all()
}

/// The bytes that [`write()`] would write.
///
/// # Errors
/// [`Error::BadName`] for a tensor called `__metadata__`.
pub fn to_bytes(contents: &TensorFile) -> Result<Vec<u8>, Error> {
    let layout = Layout::of(contents)?;
    let mut bytes = Vec::new();
    layout.write(&mut bytes).map_err(|source| Error::Write { path: PathBuf::from("memory"), source })?;
    Ok(bytes)
}

/// An open file whose header has been read and checked; tensors are read when they are asked for.
pub struct Reader<R> {
    stream: R,
    path: PathBuf,
    header: Metadata,
    /// Where the tensors' bytes begin.
    data: u64,
}

impl Reader<File> {
    /// Opens `path` and reads its header.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Malformed`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| Error::read(path, source))?;
        Reader::new(file, path)
    }
}

impl<R: Read + Seek> Reader<R> {
    /// Reads the header from `stream`; errors call the file `path`.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Malformed`].
    pub fn new(mut stream: R, path: &Path) -> Result<Self, Error> {
        let io = |source| Error::read(path, source);
        let malformed = |reason: String| Error::malformed(path, FORMAT, reason);
        let total = stream.seek(SeekFrom::End(0)).map_err(io)?;
        stream.seek(SeekFrom::Start(0)).map_err(io)?;

        let Some(after_length) = total.checked_sub(8) else {
            return Err(malformed(format!("{total} bytes are too few for the header's length")));
        };
        let mut length = [0; 8];
        stream.read_exact(&mut length).map_err(io)?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER {
            return Err(malformed(format!(
                "its header claims {length} bytes, the most allowed are {MAX_HEADER}"
            )));
        }
        if length > after_length {
            return Err(malformed(format!(
                "its header claims {length} bytes, only {after_length} are there: truncated?"
            )));
        }
        let mut text = vec![0; length as usize];
        stream.read_exact(&mut text).map_err(io)?;
        let header: Metadata =
            serde_json::from_slice(&text).map_err(|error| malformed(format!("bad header: {error}")))?;
        let (data, there) = (8 + length, after_length - length);
        let needed = header.data_len() as u64;
        if needed != there {
            return Err(malformed(format!("its tensors take {needed} bytes, {there} are there: truncated?")));
        }
        Ok(Self { stream, path: path.to_path_buf(), header, data })
    }

    /// The tensors' names, in the order of their bytes.
    pub fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    /// The metadata; empty where the file has none.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        self.header.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Element type and dims of the tensor `name`, from the header alone.
    ///
    /// # Errors
    /// [`Error::NoTensor`], [`Error::UnsupportedDType`].
    pub fn info(&self, name: &str) -> Result<(DType, &[usize]), Error> {
        let info = self.entry(name)?;
        Ok((self.dtype(name, info)?, &info.shape))
    }

    /// Reads the tensor `name`.
    ///
    /// # Errors
    /// [`Error::NoTensor`], [`Error::UnsupportedDType`], [`Error::MalformedTensor`], [`Error::Read`].
    pub fn tensor(&mut self, name: &str) -> Result<HostTensor, Error> {
        let info = self.entry(name)?;
        let dtype = self.dtype(name, info)?;
        let (start, end) = info.data_offsets;
        let dims = info.shape.clone();
        self.stream
            .seek(SeekFrom::Start(self.data + start as u64))
            .map_err(|source| Error::read(&self.path, source))?;
        tensor::read(&mut self.stream, dtype, &dims, (end - start) as u64)
            .map_err(|reason| Error::tensor(&self.path, name, reason))
    }

    fn entry(&self, name: &str) -> Result<&TensorInfo, Error> {
        self.header.info(name).ok_or_else(|| Error::NoTensor {
            path: self.path.clone(),
            tensor: name.to_owned(),
            names: self.names(),
        })
    }

    fn dtype(&self, name: &str, info: &TensorInfo) -> Result<DType, Error> {
        dtype_from_file(info.dtype)
            .ok_or_else(|| Error::unsupported(&self.path, name, format!("{:?}", info.dtype)))
    }

    fn read_all(mut self) -> Result<TensorFile, Error> {
        let mut file = TensorFile { metadata: self.metadata(), ..TensorFile::default() };
        for name in self.names() {
            let tensor = self.tensor(&name)?;
            file.tensors.insert(name, tensor);
        }
        Ok(file)
    }
}

/// What goes where in a file to be written.
struct Layout<'a> {
    /// Wide element types first, as the format asks, so that every tensor is aligned to its elements; then by name.
    tensors: Vec<(&'a str, &'a HostTensor)>,
    metadata: &'a BTreeMap<String, String>,
}

impl<'a> Layout<'a> {
    fn of(contents: &'a TensorFile) -> Result<Self, Error> {
        if contents.tensors.contains_key(METADATA_KEY) {
            return Err(Error::BadName {
                name: METADATA_KEY.to_owned(),
                format: FORMAT,
                reason: "the format keeps that key for the metadata",
            });
        }
        let mut tensors: Vec<_> =
            contents.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        tensors.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.dtype().size()));
        Ok(Self { tensors, metadata: &contents.metadata })
    }

    fn write(&self, writer: &mut impl Write) -> io::Result<()> {
        let mut header = serde_json::to_vec(self)?;
        // The format asks for data that starts on a multiple of 8 and names the space as filler.
        header.resize(header.len().next_multiple_of(8), b' ');
        writer.write_all(&(header.len() as u64).to_le_bytes())?;
        writer.write_all(&header)?;
        self.tensors.iter().try_for_each(|(_, tensor)| writer.write_all(tensor.as_bytes()))
    }
}

/// The JSON header. Written here and not by the `safetensors` crate, which takes the metadata in a hash map's order:
/// the same contents must make the same bytes.
impl Serialize for Layout<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Entry<'a> {
            dtype: Dtype,
            shape: &'a [usize],
            data_offsets: (usize, usize),
        }
        let mut map = serializer.serialize_map(None)?;
        if !self.metadata.is_empty() {
            map.serialize_entry(METADATA_KEY, self.metadata)?;
        }
        let mut start = 0;
        for (name, tensor) in &self.tensors {
            let end = start + tensor.as_bytes().len();
            let entry = Entry {
                dtype: dtype_to_file(tensor.dtype()),
                shape: tensor.dims(),
                data_offsets: (start, end),
            };
            map.serialize_entry(name, &entry)?;
            start = end;
        }
        map.end()
    }
}

fn dtype_to_file(dtype: DType) -> Dtype {
    match dtype {
        DType::Bool => Dtype::BOOL,
        DType::U8 => Dtype::U8,
        DType::U32 => Dtype::U32,
        DType::I32 => Dtype::I32,
        DType::I64 => Dtype::I64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
    }
}

fn dtype_from_file(dtype: Dtype) -> Option<DType> {
    DType::ALL.into_iter().find(|ours| dtype_to_file(*ours) == dtype)
}
