use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::*;

/// Runs `tasks` tasks and checks that each ran once, on a worker index of the team.
fn check_run(team: &Team<'_>, tasks: usize) {
    let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
    let threads = team.threads();
    team.run(tasks, &|index, worker| {
        assert!(worker < threads);
        counts[index].fetch_add(1, Ordering::Relaxed);
    });
    assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
}

#[test]
fn every_task_runs_once() {
    for threads in 1..=4 {
        let pool = Pool::new(threads);
        assert_eq!(pool.threads(), threads);
        for tasks in [0, 1, 2, 3, 7, 64, 1000] {
            pool.session(threads, |team| {
                assert_eq!(team.threads(), threads);
                for _ in 0..20 {
                    check_run(team, tasks);
                }
            });
        }
    }
}

#[test]
fn workers_take_part() {
    let pool = Pool::new(2);
    // The caller's task cannot end before the worker's has begun: this hangs unless two threads work.
    let met = AtomicUsize::new(0);
    pool.run(2, 2, &|_, _| {
        met.fetch_add(1, Ordering::SeqCst);
        while met.load(Ordering::SeqCst) < 2 {
            std::thread::yield_now();
        }
    });
}

#[test]
fn parked_workers_wake() {
    let pool = Pool::new(2);
    for _ in 0..5 {
        std::thread::sleep(std::time::Duration::from_millis(10));
        let met = AtomicUsize::new(0);
        pool.run(2, 2, &|_, _| {
            met.fetch_add(1, Ordering::SeqCst);
            while met.load(Ordering::SeqCst) < 2 {
                std::thread::yield_now();
            }
        });
    }
}

#[test]
fn thread_cap_holds() {
    let pool = Pool::new(4);
    let seen = AtomicU64::new(0);
    pool.run(1000, 2, &|_, worker| {
        seen.fetch_or(1 << worker, Ordering::Relaxed);
        std::hint::black_box((0..1000).sum::<u64>());
    });
    assert_eq!(seen.load(Ordering::Relaxed) & !0b11, 0);
}

#[test]
fn a_worker_index_is_never_used_twice_at_once() {
    let pool = Pool::new(3);
    let inside: [AtomicUsize; 3] = Default::default();
    pool.session(3, |team| {
        for _ in 0..200 {
            team.run(50, &|_, worker| {
                assert_eq!(inside[worker].fetch_add(1, Ordering::SeqCst), 0);
                inside[worker].fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
}

#[test]
fn nested_sessions_run_inline() {
    let pool = Pool::new(3);
    let total = AtomicUsize::new(0);
    pool.run(10, 3, &|_, _| {
        let outer = std::thread::current().id();
        pool.session(3, |team| {
            assert_eq!(team.threads(), 1);
            team.run(10, &|_, worker| {
                assert_eq!((worker, std::thread::current().id()), (0, outer));
                total.fetch_add(1, Ordering::Relaxed);
            });
        });
    });
    assert_eq!(total.load(Ordering::Relaxed), 100);
}

#[test]
fn panics_reach_the_caller_and_the_pool_survives() {
    let pool = Pool::new(3);
    for round in 0..50 {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.run(100, 3, &|index, _| assert!(index != 37, "task {index} of round {round}"));
        }));
        let payload = caught.expect_err("the task's panic is raised again");
        let message = payload.downcast_ref::<String>().expect("a formatted panic carries a String");
        assert!(message.contains(&format!("task 37 of round {round}")), "{message}");
        pool.session(3, |team| {
            assert_eq!(team.threads(), 3, "the pool was given back");
            check_run(team, 100);
        });
    }
}

#[test]
fn many_callers_at_once() {
    let pool = Pool::new(3);
    std::thread::scope(|scope| {
        for caller in 0..4u64 {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..300u64 {
                    let tasks = ((caller * 31 + round * 7) % 60) as usize;
                    let sum = AtomicU64::new(0);
                    pool.session(3, |team| {
                        for _ in 0..3 {
                            team.run(tasks, &|index, _| {
                                sum.fetch_add(index as u64 + 1, Ordering::Relaxed);
                            });
                        }
                    });
                    let tasks = tasks as u64;
                    assert_eq!(sum.into_inner(), 3 * tasks * (tasks + 1) / 2);
                }
            });
        }
    });
}

#[test]
fn results_written_by_tasks_are_visible_after_the_run() {
    let pool = Pool::new(2);
    pool.session(2, |team| {
        for round in 0..2000usize {
            let cells: Vec<AtomicUsize> = (0..16).map(|_| AtomicUsize::new(0)).collect();
            team.run(16, &|index, _| cells[index].store(round + index, Ordering::Relaxed));
            assert!(cells.iter().enumerate().all(|(i, c)| c.load(Ordering::Relaxed) == round + i));
        }
    });
}

#[test]
fn global_pool_and_serial_session() {
    let threads = session(usize::MAX, |team| team.threads()).expect("the environment is sane");
    assert!(threads >= 1 && threads <= default_threads().expect("the environment is sane"));
    assert_eq!(session(1, |team| team.threads()), Ok(1));
    assert_eq!(session(0, |team| team.threads()), Ok(1));
}

#[test]
fn callers_make_room_for_each_other() {
    let pool = Pool::new(2);
    let (entered, leave) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
    pool.session(2, |team| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                pool.session(2, |other| {
                    assert_eq!(other.threads(), 1, "the team is taken");
                    entered.wait();
                    leave.wait();
                });
            });
            entered.wait();
            // Both processors have a caller: nothing is left for the worker.
            let own = std::thread::current().id();
            team.run(100, &|_, worker| {
                assert_eq!((worker, std::thread::current().id()), (0, own));
            });
            leave.wait();
        });
    });
    // Alone again, the caller has both threads.
    let met = AtomicUsize::new(0);
    pool.run(2, 2, &|_, _| {
        met.fetch_add(1, Ordering::SeqCst);
        while met.load(Ordering::SeqCst) < 2 {
            std::thread::yield_now();
        }
    });
}

#[test]
fn little_work_stays_with_its_caller_until_it_keeps_coming() {
    let threads =
        |work: f64| session_for(usize::MAX, work, |team| team.threads()).expect("the environment is sane");
    let all = default_threads().expect("the environment is sane");
    assert_eq!(threads(0.0), 1);
    // Another test may have the team, and a slow machine may take longer between two calls than work may: it must come to
    // all threads sooner or later.
    let shared = |work: f64| (0..100_000).any(|_| threads(work) == all);
    assert!(shared(WORTH_WAKING) && shared(WORTH_SHARING));
}

#[test]
fn signals_disturb_nothing() {
    #[cfg(unix)]
    {
        unsafe extern "C" {
            fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
            fn raise(number: i32) -> i32;
            fn kill(pid: i32, number: i32) -> i32;
        }
        static SEEN: AtomicUsize = AtomicUsize::new(0);
        extern "C" fn handler(_: i32) {
            SEEN.fetch_add(1, Ordering::Relaxed);
        }
        // The number of SIGURG, which is ignored where nobody handles it, on Linux and on BSDs.
        let number = if cfg!(target_os = "linux") { 23 } else { 16 };
        let pool = Pool::new(3);
        // SAFETY: the handler only counts; signals go to this process.
        unsafe {
            signal(number, handler);
            for round in 0..300 {
                pool.session(3, |team| {
                    kill(std::process::id() as i32, number);
                    check_run(team, 50);
                    raise(number);
                    if round % 100 == 0 {
                        // Long enough for workers to park.
                        std::thread::sleep(std::time::Duration::from_millis(5));
                    }
                    check_run(team, 50);
                });
            }
        }
        assert!(SEEN.load(Ordering::Relaxed) >= 300);
    }
}

#[test]
fn thread_counts_parse() {
    assert_eq!(parse_threads("3"), Ok(3));
    assert_eq!(parse_threads(" 12 "), Ok(12));
    for bad in ["0", "-1", "many", "1025", "1.5"] {
        assert_eq!(parse_threads(bad), Err(PoolError::InvalidThreads { value: bad.into() }));
    }
}

/// A forked child must get a working pool of its own.
#[cfg(unix)]
#[test]
fn fork_gets_its_own_pool() {
    let before = Pool::global().expect("the environment is sane");
    before.run(8, usize::MAX, &|_, _| {});
    // The child is made while another thread has the pool, in the middle of a session.
    let (entered, leave) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            before.session(usize::MAX, |team| {
                entered.wait();
                team.run(10, &|_, _| {});
                leave.wait();
            });
        });
        entered.wait();
        fork_and_run(before);
        leave.wait();
    });
}

/// Forks; the child runs something on a pool of its own.
#[cfg(unix)]
fn fork_and_run(before: &Pool) {
    unsafe extern "C" {
        fn fork() -> i32;
        fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
        fn _exit(status: i32) -> !;
    }
    // SAFETY: the child only runs the pool's code and leaves by `_exit`, which runs no destructors of the parent's.
    unsafe {
        let child = fork();
        assert!(child >= 0, "fork failed");
        if child == 0 {
            let stale_is_serial = before.session(8, |team| team.threads()) == 1;
            let done = AtomicUsize::new(0);
            let ran = session(8, |team| {
                team.run(50, &|_, _| {
                    done.fetch_add(1, Ordering::Relaxed);
                });
                team.threads()
            });
            let full = ran == default_threads();
            _exit(i32::from(!(stale_is_serial && full && done.load(Ordering::Relaxed) == 50)));
        }
        let mut status = -1;
        assert_eq!(waitpid(child, &raw mut status, 0), child);
        assert_eq!(status, 0, "the child failed");
    }
}
