//! The memory of one run at a time.

use super::{Program, Routine};
use wootz_plan::Place;

/// A cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Zeroed memory, aligned to cache lines.
pub(crate) struct Bytes {
    lines: Vec<Line>,
}

impl Bytes {
    /// `None` if there is not enough memory.
    pub(crate) fn zeroed(bytes: usize) -> Option<Bytes> {
        let count = bytes.div_ceil(64);
        let mut lines = Vec::new();
        lines.try_reserve_exact(count).ok()?;
        lines.resize(count, Line([0; 64]));
        Some(Bytes { lines })
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.lines.as_mut_ptr().cast()
    }

    fn as_ptr(&self) -> *mut u8 {
        self.lines.as_ptr().cast::<u8>().cast_mut()
    }
}

/// Several pieces of memory, such as the prepared buffers.
pub(crate) struct Buffers {
    pieces: Vec<Bytes>,
}

// SAFETY: written only while exclusively borrowed, by `Program::prepare`.
unsafe impl Sync for Buffers {}
// SAFETY: owns plain memory.
unsafe impl Send for Buffers {}

impl Buffers {
    /// Zeroed pieces of these sizes; the size that could not be had as an error.
    pub(crate) fn zeroed(sizes: &[usize]) -> Result<Buffers, usize> {
        let pieces =
            sizes.iter().map(|bytes| Bytes::zeroed(*bytes).ok_or(*bytes)).collect::<Result<_, _>>()?;
        Ok(Buffers { pieces })
    }

    /// A pointer to a piece. It may be written through only while the buffers are exclusively the caller's.
    pub(crate) fn piece(&self, index: usize) -> *mut u8 {
        self.pieces[index].as_ptr()
    }
}

/// The memory of one run at a time.
pub(crate) struct Memory {
    pub(super) arena: Bytes,
    /// Working memory of the threads, one after another.
    pub(super) work: Bytes,
    /// Scratch memory of products.
    pub(super) scratch: Bytes,
    /// The pointer tables of all routines.
    pub(super) table: Vec<*mut u8>,
    /// The arguments of the kernel being run.
    pub(super) args: Vec<*mut u8>,
}

// SAFETY: the pointers to the memory itself and to the program's constants move with it; the others are used only during a run, whose
// caller vouches for them.
unsafe impl Send for Memory {}

impl Memory {
    /// Memory for a program; the number of bytes that could not be had as an error.
    pub(crate) fn new(program: &Program) -> Result<Memory, usize> {
        let zeroed = |bytes: usize| Bytes::zeroed(bytes).ok_or(bytes);
        let mut memory = Memory {
            arena: zeroed(program.arena())?,
            work: zeroed(program.work * program.threads)?,
            scratch: zeroed(program.scratch)?,
            table: vec![std::ptr::null_mut(); program.table],
            args: vec![std::ptr::null_mut(); program.most_args],
        };
        memory.bind_own(program.main());
        Ok(memory)
    }

    /// Says where a [foreign](Program::foreign) buffer lies, until it is said anew.
    pub(crate) fn bind(&mut self, entry: usize, at: *mut u8) {
        self.table[entry] = at;
    }

    /// Fills in what stays the same in the table of the plan itself.
    fn bind_own(&mut self, main: &Routine) {
        let arena = self.arena.as_mut_ptr();
        for (slot, place) in self.table[main.table..].iter_mut().zip(&main.places) {
            match place {
                Place::Arena(at) => *slot = arena.wrapping_add(*at),
                Place::Constant(i) => *slot = main.constants[*i].as_bytes().as_ptr().cast_mut(),
                Place::Input(_) | Place::Output(_) | Place::Prepared(_) => {}
            }
        }
    }
}
