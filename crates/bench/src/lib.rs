//! The wootz benchmark suite: compile against execution, measured by a protocol that any stack can speak.
//!
//! Each stack runs in a process of its own and is driven over line-JSON ([`protocol`]); wootz is one of them. Outputs
//! are held to a float64 reference before any time is reported ([`check()`]). Warm samples of all stacks are
//! interleaved round by round, and ratios are taken round by round with a bootstrap interval ([`stats`]); cold times
//! come from fresh processes, from the moment of spawn. `docs/bench-protocol.md` has the whole method.
//!
//! [`run`] measures, [`report`] reads a result, [`compare()`] compares two. A stack in Rust implements
//! [`worker::WorkerModel`] and calls [`worker::serve`].

pub mod cases;
pub mod check;
pub mod clock;
pub mod compare;
pub mod error;
pub mod isa;
mod journal;
pub mod kernels;
pub mod machine;
mod measure;
pub mod options;
pub mod peers;
pub mod process;
pub mod protocol;
pub mod reference;
pub mod result;
mod run;
pub mod runner;
pub mod stats;
mod table;
pub mod worker;

use std::path::Path;

pub use check::check;
pub use compare::{Comparison, Verdict, compare};
pub use error::BenchError;
pub use isa::Isa;
pub use journal::JOURNAL_FILE;
pub use options::{Plan, RunOptions};
pub use protocol::{Mode, Model};
pub use result::{Report, Row};
pub use run::run;
pub use runner::Runner;

/// Reads the result of an earlier run: its folder or its `result.json`. Errors if it is absent or of another version.
pub fn report(path: &Path) -> Result<Report, BenchError> {
    Report::read(path)
}
