//! One kernel at a time, for tests and fuzzers of what executes kernels. No part of the interface.

// Reason: kernels work on untyped memory through pointers.
#![allow(unsafe_code)]

use crate::isa::Isa;
use crate::vm::Code;
use std::ops::Range;
use wootz_plan::Kernel;

/// What executes a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executor {
    /// The tile VM, which executes every kernel.
    Vm,
}

/// A kernel compiled by itself.
#[derive(Debug)]
pub struct Compiled {
    code: Code,
}

impl Compiled {
    /// Compiles a well-formed kernel for an available instruction set; `None` if the executor does not take it.
    #[must_use]
    pub fn new(kernel: &Kernel, executor: Executor, isa: Isa) -> Option<Compiled> {
        match executor {
            Executor::Vm => Some(Compiled { code: Code::compile(kernel, isa) }),
        }
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
    /// As [`Code::run`].
    pub unsafe fn run(&self, args: &[*mut u8], units: Range<usize>, work: *mut u8) {
        // SAFETY: the caller's contract.
        unsafe { self.code.run(args, units, work) }
    }
}
