//! Tests of the transformations: every op's rules at its samples, and graphs.

// A test that cannot go on has failed, in a helper as in the test itself.
#![allow(clippy::unwrap_used)]

mod common;
mod control;
mod graphs;
mod rules;
mod sharing;
mod specialize;
