//! The wootz graph: what every other crate builds, transforms, plans or runs.
//!
//! * [`DType`], [`Dim`], [`Shape`], [`TensorType`], [`HostTensor`]: values and their types. Dims may be symbolic.
//! * [`Op`]: the closed set of operations. Each family is one file in [`ops`] that holds the op's name, type rule,
//!   reference evaluation, derivative and batching rules, and sample inputs.
//! * [`Region`]: a closed list of nodes in single-assignment form; ops such as `while` own regions.
//! * [`Graph`]: a region with a named signature (inputs with roles, outputs with aliases).
//! * [`Builder`]: the only way to make a region; it type-checks every op as it is added.
//! * [`verify`]: checks a graph from scratch. [`text`]: prints and parses it. [`eval`]: runs it, slowly and obviously.
//! * [`Rows`]: ragged lists as dense arrays, for graphs over sparse data.
//! * [`Target`]: what a backend can do, as plain data, for passes and plan.
//!
//! This crate knows nothing of backends, models or Python.
//!
//! ```
//! use wootz_ir::{Builder, DType, HostTensor, TensorType, eval};
//!
//! let mut b = Builder::new();
//! let x = b.param(TensorType::new(DType::F32, [2usize, 3]));
//! let y = b.mul(x, x)?;
//! let z = b.sum(y, &[1])?;
//! let region = b.finish(&[z]);
//! let input = HostTensor::from_f64(DType::F32, &[2, 3], &[1., 2., 3., 4., 5., 6.]);
//! assert_eq!(eval::region(&region, &[input])?[0].to_f64(), [14.0, 77.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attr;
mod builder;
mod dim;
mod dtype;
mod error;
pub mod eval;
mod graph;
pub mod ops;
mod rows;
mod shape;
mod target;
mod tensor;
pub mod text;
mod verify;

pub use attr::{Attr, AttrError, Attrs};
pub use builder::Builder;
pub use dim::{Dim, DimMismatch, Poly, Solver};
pub use dtype::{DType, F64, UnknownDType};
pub use error::{TypeError, TypeErrorKind};
pub use graph::{Def, Graph, Input, Node, NodeId, Output, Region, Role, Site, Value};
pub use ops::Op;
pub use rows::Rows;
pub use shape::{Axes, Dims, Shape, TensorType};
pub use target::Target;
pub use tensor::{Element, HostTensor, TensorError};
pub use verify::{VerifyError, verify, verify_region};
