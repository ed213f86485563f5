//! Which process this is, without asking the system at every session.

// Reason: the C library calls a function of ours in a forked child.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Forks between the process that first asked and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// A process, as whoever runs in it knows it. A child made by other means than `fork` takes itself for its parent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    forks: u32,
    /// Told apart by its number where forks cannot be counted.
    id: Option<u32>,
}

impl Process {
    /// The process that runs this.
    pub(super) fn current() -> Process {
        let id = (!are_counted()).then(std::process::id);
        Process { forks: FORKS.load(Ordering::Relaxed), id }
    }

    /// Whether this is the process that runs.
    pub(super) fn is_current(self) -> bool {
        self.forks == FORKS.load(Ordering::Relaxed) && self.id.is_none_or(|id| id == std::process::id())
    }
}

/// Has forks counted, if they can be.
fn are_counted() -> bool {
    static ARE_COUNTED: AtomicBool = AtomicBool::new(false);
    // No lock, which a fork could leave taken: two threads may both register, and a fork then counts twice.
    let are = ARE_COUNTED.load(Ordering::Relaxed) || register();
    ARE_COUNTED.store(are, Ordering::Relaxed);
    are
}

#[cfg(unix)]
fn register() -> bool {
    extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: what it calls in a child does nothing but add to an atomic.
    unsafe { libc::pthread_atfork(None, None, Some(in_child)) == 0 }
}

/// There are no forks.
#[cfg(not(unix))]
fn register() -> bool {
    true
}
