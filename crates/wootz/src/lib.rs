//! wootz: define a model once, get a compiled program for it in milliseconds.
//!
//! This crate only gathers the others under one name; each module is a crate of its own. What one usually needs is in the
//! [`prelude`].
//!
//! ```
//! use std::collections::BTreeMap;
//! use wootz::prelude::*;
//!
//! let model = nn::mlp(&[784, 1024, 512, 256, 10]);
//! let traced = nn::trace(&model, &inputs! { x: f32[32, 784] }, Mode::Inference)?;
//! let program = compile(&traced.into(), &BTreeMap::new(), &Cpu::default(), &Options::default())?;
//! let params = program.init(0)?;
//!
//! let images = HostTensor::zeros(DType::F32, &[32, 784])?;
//! let out = program.run(&params, &inputs! { x: images })?;
//! assert_eq!(out.get("logits").unwrap().dims(), [32, 10]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A training step is a program as well. It consumes the state and gives the next one back, in the same memory:
//!
//! ```
//! use std::collections::BTreeMap;
//! use wootz::prelude::*;
//!
//! let step = nn::training(nn::mlp(&[4, 16, 3]), nn::cross_entropy(), nn::adamw(1e-2));
//! let traced = step.trace(&inputs! { x: f32["B", 4], y: i64["B"] })?;
//! let shapes = BTreeMap::from([("x".to_owned(), [2, 4].as_slice().into())]);
//! let program = compile(&traced.into(), &shapes, &Cpu::default(), &Options::default())?;
//!
//! let x = HostTensor::from_slice(&[2, 4], &[5.1f32, 3.5, 1.4, 0.2, 6.3, 3.3, 6.0, 2.5])?;
//! let y = HostTensor::from_slice(&[2], &[0i64, 2])?;
//! let mut state = program.init_state(0)?;
//! let mut losses = Vec::new();
//! for _ in 0..50 {
//!     let (next, out) = program.step(state, &inputs! { x: x.clone(), y: y.clone() })?;
//!     losses.push(out.get("loss").unwrap().to_f64()[0]);
//!     state = next;
//! }
//! assert!(losses[49] < 0.1 * losses[0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use wootz_cpu as cpu;
pub use wootz_histfactory as histfactory;
pub use wootz_io as io;
pub use wootz_ir as ir;
pub use wootz_nn as nn;
pub use wootz_passes as passes;
pub use wootz_plan as plan;
pub use wootz_pycode as pycode;
pub use wootz_runtime as runtime;
pub use wootz_transform as transform;

pub use wootz_cpu::Cpu;
pub use wootz_ir::{DType, Dim, HostTensor, TensorType};
pub use wootz_nn::{Mode, trace, training};
pub use wootz_passes::Optimize;
pub use wootz_runtime::{Options, Params, Program, Session, State, compile};
pub use wootz_transform::{grad, jvp, vjp, vmap};

/// What a program that defines, compiles and runs models needs: `use wootz::prelude::*`.
pub mod prelude {
    pub use crate::{
        Cpu, DType, Dim, HostTensor, Mode, Optimize, Options, Params, Program, Session, State, TensorType,
        compile, inputs, nn,
    };
}

/// Named types, `inputs! { x: f32[32, 784], y: i64["B"] }`, or named tensors, `inputs! { x: images, y: labels }`: an array
/// of pairs.
///
/// In types a size is a number, the name of an unknown size, or anything else that is `Into<Dim>`.
///
/// ```
/// use wootz::{DType, Dim, inputs};
///
/// let types = inputs! { x: f32["B", 4], lr: f64[] };
/// assert_eq!(types[0].1.to_string(), "f32[B, 4]");
/// assert_eq!(types[1], ("lr", wootz::TensorType::scalar(DType::F64)));
/// assert_eq!(inputs! { a: 1, b: 2 }, [("a", 1), ("b", 2)]);
/// ```
#[macro_export]
macro_rules! inputs {
    ($($name:ident : $dtype:ident [ $($dim:expr),* $(,)? ]),+ $(,)?) => {
        [$((
            stringify!($name),
            $crate::TensorType {
                dtype: $crate::inputs!(@dtype $dtype),
                shape: <[$crate::Dim]>::iter(&[$($crate::Dim::from($dim)),*]).collect::<$crate::ir::Shape>(),
            },
        )),+]
    };
    ($($name:ident : $value:expr),* $(,)?) => {
        [$((stringify!($name), $value)),*]
    };
    (@dtype bool) => { $crate::DType::Bool };
    (@dtype u8) => { $crate::DType::U8 };
    (@dtype u32) => { $crate::DType::U32 };
    (@dtype i32) => { $crate::DType::I32 };
    (@dtype i64) => { $crate::DType::I64 };
    (@dtype f16) => { $crate::DType::F16 };
    (@dtype bf16) => { $crate::DType::BF16 };
    (@dtype f32) => { $crate::DType::F32 };
    (@dtype f64) => { $crate::DType::F64 };
}

/// The book's Rust examples, which run as tests of this crate.
#[cfg(doctest)]
mod book {
    #[doc = include_str!("../../../docs/quickstart.md")]
    mod quickstart {}
    #[doc = include_str!("../../../docs/concepts.md")]
    mod concepts {}
}
