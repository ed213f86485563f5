//! Benchmarks of single kernels: one program against loops written by hand, against what memory allows, and against
//! other stacks.
//!
//! A [`Case`] has *contenders*. One is its subject; every other one gets a ratio, the subject's time over its own,
//! taken round by round. Contenders in this process are closures over the same operands; other stacks run in worker
//! processes ([`Peer`]). As in the suite, rounds are interleaved and rotated, and nobody is timed whose first result was
//! wrong.

mod measure;
mod peer;
mod report;
mod table;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Isa;
pub use crate::cases::Tensor;
pub use measure::measure;
pub use peer::{Peer, Script};
pub use report::{KERNELS_VERSION, Measured, Outcome, Report, Row, Verdict};

/// Something that is timed.
pub trait Contender {
    /// Its name in the table.
    fn name(&self) -> &str;

    /// Runs once.
    fn step(&mut self) -> Result<(), String>;

    /// What the *first* step computed; `None` for loops whose result has no meaning (bandwidth).
    fn output(&mut self) -> Result<Option<Vec<f64>>, String>;

    /// Runs `iterations` times; nanoseconds of what is measured.
    fn sample(&mut self, iterations: u64) -> Result<u64, String> {
        let start = crate::clock::monotonic_ns();
        for _ in 0..iterations {
            self.step()?;
        }
        Ok(crate::clock::monotonic_ns() - start)
    }
}

/// One benchmark.
pub struct Case {
    /// What is computed, with sizes and dtype.
    pub name: String,
    /// Threads every contender may use.
    pub threads: usize,
    /// What a step's time is shown by.
    pub per: Per,
    /// What everybody must compute; empty if nothing is checked.
    pub expected: Vec<f64>,
    /// Largest error, relative to the largest magnitude of `expected`.
    pub tolerance: f64,
    /// The name of the contender that the others are compared with.
    pub subject: String,
    /// Everybody in this process.
    pub contenders: Vec<Box<dyn Contender>>,
    /// Stacks in processes of their own that take part.
    pub peers: Vec<Peer>,
    /// What peers compute on.
    pub inputs: Vec<Tensor>,
    /// A text that peers read as a file, such as a statistical workspace.
    pub document: Option<String>,
    /// What should be reached.
    pub goals: Vec<Goal>,
}

/// What a step's time is shown by, besides itself.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// Nothing.
    Step,
    /// Time an item.
    Items {
        /// Items in a step.
        count: u64,
        /// What one is called.
        unit: String,
    },
    /// Gigabytes a second.
    Bytes(u64),
}

impl Per {
    /// Nanoseconds an element.
    pub fn elements(count: usize) -> Per {
        Per::Items { count: count as u64, unit: "element".to_owned() }
    }
}

/// What the subject should reach.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Goal {
    /// A time over that of another contender.
    Ratio {
        /// The other contender.
        against: String,
        /// The largest ratio.
        at_most: f64,
    },
    /// A time an item, or a step, in nanoseconds.
    Time {
        /// The largest time.
        at_most_ns: f64,
    },
}

/// How to measure.
#[derive(Debug, Clone)]
pub struct Options {
    /// Rounds that count (at least 10).
    pub rounds: usize,
    /// Rounds before them.
    pub warmup_rounds: usize,
    /// Shortest duration of a sample.
    pub sample_time: Duration,
    /// Names of peers to leave out of every case.
    pub without: Vec<String>,
    /// The instruction set that peers are held to that can be.
    pub isa: Option<Isa>,
    /// How long a peer may take to answer.
    pub timeout: Duration,
    /// Somebody whose samples of a case have taken this long together gets no more of them, but always one.
    pub budget: Option<Duration>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            rounds: 10,
            warmup_rounds: 2,
            sample_time: Duration::from_millis(20),
            without: Vec::new(),
            isa: None,
            timeout: Duration::from_secs(300),
            budget: None,
        }
    }
}

/// `len` numbers, uniform in ±`bound`, that depend on `seed` and `name` alone.
pub fn uniform(seed: u64, name: &str, shape: &[usize], bound: f32) -> Tensor {
    crate::cases::uniform(seed, name, shape, bound)
}
