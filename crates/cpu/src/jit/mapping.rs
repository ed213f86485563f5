//! Executable memory.

use super::{Context, Entry};
use memmap2::{Mmap, MmapOptions};

/// Pages of code, written before they became executable.
#[derive(Debug)]
pub(crate) struct Mapping {
    pages: Mmap,
}

impl Mapping {
    /// Executable memory with these bytes. Fails where the system does not allow it.
    pub(crate) fn new(code: &[u8]) -> std::io::Result<Mapping> {
        // All pages are written: one call is cheaper than a fault for each.
        let mut pages = MmapOptions::new().len(code.len().max(1)).populate().map_anon()?;
        pages[..code.len()].copy_from_slice(code);
        Ok(Mapping { pages: pages.make_exec()? })
    }

    /// Where the code lies.
    pub(crate) fn address(&self) -> usize {
        self.pages.as_ptr().addr()
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
