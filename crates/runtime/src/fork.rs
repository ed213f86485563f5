//! State of a whole process, behind a lock that a fork cannot leave taken.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, TryLockError};

/// A process's one value of a type, made at its first use.
///
/// The child of a fork made while another thread held an ordinary lock could never take it: that thread is not in the child.
/// A child takes its parent's value over if the lock is free, and otherwise starts with a new one.
#[derive(Debug)]
pub struct ForkLock<T> {
    /// The process that uses the value; 0 is none yet.
    owner: AtomicU32,
    value: Mutex<Option<T>>,
    /// What a child uses that found the lock taken.
    next: OnceLock<Box<ForkLock<T>>>,
}

impl<T: Default> ForkLock<T> {
    /// For a `static`.
    #[must_use]
    pub const fn new() -> ForkLock<T> {
        ForkLock { owner: AtomicU32::new(0), value: Mutex::new(None), next: OnceLock::new() }
    }

    /// Calls a function with the value, alone among the process's threads. It must not ask for the same value again.
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let process = std::process::id();
        let mut lock = self;
        loop {
            // Whoever uses a value first owns it; it does not matter who that is.
            let _ = lock.owner.compare_exchange(0, process, Ordering::Relaxed, Ordering::Relaxed);
            let is_own = |lock: &ForkLock<T>| lock.owner.load(Ordering::Relaxed) == process;
            let taken = match is_own(lock) {
                true => Some(lock.value.lock().unwrap_or_else(PoisonError::into_inner)),
                false => match lock.value.try_lock() {
                    Ok(guard) => Some(guard),
                    Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
                    Err(TryLockError::WouldBlock) => None,
                },
            };
            if let Some(mut value) = taken {
                lock.owner.store(process, Ordering::Relaxed);
                return f(value.get_or_insert_with(T::default));
            }
            // Another thread of this process may just have taken it over.
            if !is_own(lock) {
                lock = lock.next.get_or_init(Box::default);
            }
        }
    }
}

impl<T: Default> Default for ForkLock<T> {
    fn default() -> ForkLock<T> {
        ForkLock::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stands for the parent's process.
    const PARENT: u32 = 1;

    #[test]
    fn a_value_is_made_once() {
        let lock: ForkLock<Vec<u32>> = ForkLock::new();
        std::thread::scope(|scope| {
            for i in 0..4 {
                let lock = &lock;
                scope.spawn(move || (0..100).for_each(|_| lock.with(|list| list.push(i))));
            }
        });
        assert_eq!(lock.with(|list| list.len()), 400);
    }

    #[test]
    fn a_child_takes_over_what_is_free() {
        let lock: ForkLock<u32> = ForkLock::new();
        lock.with(|x| *x = 7);
        lock.owner.store(PARENT, Ordering::Relaxed);
        assert_eq!(lock.with(|x| *x), 7);
        assert_eq!(lock.owner.load(Ordering::Relaxed), std::process::id());
    }

    #[test]
    fn a_child_does_not_wait_for_a_thread_of_its_parent() {
        let lock: ForkLock<u32> = ForkLock::new();
        lock.with(|x| *x = 7);
        lock.owner.store(PARENT, Ordering::Relaxed);
        let _held = lock.value.lock().expect("nobody panicked");
        assert_eq!(lock.with(|x| std::mem::replace(x, 3)), 0, "a new value");
        assert_eq!(lock.with(|x| *x), 3, "the same one again");
    }

    #[test]
    fn a_panic_leaves_the_value() {
        let lock: ForkLock<u32> = ForkLock::new();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            lock.with(|x| {
                *x = 5;
                panic!("in the middle")
            })
        }));
        assert!(panicked.is_err());
        assert_eq!(lock.with(|x| *x), 5);
    }
}
