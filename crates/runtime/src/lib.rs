//! Compiling and running wootz graphs.
//!
//! [`compile`] turns a [`Definition`] into a [`Program`] through a [`Backend`]: specialise, passes, backend; equal graphs come
//! from the program cache. A program is immutable and shared. It runs on [`Params`] (inference) or steps a [`State`]
//! (training); a [`Session`] owns memory and bound slots and runs without allocating.
//!
//! This crate knows no op and no kernel.

mod backend;
mod bindings;
mod cache;
mod compile;
mod error;
mod fork;
pub mod nan;
mod params;
mod profile;
mod program;
mod reference;
mod report;
mod session;
mod signature;
mod state;

pub use backend::{
    Backend, BackendError, BackendOptions, Bindings, Description, Executable, Instance, KernelInfo, Prepared,
    Stages, Unavailable, Unmoved,
};
pub use cache::{CacheInfo, cache_info, clear_cache, set_cache_limit};
pub use compile::{Definition, Options, compile, specialise};
pub use error::{CompileError, RunError};
pub use fork::ForkLock;
pub use params::Params;
pub use profile::{Bound, Limit, Profile, Span, StepId, StepProfile, Trace};
pub use program::{Outputs, Program, StepError};
pub use reference::Reference;
pub use report::Report;
pub use session::Session;
pub use signature::{InputSpec, OutputSpec, Signature};
pub use state::State;
