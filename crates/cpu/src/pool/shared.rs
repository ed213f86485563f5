//! What the caller and the workers of a pool share, and the protocol between them.
//!
//! One word, `state`, says everything a worker must know to join a job: the job's number, whether it is open, how many
//! threads it is for, and how many workers are inside. A worker joins by a compare-and-swap that raises that count while
//! the job is open. The caller closes the job once no task is left to claim and then waits until the count is zero; only
//! then may the job's closure go away. A worker that comes too late sees a closed job and touches nothing of it.

use super::sync::{
    AtomicBool, AtomicU64, AtomicUsize, Idle, Mutex, OnceLock, Ordering, PoisonError, SharedCell, Thread,
    current, fence, park,
};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

/// How long an idle worker spins after its last job before it parks.
const SPIN: Duration = Duration::from_micros(100);
/// The same while a session that may use the worker is open (a long serial step must not burn a core for ever).
const SPIN_HOT: Duration = Duration::from_millis(2);

/// `state`, low to high: workers inside (16 bits), open (1), threads the job is for (15), job number (32).
const OPEN: u64 = 1 << 16;
const INSIDE: u64 = OPEN - 1;
const THREADS_SHIFT: u32 = 17;
const NUMBER_SHIFT: u32 = 32;

type Task<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// Keeps what several threads write on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

#[derive(Clone, Copy)]
struct Job {
    task: *const Task<'static>,
    tasks: usize,
    /// Tasks claimed at a time.
    chunk: usize,
}

/// A worker's parking place.
#[derive(Debug, Default)]
struct Berth {
    parked: AtomicBool,
    thread: OnceLock<Thread>,
}

/// The shared part of a pool.
pub(super) struct Shared {
    state: Padded<AtomicU64>,
    next: Padded<AtomicUsize>,
    job: SharedCell<Job>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Whether a session is open.
    busy: AtomicBool,
    /// Threads that the open session uses; 0 when none is open.
    hot: AtomicUsize,
    /// Threads on which sessions run, those that found the pool taken included.
    callers: AtomicUsize,
    shutdown: AtomicBool,
    berths: Box<[Padded<Berth>]>,
}

// SAFETY: `job` is the only field that is not `Sync` by itself. It is written by the one thread that holds `busy`, while
// the job before it is closed and has no worker inside, and is read by workers only after joining (acquire on `state`,
// which the writer releases after writing). The closure behind it is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `job` is dereferenced only while the job is open or a worker is inside, see above.
unsafe impl Send for Shared {}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("workers", &self.capacity()).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(workers: usize) -> Shared {
        Shared {
            state: Padded::default(),
            next: Padded::default(),
            job: SharedCell::new(Job { task: &|_, _| {}, tasks: 0, chunk: 1 }),
            panic: Mutex::new(None),
            busy: AtomicBool::new(false),
            hot: AtomicUsize::new(0),
            callers: AtomicUsize::new(0),
            shutdown: AtomicBool::new(false),
            berths: (0..workers).map(|_| Padded::default()).collect(),
        }
    }

    /// Workers there is room for.
    pub(super) fn capacity(&self) -> usize {
        self.berths.len()
    }

    /// Takes the pool for a session; false if it is taken.
    pub(super) fn acquire(&self) -> bool {
        self.busy.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Ends the session that [`Shared::acquire`] began.
    pub(super) fn release(&self) {
        self.hot.store(0, Ordering::Relaxed);
        self.busy.store(false, Ordering::Release);
    }

    /// A session begins on a thread.
    pub(super) fn enter(&self) {
        self.callers.fetch_add(1, Ordering::Relaxed);
    }

    /// It ends.
    pub(super) fn leave(&self) {
        self.callers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether the first worker spins or works, and with it most likely the others.
    pub(super) fn is_awake(&self) -> bool {
        self.berths.first().is_some_and(|Padded(berth)| !berth.parked.load(Ordering::Relaxed))
    }

    /// Wakes the workers of a team of `threads` and keeps them from parking.
    pub(super) fn heat(&self, threads: usize) {
        self.hot.store(threads, Ordering::SeqCst);
        self.wake(threads);
    }

    /// Makes every worker return.
    pub(super) fn shut_down(&self) {
        self.shutdown.store(true, Ordering::SeqCst);
        self.wake(self.capacity() + 1);
    }

    /// Unparks the parked ones among the workers of a team of `threads`.
    fn wake(&self, threads: usize) {
        // Pairs with the fence in `park`: either this sees `parked`, or the worker sees what was stored before.
        fence(Ordering::SeqCst);
        for Padded(berth) in &self.berths[..threads - 1] {
            if berth.parked.load(Ordering::Relaxed)
                // Acquires the thread's name, which the worker left before it first parked.
                && berth.parked.swap(false, Ordering::Acquire)
                && let Some(thread) = berth.thread.get()
            {
                thread.unpark();
            }
        }
    }

    /// Runs a job on at most `threads` threads; the calling thread must hold the session.
    pub(super) fn run(&self, tasks: usize, threads: usize, task: &Task<'_>) {
        // Every other caller has a processor to itself.
        let others = self.callers.load(Ordering::Relaxed).saturating_sub(1);
        let threads = threads.min((self.capacity() + 1).saturating_sub(others)).max(1);
        if threads == 1 {
            return (0..tasks).for_each(|index| task(index, 0));
        }
        // SAFETY: only the lifetime changes. The job is closed and without workers when this function returns, so the
        // pointer is never used after `task`'s borrow ends.
        let task: *const Task<'static> =
            unsafe { std::mem::transmute::<&Task<'_>, &'static Task<'static>>(task) };
        // About eight claims a thread balance uneven tasks well enough; more would only fight over `next`.
        let job = Job { task, tasks, chunk: (tasks / (threads * 8)).max(1) };
        // SAFETY: this thread holds the session and the last job is closed and empty, so nobody reads `job`.
        unsafe { self.job.set(job) };
        self.next.0.store(0, Ordering::Relaxed);
        let number = (self.state.0.load(Ordering::Relaxed) >> NUMBER_SHIFT).wrapping_add(1);
        let state = number << NUMBER_SHIFT | (threads as u64) << THREADS_SHIFT | OPEN;
        self.state.0.store(state, Ordering::Release);
        self.wake(threads);

        self.claim(job, 0);
        self.state.0.fetch_and(!OPEN, Ordering::AcqRel);
        let mut idle = Idle::new();
        while self.state.0.load(Ordering::Acquire) & INSIDE != 0 {
            idle.wait();
        }
        let panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    /// Claims and runs tasks until none is left.
    fn claim(&self, job: Job, worker: usize) {
        // SAFETY: the job is open or this worker is inside it, so the closure is alive.
        let task = unsafe { &*job.task };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let start = self.next.0.fetch_add(job.chunk, Ordering::Relaxed);
                if start >= job.tasks {
                    return;
                }
                (start..(start + job.chunk).min(job.tasks)).for_each(|index| task(index, worker));
            }
        }));
        if let Err(payload) = outcome {
            self.next.0.store(job.tasks, Ordering::Relaxed);
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(payload);
        }
    }

    /// A worker's life.
    pub(super) fn work(&self, index: usize) {
        let Padded(berth) = &self.berths[index - 1];
        berth.thread.get_or_init(current);
        let mut last = 0;
        let mut idle = Idle::new();
        while !self.shutdown.load(Ordering::Relaxed) {
            let state = self.state.0.load(Ordering::Relaxed);
            if joinable(state, index, last) {
                let joined = self.state.0.compare_exchange_weak(
                    state,
                    state + 1,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                );
                if joined.is_ok() {
                    last = state >> NUMBER_SHIFT;
                    // SAFETY: inside the job, which was released by the store that `joined` acquired.
                    let job = unsafe { self.job.get() };
                    self.claim(job, index);
                    self.state.0.fetch_sub(1, Ordering::Release);
                    idle = Idle::new();
                }
            } else if idle.wait() > if self.is_hot(index) { SPIN_HOT } else { SPIN } {
                self.park(berth, index, last);
                idle = Idle::new();
            }
        }
    }

    /// Whether an open session may use the worker.
    fn is_hot(&self, index: usize) -> bool {
        index < self.hot.load(Ordering::Relaxed)
    }

    /// Parks until somebody calls [`Shared::wake`], unless there is something to do already.
    fn park(&self, berth: &Berth, index: usize, last: u64) {
        // Swaps alone change it, so that each follows the one it saw.
        berth.parked.swap(true, Ordering::Release);
        // Pairs with the fence in `wake`.
        fence(Ordering::SeqCst);
        while berth.parked.load(Ordering::Relaxed) {
            let state = self.state.0.load(Ordering::Relaxed);
            if joinable(state, index, last) || self.shutdown.load(Ordering::Relaxed) {
                berth.parked.swap(false, Ordering::Relaxed);
                return;
            }
            park();
        }
    }
}

/// Whether a worker that was last in job number `last` may join the job that `state` describes.
fn joinable(state: u64, index: usize, last: u64) -> bool {
    let threads = (state >> THREADS_SHIFT) & ((1 << (NUMBER_SHIFT - THREADS_SHIFT)) - 1);
    state & OPEN != 0 && state >> NUMBER_SHIFT != last && (index as u64) < threads
}
