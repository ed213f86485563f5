//! Tests of the transformations: every op's rules at its samples, and graphs.

mod common;
mod control;
mod graphs;
mod rules;
mod sharing;
mod specialize;
