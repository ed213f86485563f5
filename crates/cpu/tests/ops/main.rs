//! The CPU backend against the reference interpreter.

mod samples;
mod support;
