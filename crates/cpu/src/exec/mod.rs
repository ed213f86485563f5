//! Runs a [`wootz_plan::Plan`].
//!
//! [`Program::compile`] resolves a plan once: kernels become [`vm::Code`](crate::vm::Code), products
//! [`GemmPlan`](crate::gemm::GemmPlan)s, buffers positions in a pointer table. [`Memory`] is everything one run at a time
//! needs; running allocates nothing.

// Reason: steps work on untyped memory through pointers.
#![allow(unsafe_code)]

mod compile;
mod cumsum;
mod epilogue;
mod gather;
mod linalg;
mod memory;
mod product;
mod run;

use crate::code::Code;
use crate::gemm::GemmError;
use crate::isa::Isa;
use crate::jit::Declined;
use crate::pool::PoolError;
use product::Product;
use std::ops::Range;
use std::sync::Arc;
use wootz_ir::HostTensor;
use wootz_plan::{BufferId, CumsumStep, LinalgStep, Place, ScatterStep, SegmentStep};

pub(crate) use compile::plans;
pub(crate) use memory::{Buffers, Bytes, Memory};
pub(crate) use run::{Cancelled, PrepareError};

/// A plan cannot be compiled.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ExecError {
    /// A product cannot be planned.
    #[error(transparent)]
    Gemm(#[from] GemmError),
    /// The thread pool cannot be set up.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

/// A compiled plan and the plans it calls.
pub(crate) struct Program {
    /// The plan itself is the last.
    routines: Vec<Routine>,
    /// Pointers in all tables.
    table: usize,
    /// Most arguments of a kernel.
    most_args: usize,
    /// Bytes of working memory of one thread.
    work: usize,
    /// Bytes of scratch memory of products, shared by all threads.
    scratch: usize,
    /// Most threads used.
    threads: usize,
    /// Instruction set of steps that choose theirs when they run.
    isa: Isa,
    /// Why the tile VM runs kernels, one reason a kernel that it runs.
    declined: Vec<Declined>,
}

/// One compiled plan.
struct Routine {
    /// Its position among the program's routines.
    index: u32,
    prepare: Steps,
    steps: Steps,
    /// What constant buffers point to.
    constants: Vec<HostTensor>,
    /// Where each buffer is.
    places: Vec<Place>,
    /// The buffers that lie in other memory at every run: inputs, outputs, what was prepared.
    foreign: Vec<BufferId>,
    /// The first entry of its pointer table.
    table: usize,
    /// Buffers of inputs and outputs.
    inputs: Vec<BufferId>,
    outputs: Vec<BufferId>,
    arena: usize,
    prepared: Vec<usize>,
}

/// Steps one after another.
#[derive(Default)]
struct Steps {
    ops: Vec<Op>,
    /// Estimated nanoseconds.
    cost: f64,
    /// After how many steps a run asks whether to stop; empty where they take little time.
    pauses: Vec<usize>,
}

/// A step.
enum Op {
    Kernel { code: Arc<Code>, args: Vec<BufferId> },
    Product(Box<Product>),
    Pack { matrix: crate::gemm::Matrix, k: usize, n: usize, from: BufferId, offset: usize, to: BufferId },
    Copy { from: BufferId, to: BufferId, bytes: usize },
    Scatter(Box<ScatterStep>),
    Segment(Box<SegmentStep>),
    Cumsum(Box<CumsumStep>),
    Linalg(Box<LinalgStep>),
    Call { body: Sub, inputs: Vec<BufferId>, outputs: Vec<BufferId> },
    Cond { predicate: BufferId, branches: [Sub; 2], inputs: Vec<BufferId>, outputs: Vec<BufferId> },
    While(Box<Loop>),
    Scan(Box<Scan>),
}

/// A called plan and the buffer that holds its arena.
#[derive(Clone, Copy)]
struct Sub {
    routine: usize,
    scratch: BufferId,
}

struct Loop {
    cond: Sub,
    predicate: BufferId,
    body: Sub,
    captures: Vec<BufferId>,
    carry: Vec<BufferId>,
    next: Vec<BufferId>,
    bytes: Vec<usize>,
}

struct Scan {
    body: Sub,
    length: usize,
    reverse: bool,
    carry: Vec<BufferId>,
    next: Vec<BufferId>,
    bytes: Vec<usize>,
    xs: Vec<(BufferId, usize)>,
    captures: Vec<BufferId>,
    ys: Vec<(BufferId, usize)>,
}

impl Program {
    fn main(&self) -> &Routine {
        self.routines.last().expect("invariant: the plan itself is a routine")
    }

    /// Most threads that a run uses.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Bytes of the arena.
    pub(crate) fn arena(&self) -> usize {
        self.main().arena
    }

    /// Bytes of each prepared buffer.
    pub(crate) fn prepared(&self) -> &[usize] {
        &self.main().prepared
    }

    /// Bytes of working memory of all threads together.
    pub(crate) fn scratch(&self) -> usize {
        self.scratch + self.work * self.threads
    }
}

/// Part `index` of `total` things cut into `parts` parts.
fn part(total: usize, parts: usize, index: usize) -> Range<usize> {
    let (size, longer) = (total / parts, total % parts);
    let start = |i: usize| i * size + i.min(longer);
    start(index)..start(index + 1)
}
