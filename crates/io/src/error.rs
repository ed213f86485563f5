//! What can go wrong between a file and a tensor.

use std::io;
use std::path::{Path, PathBuf};

use wootz_ir::DType;

/// A file that cannot be read or written, or whose contents are wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to open or read the file.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operating system refused to write the file; nothing was left behind.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file as a whole is not what its format says.
    #[error("`{}` is not a valid {format} file: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The format: `safetensors`, `npy` or `npz`.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// One tensor of the file is not what the file says it is.
    #[error("tensor `{tensor}` in `{}`: {reason}", path.display())]
    MalformedTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong.
        reason: String,
    },
    /// The file holds a tensor of an element type that there is no [`DType`] for.
    #[error("tensor `{tensor}` in `{}` has dtype `{dtype}`, which is not supported ({})", path.display(), supported())]
    UnsupportedDType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The element type, as the file names it.
        dtype: String,
    },
    /// The format to be written has no such element type.
    #[error(
        "tensor `{tensor}` has dtype {dtype}, which {format} files cannot hold; write a safetensors file"
    )]
    NotInFormat {
        /// The tensor.
        tensor: String,
        /// Its element type.
        dtype: DType,
        /// The format: `npy` or `npz`.
        format: &'static str,
    },
    /// The name cannot be used for a tensor in this format.
    #[error("`{name}` cannot name a tensor in a {format} file: {reason}")]
    BadName {
        /// The name.
        name: String,
        /// The format: `safetensors` or `npz`.
        format: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// The file has no tensor of this name.
    #[error("`{}` has no tensor `{tensor}` (it has {})", path.display(), listed(names))]
    NoTensor {
        /// The file.
        path: PathBuf,
        /// The name that was asked for.
        tensor: String,
        /// The names that are there.
        names: Vec<String>,
    },
}

impl Error {
    pub(crate) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_path_buf(), source }
    }

    pub(crate) fn malformed(path: &Path, format: &'static str, reason: impl ToString) -> Self {
        Self::Malformed { path: path.to_path_buf(), format, reason: reason.to_string() }
    }

    pub(crate) fn tensor(path: &Path, tensor: &str, reason: impl ToString) -> Self {
        Self::MalformedTensor {
            path: path.to_path_buf(),
            tensor: tensor.to_owned(),
            reason: reason.to_string(),
        }
    }

    pub(crate) fn unsupported(path: &Path, tensor: &str, dtype: impl ToString) -> Self {
        Self::UnsupportedDType {
            path: path.to_path_buf(),
            tensor: tensor.to_owned(),
            dtype: dtype.to_string(),
        }
    }
}

fn supported() -> String {
    DType::ALL.map(DType::name).join(", ")
}

/// The first few names: a checkpoint has thousands.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 8;
    match names.len() {
        0 => "none".to_owned(),
        n if n <= SHOWN => names.join(", "),
        n => format!("{}, and {} more", names[..SHOWN].join(", "), n - SHOWN),
    }
}
