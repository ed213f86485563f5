//! Executable memory.

use super::{Context, Entry};
use memmap2::{Mmap, MmapOptions};

/// Pages of code, written before they became executable.
#[derive(Debug)]
pub(crate) struct Mapping {
    pages: Mmap,
}

impl Mapping {
    /// Executable memory with these pieces of code one after another, each at the next multiple of 64 bytes. Fails where the
    /// system does not allow it.
    pub(crate) fn new<'c>(pieces: impl Iterator<Item = &'c [u8]> + Clone) -> std::io::Result<Mapping> {
        let length: usize = pieces.clone().map(|piece| Mapping::place(piece.len())).sum();
        // All pages are written: one call is cheaper than a fault for each.
        let mut pages = MmapOptions::new().len(length.max(1)).populate().map_anon()?;
        let mut rest = &mut pages[..];
        for piece in pieces {
            rest[..piece.len()].copy_from_slice(piece);
            rest = &mut rest[Mapping::place(piece.len())..];
        }
        Ok(Mapping { pages: pages.make_exec()? })
    }

    /// Bytes that a piece of code takes.
    pub(crate) fn place(bytes: usize) -> usize {
        bytes.next_multiple_of(64)
    }

    /// Where the code lies.
    pub(crate) fn address(&self) -> usize {
        self.pages.as_ptr().addr()
    }

    /// The code.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.pages
    }

    /// Calls the function that begins at `offset`.
    ///
    /// # Safety
    /// A function written by [`super::write`] begins there, and the context is as that kernel needs it: `crate::code` says how.
    pub(crate) unsafe fn call(&self, offset: usize, context: &mut Context) {
        // SAFETY: the caller's contract; pages are executable and live as long as `self`.
        unsafe {
            let entry: Entry = std::mem::transmute(self.pages.as_ptr().add(offset));
            entry(context);
        }
    }
}
