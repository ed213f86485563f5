//! Native CPU backend of wootz: thread pool, matrix multiplication and the instruction sets they are built for.

pub mod gemm;
pub mod isa;
mod math;
pub mod pool;
pub mod vm;
