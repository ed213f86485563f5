//! What the pool's protocol is made of.

pub(super) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
pub(super) use std::sync::{Mutex, OnceLock, PoisonError};
pub(super) use std::thread::{Thread, current, park};

use std::time::{Duration, Instant};

/// After this long a spinning thread yields its core to whoever else wants it.
const SPIN_POLITE: Duration = Duration::from_micros(20);

/// A value whose users see to it that nobody reads while somebody writes.
#[derive(Debug)]
pub(super) struct SharedCell<T>(std::cell::UnsafeCell<T>);

impl<T: Copy> SharedCell<T> {
    pub(super) fn new(value: T) -> SharedCell<T> {
        SharedCell(std::cell::UnsafeCell::new(value))
    }

    /// # Safety
    /// Nobody writes meanwhile.
    pub(super) unsafe fn get(&self) -> T {
        // SAFETY: the caller's contract.
        unsafe { *self.0.get() }
    }

    /// # Safety
    /// Nobody reads or writes meanwhile.
    pub(super) unsafe fn set(&self, value: T) {
        // SAFETY: the caller's contract.
        unsafe { *self.0.get() = value }
    }
}

/// Busy waiting that looks at the clock now and then, and lets others run once it has lasted.
#[derive(Debug)]
pub(super) struct Idle {
    rounds: u32,
    since: Option<Instant>,
    waited: Duration,
}

impl Idle {
    pub(super) fn new() -> Idle {
        Idle { rounds: 0, since: None, waited: Duration::ZERO }
    }

    /// Waits a little; the time waited so far.
    pub(super) fn wait(&mut self) -> Duration {
        std::hint::spin_loop();
        self.rounds = self.rounds.wrapping_add(1);
        if self.rounds.is_multiple_of(32) {
            let since = *self.since.get_or_insert_with(Instant::now);
            self.waited = since.elapsed();
            if self.waited > SPIN_POLITE {
                std::thread::yield_now();
            }
        }
        self.waited
    }
}
