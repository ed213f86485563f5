//! The CPU backend against the reference interpreter.

mod cancel;
mod check;
mod graphs;
mod math;
mod memory;
mod samples;
mod sums;
mod support;
