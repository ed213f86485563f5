//! One kernel at a time, for tests and fuzzers of what executes kernels. No part of the interface.

// Reason: kernels work on untyped memory through pointers.
#![allow(unsafe_code)]

use crate::code::{Batch, Code};
use crate::isa::Isa;
use crate::vm::Block;
use std::ops::Range;
use std::sync::Arc;
use wootz_plan::Kernel;

/// What executes a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executor {
    /// The tile VM, which executes every kernel.
    Vm,
    /// Machine code, which some kernels and instruction sets have none of.
    Jit,
}

/// A kernel compiled by itself.
#[derive(Debug)]
pub struct Compiled {
    code: Arc<Code>,
}

impl Compiled {
    /// Compiles a well-formed kernel for an available instruction set; `None` if the executor does not take it.
    #[must_use]
    pub fn new(kernel: &Kernel, executor: Executor, isa: Isa) -> Option<Compiled> {
        Compiled::compile(kernel, false, executor, isa)
    }

    /// Compiles the epilogue of a product, run by [`Compiled::run_block`].
    #[must_use]
    pub fn epilogue(kernel: &Kernel, executor: Executor, isa: Isa) -> Option<Compiled> {
        Compiled::compile(kernel, true, executor, isa)
    }

    fn compile(kernel: &Kernel, epilogue: bool, executor: Executor, isa: Isa) -> Option<Compiled> {
        let mut batch = Batch::new(isa, executor == Executor::Jit);
        let code = batch.add(&Arc::new(kernel.clone()), epilogue);
        batch.finish();
        (executor == Executor::Vm || code.declined().is_none()).then_some(Compiled { code })
    }

    /// Independent pieces of work.
    #[must_use]
    pub fn units(&self) -> usize {
        self.code.units()
    }

    /// Bytes of working memory, aligned to 64 bytes and zeroed.
    #[must_use]
    pub fn work_bytes(&self) -> usize {
        self.code.work_bytes()
    }

    /// Runs some of the units.
    ///
    /// # Safety
    /// There is a pointer for every argument of the kernel, aligned for its dtype and valid for every element that the kernel
    /// reads or writes; written arguments overlap no other. `work` is as [`Compiled::work_bytes`] says.
    pub unsafe fn run(&self, args: &[*mut u8], units: Range<usize>, work: *mut u8) {
        // SAFETY: the caller's contract.
        unsafe { self.code.run(args, units, work) }
    }

    /// Runs an epilogue on a block of its product.
    ///
    /// # Safety
    /// As [`Compiled::run`]; the block lies within the kernel's grid and its elements are readable.
    pub unsafe fn run_block(&self, args: &[*mut u8], block: &Block, work: *mut u8) {
        // SAFETY: the caller's contract.
        unsafe { self.code.run_block(args, block, work) }
    }
}
