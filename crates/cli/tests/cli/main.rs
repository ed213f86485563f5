//! The `wootz` command from outside: what it prints, how it ends, what it leaves behind.

// Reason: helpers of tests may panic as tests do.
#![allow(clippy::unwrap_used)]

mod bench;
mod common;
mod histfactory;
mod inspect;
mod kernels;
mod run;
