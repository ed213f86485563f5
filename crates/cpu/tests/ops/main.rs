//! The CPU backend against the reference interpreter.

mod check;
mod graphs;
mod samples;
mod support;
