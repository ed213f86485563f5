//! JIT.
mod asm;
