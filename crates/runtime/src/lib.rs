//! Compiling and running: the [`Backend`] trait, programs, sessions, parameters and the program cache.
//!
//! This crate knows no op and no kernel.

mod backend;

pub use backend::{
    Backend, BackendError, BackendOptions, Bindings, Description, Executable, Instance, KernelInfo, Prepared, Stages,
    Unavailable,
};
