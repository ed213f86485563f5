//! Native CPU backend of wootz: thread pool, matrix multiplication and the instruction sets they are built for.

mod backend;
mod code;
mod exec;
mod fingerprint;

pub mod gemm;
mod instance;
pub mod isa;
#[cfg(all(target_arch = "x86_64", unix))]
mod jit;
#[cfg(not(all(target_arch = "x86_64", unix)))]
#[path = "jit/absent.rs"]
mod jit;
pub mod perf_map;
pub mod pool;
#[doc(hidden)]
pub mod testing;
pub mod vm;
pub mod yardstick;

pub use backend::Cpu;
pub use code::{JIT_ENV, assembly, jit_allowed};
