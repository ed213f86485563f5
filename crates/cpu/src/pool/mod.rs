//! The thread pool: one persistent team a process, in which the caller takes part.
//!
//! A program run opens a *session* ([`session`] or [`Pool::session`]): the workers it may use are woken once and
//! then stay hot (spinning, not parked) while the program's steps call [`Team::run`]. Outside sessions workers spin
//! for about 100 µs after their last job and then park.
//!
//! * **Nothing is allocated a call,** neither by a session nor by a run.
//! * **Workers join if they can.** A run does not wait for a worker that has not woken yet (or that the system
//!   has descheduled before it joined): the caller claims tasks like everyone else and, when none is left, waits only
//!   for those who are inside a task.
//! * **A busy team is never waited for.** A session that finds the team taken by another thread, or that is opened inside
//!   of another session, runs serially on its caller, so nothing deadlocks. Callers are counted: a team works with as
//!   many threads as the pool has, less those on which other sessions run, so that programs that run at the same time do
//!   not oversubscribe the machine.
//! * **Small work shares if that is cheap** ([`session_for`]): workers that are awake take part in little work; sleeping
//!   ones are woken for it only if it keeps coming.
//! * **Panics** in tasks stop the claiming of further tasks and are raised again on the caller.
//! * **Fork:** a child process has none of its parent's workers; its first session builds a pool of its own.
//!
//! What a run computes must not depend on which worker gets which task; the pool promises nothing about that.

// Reason: a job borrows its closure from the caller's stack and hands it to other threads; see `shared`.
#![allow(unsafe_code)]

mod process;
mod shared;
mod sync;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use process::Process;
use shared::Shared;

/// Name of the environment variable that sets the process-wide pool's number of threads.
pub const THREADS_ENV: &str = "WOOTZ_THREADS";

/// Most threads a pool can have.
pub const MAX_THREADS: usize = 1024;

/// Nanoseconds of work below which handing out tasks costs more than it gains.
const WORTH_SHARING: f64 = 5_000.0;
/// Nanoseconds of work that are worth the wake of a sleeping worker.
const WORTH_WAKING: f64 = 60_000.0;
/// Nanoseconds that starting a worker takes.
const STARTING: f64 = 50_000.0;
/// Work that comes again within this time keeps workers awake once they are.
const AGAIN: Duration = Duration::from_micros(80);

/// The thread pool cannot be set up as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// `WOOTZ_THREADS` is not a number of threads.
    #[error("{THREADS_ENV}={value:?} is not a number of threads between 1 and {MAX_THREADS}")]
    InvalidThreads {
        /// What the variable holds.
        value: String,
    },
}

/// Threads that the process-wide pool has: `WOOTZ_THREADS` if set (read once), else the processors this process may
/// use (affinity and cgroup quota counted).
///
/// # Errors
/// [`PoolError::InvalidThreads`] when `WOOTZ_THREADS` is not a number from 1 to [`MAX_THREADS`].
pub fn default_threads() -> Result<usize, PoolError> {
    static COUNT: OnceLock<Result<usize, PoolError>> = OnceLock::new();
    COUNT
        .get_or_init(|| match std::env::var_os(THREADS_ENV) {
            Some(value) if !value.is_empty() => parse_threads(&value.to_string_lossy()),
            _ => Ok(std::thread::available_parallelism().map_or(1, |n| n.get().min(MAX_THREADS))),
        })
        .clone()
}

/// The value of `WOOTZ_THREADS`.
fn parse_threads(value: &str) -> Result<usize, PoolError> {
    match value.trim().parse::<usize>() {
        Ok(threads) if (1..=MAX_THREADS).contains(&threads) => Ok(threads),
        _ => Err(PoolError::InvalidThreads { value: value.to_owned() }),
    }
}

/// Runs `body` with a team of at most `threads` threads of the process-wide pool (see [`Pool::session`]). With
/// `threads <= 1` the pool is not touched at all, nor created.
///
/// # Errors
/// [`PoolError::InvalidThreads`] as [`default_threads`], when `threads > 1`.
pub fn session<R>(threads: usize, body: impl FnOnce(&Team<'_>) -> R) -> Result<R, PoolError> {
    if threads <= 1 {
        return Ok(body(&Team::serial()));
    }
    Ok(Pool::global()?.session_in_owner(threads, body))
}

/// As [`session`], for about `work` nanoseconds of work on one thread: a team of one where sharing it does not pay.
///
/// # Errors
/// As [`session`].
pub fn session_for<R>(threads: usize, work: f64, body: impl FnOnce(&Team<'_>) -> R) -> Result<R, PoolError> {
    if threads <= 1 || work < WORTH_SHARING {
        return Ok(body(&Team::serial()));
    }
    let pool = Pool::global()?;
    let pays = work >= WORTH_WAKING || pool.shared.is_awake() || pool.again();
    Ok(pool.session_in_owner(if pays { threads } else { 1 }, body))
}

/// As [`session_for`], for work that need not come again: a pool that is not there yet is started only if that pays, too.
///
/// # Errors
/// As [`session`].
pub fn session_once<R>(threads: usize, work: f64, body: impl FnOnce(&Team<'_>) -> R) -> Result<R, PoolError> {
    let starts = |all: usize| work >= STARTING * (all - 1) as f64 || Pool::existing().is_some();
    let pays = threads > 1 && work >= WORTH_SHARING && starts(default_threads()?);
    session_for(if pays { threads } else { 1 }, work, body)
}

/// The process-wide pool.
static GLOBAL: AtomicPtr<Pool> = AtomicPtr::new(std::ptr::null_mut());

thread_local! {
    /// Whether this thread is in a session, as its caller or as a worker.
    static IN_SESSION: Cell<bool> = const { Cell::new(false) };
}

/// Worker threads that wait for jobs; dropping a pool ends them.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// The process that owns the workers: a forked child must not wait for them.
    process: Process,
    started: Instant,
    /// When small work came last, in nanoseconds since `started`.
    last: AtomicU64,
}

impl Pool {
    /// A pool in which `threads` threads work, the caller included (so `threads - 1` are started; fewer if the system
    /// refuses more).
    #[must_use]
    pub fn new(threads: usize) -> Pool {
        let shared = Arc::new(Shared::new(threads.clamp(1, MAX_THREADS) - 1));
        let mut workers = Vec::with_capacity(shared.capacity());
        for index in 1..=shared.capacity() {
            let its_shared = Arc::clone(&shared);
            let started = std::thread::Builder::new().name(format!("wootz-{index}")).spawn(move || {
                IN_SESSION.set(true);
                its_shared.work(index);
            });
            match started {
                Ok(handle) => workers.push(handle),
                Err(_) => break,
            }
        }
        let (started, last) = (Instant::now(), AtomicU64::new(0));
        Pool { shared, workers, process: Process::current(), started, last }
    }

    /// The process-wide pool, started at the first call.
    ///
    /// Ask for it at each use: the reference held across a `fork` only ever runs serially in the child.
    ///
    /// # Errors
    /// As [`default_threads`].
    pub fn global() -> Result<&'static Pool, PoolError> {
        let threads = default_threads()?;
        let mut current = GLOBAL.load(Ordering::Acquire);
        loop {
            if let Some(pool) = Pool::own(current) {
                return Ok(pool);
            }
            // No lock: one held by another thread at a fork would stay locked in the child for ever.
            let fresh = Box::into_raw(Box::new(Pool::new(threads)));
            match GLOBAL.compare_exchange(current, fresh, Ordering::AcqRel, Ordering::Acquire) {
                // SAFETY: as above.
                Ok(_) => return Ok(unsafe { &*fresh }),
                Err(winner) => {
                    // SAFETY: `fresh` came from `Box::into_raw` and nobody else has seen it.
                    drop(unsafe { Box::from_raw(fresh) });
                    current = winner;
                }
            }
        }
    }

    /// What [`Pool::global`] gives, if some call has started it.
    fn existing() -> Option<&'static Pool> {
        Pool::own(GLOBAL.load(Ordering::Acquire))
    }

    /// A value that [`GLOBAL`] had, if this process started it.
    fn own(pool: *mut Pool) -> Option<&'static Pool> {
        // SAFETY: a pointer in `GLOBAL` is null or came from `Box::into_raw` and is never freed.
        unsafe { pool.as_ref() }.filter(|pool| pool.is_ours())
    }

    /// Threads that can work on one run, the caller included.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `body` with a team of at most `threads` threads, its caller included, whose workers are woken now and stay
    /// hot until `body` returns.
    ///
    /// The team has one thread (everything runs inline on the caller) if `threads <= 1`, if another session holds the
    /// pool, or in a forked child.
    pub fn session<R>(&self, threads: usize, body: impl FnOnce(&Team<'_>) -> R) -> R {
        // A team of one needs no look at the process.
        if threads <= 1 || self.threads() == 1 || !self.is_ours() {
            return body(&Team::serial());
        }
        self.session_in_owner(threads, body)
    }

    /// [`Pool::session`] in the process that owns the workers.
    fn session_in_owner<R>(&self, threads: usize, body: impl FnOnce(&Team<'_>) -> R) -> R {
        if IN_SESSION.get() {
            return body(&Team::serial());
        }
        let _caller = Caller::enter(&self.shared);
        let threads = threads.min(self.threads());
        if threads <= 1 || !self.shared.acquire() {
            return body(&Team::serial());
        }
        let _release = Release(&self.shared);
        self.shared.heat(threads);
        body(&Team { shared: Some(&self.shared), threads, not_sync: PhantomData })
    }

    /// Whether small work came a moment ago as well.
    fn again(&self) -> bool {
        let now = self.started.elapsed().as_nanos() as u64;
        let last = self.last.swap(now, Ordering::Relaxed);
        now.saturating_sub(last) < AGAIN.as_nanos() as u64
    }

    /// One run as a session of its own: calls `task(index, worker)` for every `index` below `tasks`, see [`Team::run`].
    pub fn run(&self, tasks: usize, threads: usize, task: &(dyn Fn(usize, usize) + Sync)) {
        self.session(threads.min(tasks), |team| team.run(tasks, task));
    }

    /// Whether the workers belong to this process.
    fn is_ours(&self) -> bool {
        self.process.is_current()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if !self.is_ours() {
            return;
        }
        self.shared.shut_down();
        for worker in self.workers.drain(..) {
            // Tasks' panics are caught, so a worker ends normally.
            let _ = worker.join();
        }
    }
}

/// A thread on which a session runs, until the session ends.
struct Caller<'a>(&'a Shared);

impl<'a> Caller<'a> {
    fn enter(shared: &'a Shared) -> Caller<'a> {
        IN_SESSION.set(true);
        shared.enter();
        Caller(shared)
    }
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        IN_SESSION.set(false);
        self.0.leave();
    }
}

/// Gives the pool back when a session ends, also by a panic.
struct Release<'a>(&'a Shared);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// The threads of one session. It stays with the thread that opened the session.
#[derive(Debug)]
pub struct Team<'a> {
    /// `None` for a team of one.
    shared: Option<&'a Shared>,
    threads: usize,
    /// Two threads must not start jobs on one team, so a task cannot reach its own team.
    not_sync: PhantomData<std::cell::Cell<()>>,
}

impl Team<'_> {
    /// A team of one: everything runs on the caller.
    #[must_use]
    pub fn serial() -> Team<'static> {
        Team { shared: None, threads: 1, not_sync: PhantomData }
    }

    /// Threads in the team, the caller included; worker indices are below it.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Calls `task(index, worker)` once for every `index` in `0..tasks`, on any of the team's threads in any order, and
    /// returns when all calls have. `worker` is below [`Team::threads`] and is never in two calls at once, so it can
    /// index per-thread scratch memory; the caller is worker 0.
    ///
    /// # Panics
    /// If a task panics: tasks not yet claimed are dropped and the first panic is raised again here.
    pub fn run(&self, tasks: usize, task: &(dyn Fn(usize, usize) + Sync)) {
        match self.shared {
            Some(shared) if tasks > 1 => shared.run(tasks, self.threads.min(tasks), task),
            _ => (0..tasks).for_each(|index| task(index, 0)),
        }
    }
}
