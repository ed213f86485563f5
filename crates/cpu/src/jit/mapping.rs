//! Executable memory.
//!
//! The code of a program has pages of its own, which are written and then made executable. Programs take them from chunks of
//! memory that they share. A process that has filled a chunk asks the system for a huge page in each that follows: to
//! clear one takes as long as to find some fifty small ones, and many programs fit into it.

use super::{Context, Entry};
use memmap2::{MmapMut, MmapOptions};
use rustix::mm::{MprotectFlags, mprotect};
use std::io;
use std::sync::Arc;
use wootz_runtime::ForkLock;

/// Bytes of a chunk: a huge page. Longer code has a chunk of its own.
const CHUNK: usize = 2 << 20;
/// Bytes of a page, on every x86-64.
const PAGE: usize = 4096;

/// Memory for the code of several programs.
#[derive(Debug)]
struct Chunk {
    memory: MmapMut,
    /// Where the first huge page begins.
    offset: usize,
}

impl Chunk {
    fn new(length: usize) -> io::Result<Chunk> {
        let memory = MmapOptions::new().len(length).no_reserve_swap().map_anon()?;
        Ok(Chunk { memory, offset: 0 })
    }

    /// A chunk that begins where a huge page may.
    fn shared() -> io::Result<Chunk> {
        let mut chunk = Chunk::new(2 * CHUNK)?;
        chunk.offset = chunk.memory.as_ptr().align_offset(CHUNK).min(CHUNK);
        Ok(chunk)
    }

    fn at(&self, offset: usize) -> *mut u8 {
        self.memory.as_ptr().wrapping_add(self.offset + offset).cast_mut()
    }
}

/// The chunk that is being filled.
#[derive(Default)]
struct Rest {
    chunk: Option<Arc<Chunk>>,
    used: usize,
}

static REST: ForkLock<Rest> = ForkLock::new();

impl Rest {
    /// Whole pages that nobody else has: a chunk, and where in it they begin.
    fn take(&mut self, length: usize) -> io::Result<(Arc<Chunk>, usize)> {
        if length > CHUNK {
            return Ok((Arc::new(Chunk::new(length)?), 0));
        }
        let chunk = match &self.chunk {
            Some(chunk) if self.used + length <= CHUNK => chunk.clone(),
            before => {
                let chunk = Chunk::shared()?;
                if before.is_some() {
                    advise(chunk.at(0), CHUNK, Advice::Huge);
                }
                self.used = 0;
                self.chunk.insert(Arc::new(chunk)).clone()
            }
        };
        let begin = self.used;
        self.used += length;
        Ok((chunk, begin))
    }
}

/// What the system is told about memory. Nothing depends on whether it listens.
enum Advice {
    /// Huge pages are wanted.
    Huge,
    /// All of it is about to be written: one call is cheaper than a fault for each page.
    Write,
    /// It is not needed any more.
    Drop,
}

#[cfg(target_os = "linux")]
fn advise(begin: *mut u8, length: usize, advice: Advice) {
    use rustix::mm::{Advice as Linux, madvise};
    let advice = match advice {
        Advice::Huge => Linux::LinuxHugepage,
        Advice::Write => Linux::LinuxPopulateWrite,
        Advice::Drop => Linux::LinuxDontNeed,
    };
    // SAFETY: whole pages of a chunk, of which the caller alone has what is in them.
    let _ = unsafe { madvise(begin.cast(), length, advice) };
}

#[cfg(not(target_os = "linux"))]
fn advise(_: *mut u8, _: usize, _: Advice) {}

/// Pages of code, written before they became executable.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: *mut u8,
    length: usize,
    /// What the pages belong to.
    _chunk: Arc<Chunk>,
}

// SAFETY: the pages are this mapping's alone, and are not written after it was made.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Executable memory with these pieces of code one after another, each at the next multiple of 64 bytes. Fails where the
    /// system does not allow it.
    pub(crate) fn new<'c>(pieces: impl Iterator<Item = &'c [u8]> + Clone) -> io::Result<Mapping> {
        let length: usize = pieces.clone().map(|piece| Mapping::place(piece.len())).sum();
        let length = length.max(1).next_multiple_of(PAGE);
        let (chunk, begin) = REST.with(|rest| rest.take(length))?;
        let start = chunk.at(begin);
        let mapping = Mapping { start, length, _chunk: chunk };
        advise(start, length, Advice::Write);
        // SAFETY: pages of this mapping alone, zero and writable until they become executable below.
        let mut rest = unsafe { std::slice::from_raw_parts_mut(start, length) };
        for piece in pieces {
            rest[..piece.len()].copy_from_slice(piece);
            rest = &mut rest[Mapping::place(piece.len())..];
        }
        // SAFETY: nobody holds a reference into these pages.
        unsafe { mprotect(start.cast(), length, MprotectFlags::READ | MprotectFlags::EXEC)? };
        Ok(mapping)
    }

    /// Bytes that a piece of code takes.
    pub(crate) fn place(bytes: usize) -> usize {
        bytes.next_multiple_of(64)
    }

    /// Where the code lies.
    pub(crate) fn address(&self) -> usize {
        self.start.addr()
    }

    /// The code.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: these pages are not written as long as `self` lives.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }

    /// Calls the function that begins at `offset`.
    ///
    /// # Safety
    /// A function written by [`super::write`] begins there, and the context is as that kernel needs it: `crate::code` says how.
    pub(crate) unsafe fn call(&self, offset: usize, context: &mut Context) {
        // SAFETY: the caller's contract; pages are executable and live as long as `self`.
        unsafe {
            let entry: Entry = std::mem::transmute(self.start.add(offset));
            entry(context);
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        advise(self.start, self.length, Advice::Drop);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_of_a_chunk_are_apart() {
        let code = |i: usize| vec![(i % 251) as u8 + 1; 10_000];
        let mut mappings: Vec<_> = (0..300).map(|i| (i, Mapping::new([&code(i)[..]].into_iter()))).collect();
        let long = vec![7; CHUNK + 5];
        mappings.push((6, Mapping::new([&long[..], &code(6)].into_iter())));
        // What is left does not change when others go.
        mappings.retain(|(i, _)| i % 3 == 0);
        let mut addresses = Vec::new();
        for (i, mapping) in mappings {
            let mapping = mapping.expect("executable memory is allowed");
            assert!(mapping.bytes()[..10_000] == code(i), "{i}");
            addresses.push((mapping.address(), mapping.length));
        }
        addresses.sort_unstable();
        assert!(addresses.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0));
    }
}
