//! Memory between pages that nobody may touch: an access outside of it ends the process.

// Reason: pages are mapped, protected and written through pointers.
#![allow(unsafe_code)]

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use std::ptr::null_mut;

/// Which end of the memory lies right at a guard page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// Its first byte.
    Start,
    /// Its last byte.
    End,
}

/// Readable and writable bytes between two guard pages.
#[derive(Debug)]
pub(crate) struct Guarded {
    map: *mut u8,
    mapped: usize,
    data: *mut u8,
    len: usize,
}

impl Guarded {
    /// A copy of some bytes; aligned to their length's largest power of two below 4096 if they lie at the end.
    ///
    /// # Panics
    /// If the system gives no memory: a test cannot go on.
    #[must_use]
    pub(crate) fn holding(bytes: &[u8], edge: Edge) -> Guarded {
        let page = rustix::param::page_size();
        let room = bytes.len().next_multiple_of(page);
        let mapped = room + 2 * page;
        // SAFETY: a new anonymous mapping at an address of the system's choice.
        let map = unsafe {
            mmap_anonymous(null_mut(), mapped, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
        };
        let map = map.expect("the system has memory").cast::<u8>();
        let data = map.wrapping_add(match edge {
            Edge::Start => page,
            Edge::End => page + room - bytes.len(),
        });
        // SAFETY: the guard pages are the mapping's first and last, `data` has room for the bytes between them.
        unsafe {
            mprotect(map.cast(), page, MprotectFlags::empty()).expect("pages of this mapping");
            mprotect(map.add(page + room).cast(), page, MprotectFlags::empty())
                .expect("pages of this mapping");
            data.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        Guarded { map, mapped, data, len: bytes.len() }
    }

    /// The first byte.
    #[must_use]
    pub(crate) fn as_mut_ptr(&self) -> *mut u8 {
        self.data
    }

    /// The bytes. Nothing may write through the pointer meanwhile.
    #[must_use]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes that were initialised; whoever wrote through the pointer is done.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, nothing borrows it any more.
        unsafe { munmap(self.map.cast(), self.mapped).expect("this mapping") }
    }
}
