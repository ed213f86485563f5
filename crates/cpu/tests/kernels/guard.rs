//! Memory between pages that nobody may touch: an access outside of it ends the process.

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use std::ptr::null_mut;

/// Which end of the memory lies right at a guard page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    Start,
    End,
}

/// Readable and writable bytes between two guard pages.
pub(crate) struct Guarded {
    map: *mut u8,
    mapped: usize,
    data: *mut u8,
    len: usize,
}

impl Guarded {
    /// A copy of some bytes; aligned to their length's largest power of two below 4096 if they lie at the end.
    pub(crate) fn holding(bytes: &[u8], edge: Edge) -> Guarded {
        let page = rustix::param::page_size();
        let room = bytes.len().next_multiple_of(page);
        let mapped = room + 2 * page;
        // SAFETY: a new anonymous mapping at an address of the system's choice.
        let map = unsafe {
            mmap_anonymous(null_mut(), mapped, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
        };
        let map = map.unwrap().cast::<u8>();
        let data = map.wrapping_add(match edge {
            Edge::Start => page,
            Edge::End => page + room - bytes.len(),
        });
        // SAFETY: the guard pages are the mapping's first and last, `data` has room for the bytes between them.
        unsafe {
            mprotect(map.cast(), page, MprotectFlags::empty()).unwrap();
            mprotect(map.add(page + room).cast(), page, MprotectFlags::empty()).unwrap();
            data.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        Guarded { map, mapped, data, len: bytes.len() }
    }

    pub(crate) fn as_mut_ptr(&self) -> *mut u8 {
        self.data
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes that were initialised; whoever wrote through the pointer is done.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, nothing borrows it any more.
        unsafe { munmap(self.map.cast(), self.mapped).unwrap() }
    }
}

/// The process that touches what lies next to the memory is another one: this test, started again.
#[test]
fn guard_pages_end_the_process() {
    const EDGE: &str = "WOOTZ_TEST_TOUCH";
    if let Ok(edge) = std::env::var(EDGE) {
        let (edge, at) = if edge == "start" { (Edge::Start, -1) } else { (Edge::End, 100) };
        let memory = Guarded::holding(&[1; 100], edge);
        // SAFETY: none: the read ends the process, which is what is tested.
        let byte = unsafe { memory.as_mut_ptr().offset(at).read_volatile() };
        panic!("read {byte} outside of the memory");
    }
    for edge in ["start", "end"] {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", "guard::guard_pages_end_the_process"]).env(EDGE, edge);
        let output = again.output().unwrap();
        // A failed test exits with a code; a fault is a signal.
        assert_eq!(output.status.code(), None, "{}", String::from_utf8_lossy(&output.stdout));
    }
}
