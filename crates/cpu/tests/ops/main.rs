//! The CPU backend against the reference interpreter.

mod cancel;
mod check;
mod drops;
mod fallback;
mod graphs;
mod math;
mod memory;
mod samples;
mod session;
mod small;
mod sums;
mod support;
