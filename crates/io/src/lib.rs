//! Tensors in files: bytes from outside, checked before they are believed.
//!
//! * [`safetensors`]: named tensors and string metadata; the format checkpoints and training states are kept in.
//! * [`npy`]: one NumPy array. [`npz`]: a ZIP archive of them.
//! * [`write_atomically`]: a file that is either there as a whole or not at all; what every writer here uses.
//!
//! A malformed, truncated or hostile file gives an [`Error`] that names the file and the tensor; it never panics, and
//! never makes this crate allocate more than the file can hold. A dtype that [`wootz_ir::DType`] lacks is an error,
//! never a conversion.
//!
//! ```
//! use wootz_io::{TensorFile, safetensors};
//! use wootz_ir::HostTensor;
//!
//! let mut file = TensorFile::default();
//! file.tensors.insert("0.bias".to_owned(), HostTensor::from_slice(&[2], &[1.0_f32, -1.0])?);
//! file.metadata.insert("step".to_owned(), "7".to_owned());
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("model.safetensors");
//! safetensors::write(&path, &file)?;
//! let read = safetensors::read(&path)?;
//! assert_eq!(read.tensors["0.bias"].to_f64(), [1.0, -1.0]);
//! assert_eq!(read.metadata["step"], "7");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod atomic;
mod error;
pub mod npy;
pub mod npz;
pub mod safetensors;
mod tensor;

use std::collections::BTreeMap;

use wootz_ir::HostTensor;

pub use atomic::write_atomically;
pub use error::Error;

#[cfg(target_endian = "big")]
compile_error!("the formats are little-endian and are read without conversion");

/// Named tensors, with metadata where the format has a place for it. Sorted by name, so that the same contents always
/// make the same file.
#[derive(Clone, Debug, Default)]
pub struct TensorFile {
    /// The tensors by name.
    pub tensors: BTreeMap<String, HostTensor>,
    /// Free-form text by key.
    pub metadata: BTreeMap<String, String>,
}
