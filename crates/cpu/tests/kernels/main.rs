//! Kernels by themselves: what executes them gives, to the bit, what the reference interpreter gives, and touches nothing
//! outside of the kernel's buffers.

// A test that cannot go on has failed, in a helper as in the test itself. Guard pages are made by the system.
#![allow(clippy::unwrap_used, unsafe_code)]
#![cfg(unix)]

mod epilogue;
mod execute;
mod executors;
mod guard;
mod guard_pages;
mod random;
