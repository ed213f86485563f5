//! The protocol of the thread pool under the model checker loom, which tries every interleaving (up to a bound on
//! preemptions) and every value that the memory model lets a load see. `shared.rs` is compiled here a second time, over
//! loom's primitives.

// Reason: the pool hands closures from the caller's stack to other threads.
#![allow(unsafe_code)]

#[path = "../src/pool/shared.rs"]
mod shared;

/// loom's primitives under the names of the pool's own.
mod sync {
    pub(super) use loom::sync::Mutex;
    pub(super) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
    pub(super) use std::sync::{OnceLock, PoisonError};

    use loom::sync::{Arc, Condvar};
    use std::time::Duration;

    /// A thread's token. loom's own `unpark` is lost on a thread that has yielded and does not run.
    #[derive(Clone, Debug)]
    pub(super) struct Thread(Arc<(Mutex<bool>, Condvar)>);

    loom::thread_local! {
        static CURRENT: Thread = Thread(Arc::new((Mutex::new(false), Condvar::new())));
    }

    pub(super) fn current() -> Thread {
        CURRENT.with(Clone::clone)
    }

    pub(super) fn park() {
        let Thread(token) = current();
        let (given, arrival) = &*token;
        let mut given = given.lock().expect("nobody panics with it");
        while !*given {
            given = arrival.wait(given).expect("nobody panics with it");
        }
        *given = false;
    }

    impl Thread {
        pub(super) fn unpark(&self) {
            let (given, arrival) = &*self.0;
            *given.lock().expect("nobody panics with it") = true;
            arrival.notify_one();
        }
    }

    /// A cell in which loom finds unsynchronised access.
    #[derive(Debug)]
    pub(super) struct SharedCell<T>(loom::cell::UnsafeCell<T>);

    impl<T: Copy> SharedCell<T> {
        pub(super) fn new(value: T) -> SharedCell<T> {
            SharedCell(loom::cell::UnsafeCell::new(value))
        }

        /// # Safety
        /// Nobody writes meanwhile.
        pub(super) unsafe fn get(&self) -> T {
            // SAFETY: the caller's contract, which loom checks.
            self.0.with(|value| unsafe { *value })
        }

        /// # Safety
        /// Nobody reads or writes meanwhile.
        pub(super) unsafe fn set(&self, value: T) {
            // SAFETY: the caller's contract, which loom checks.
            self.0.with_mut(|place| unsafe { *place = value });
        }
    }

    /// Waiting without a clock: others run, and the time is up at once, so that idle workers park as early as they may.
    #[derive(Debug)]
    pub(super) struct Idle;

    impl Idle {
        pub(super) fn new() -> Idle {
            Idle
        }

        pub(super) fn wait(&mut self) -> Duration {
            loom::thread::yield_now();
            Duration::MAX
        }
    }
}

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use shared::Shared;

/// Checks `body`, which runs on a pool of `workers` workers, in every interleaving with at most so many preemptions.
fn check(workers: usize, preemptions: usize, body: impl Fn(&Arc<Shared>) + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(move || {
        let shared = Arc::new(Shared::new(workers));
        let threads: Vec<_> = (1..=workers)
            .map(|index| {
                let its = Arc::clone(&shared);
                loom::thread::spawn(move || its.work(index))
            })
            .collect();
        body(&shared);
        shared.shut_down();
        threads.into_iter().for_each(|thread| thread.join().expect("workers end"));
    });
}

/// A session that runs jobs of these numbers of tasks.
fn session(shared: &Shared, threads: usize, jobs: &[usize]) {
    shared.enter();
    if shared.acquire() {
        shared.heat(threads);
        for tasks in jobs {
            // The counts are plain memory of the caller's stack: a worker that touches them after the job is a bug.
            let counts: Vec<AtomicUsize> = (0..*tasks).map(|_| AtomicUsize::new(0)).collect();
            shared.run(*tasks, threads, &|index, _| {
                counts[index].fetch_add(1, Ordering::Relaxed);
            });
            for count in &counts {
                assert_eq!(count.load(Ordering::Relaxed), 1, "every task ran once, and the caller sees it");
            }
        }
        shared.release();
    }
    shared.leave();
}

#[test]
fn every_task_runs_once_and_is_seen() {
    check(1, 3, |shared| session(shared, 2, &[2]));
}

#[test]
fn jobs_follow_each_other() {
    check(1, 3, |shared| session(shared, 2, &[1, 2]));
}

#[test]
fn sessions_follow_each_other() {
    check(1, 3, |shared| {
        session(shared, 2, &[1]);
        session(shared, 2, &[1]);
    });
}

#[test]
fn workers_end_without_work() {
    // Whether they are asleep by then is open; asking must be safe.
    check(2, 3, |shared| {
        shared.is_awake();
    });
}

#[test]
fn callers_at_once_do_not_share_the_team() {
    check(1, 2, |shared| {
        let other = Arc::clone(shared);
        let second = loom::thread::spawn(move || session(&other, 2, &[1]));
        session(shared, 2, &[1]);
        second.join().expect("the second caller ends");
    });
}
