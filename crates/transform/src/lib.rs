//! Transformations of graphs: each takes a [`Graph`](wootz_ir::Graph) and gives a new one, so that they compose in any order.
//!
//! | function | new inputs | new outputs |
//! |---|---|---|
//! | [`vjp`] | `ct.<output>` for every float output | `grad.<input>` for the inputs asked for |
//! | [`grad`] | | `grad.<input>`, of one scalar output |
//! | [`jvp`] | `tangent.<input>` for the inputs asked for | `tangent.<output>` for every float output |
//! | [`vmap`] | | the same, with a batch axis |
//! | [`hessian`], [`jacfwd`], [`jacrev`] | | `hessian.<input>.<input>`, `jac.<output>.<input>` |
//! | [`specialize`] | | the same, symbols replaced by numbers |
//!
//! The original inputs come first and the original outputs are kept, with their aliases; new outputs alias nothing. A name
//! that is taken already gets `.2`, `.3`, … appended, as for the second `grad.x` of a gradient of a gradient.
//!
//! ```
//! use wootz_ir::{Builder, DType, Graph, HostTensor, Input, Output, Role, TensorType, eval};
//!
//! // loss(x) = Σ x³
//! let mut b = Builder::new();
//! let x = b.param(TensorType::new(DType::F64, [2usize]));
//! let square = b.mul(x, x)?;
//! let cube = b.mul(square, x)?;
//! let loss = b.sum_all(cube)?;
//! let graph = Graph {
//!     inputs: vec![Input { name: "x".into(), role: Role::Param }],
//!     outputs: vec![Output { name: "loss".into(), alias: None }],
//!     body: b.finish(&[loss]).into(),
//! };
//!
//! let gradient = wootz_transform::grad(&graph, 0, &[0])?;
//! assert_eq!(&*gradient.outputs[1].name, "grad.x");
//! let at = HostTensor::from_f64(DType::F64, &[2], &[1.0, 2.0]);
//! let out = eval::region(&gradient.body, &[at.clone()])?;
//! assert_eq!(out[1].to_f64(), [3.0, 12.0]);
//!
//! let hessian = wootz_transform::hessian(&graph, 0, &[0])?;
//! let out = eval::region(&hessian.body, &[at])?;
//! assert_eq!(out.last().unwrap().to_f64(), [6.0, 0.0, 0.0, 12.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Inside, every transformation walks a region node by node and asks each op for its rule. Zero cotangents and tangents are
//! absent, not tensors of zeros, until a signature requires one; what a result does not depend on is not built. A region
//! that several ops share (`call`s of one block) is transformed once and stays shared: see [`Transforms`].

mod error;
mod extract;
mod grad;
mod jvp;
mod signature;
mod specialize;
mod transforms;
mod vjp;
mod vmap;

pub use error::TransformError;
pub use grad::{grad, hessian, jacfwd, jacrev};
pub use jvp::jvp;
pub use specialize::{SpecializeError, specialize, specialize_to};
pub use transforms::Transforms;
pub use vjp::vjp;
pub use vmap::vmap;
