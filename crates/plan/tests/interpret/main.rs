//! Plans against graphs: every plan is run by a naive interpreter that watches every byte, and compared with the reference
//! evaluation of the graph.

// A test that cannot go on has failed, in a helper as in the test itself.
#![allow(clippy::unwrap_used)]

mod cases;
mod check;
mod graphs;
mod kernel;
mod machine;
mod memory;
mod random;
mod regions;
mod samples;
mod training;
