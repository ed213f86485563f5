//! Forks of a process whose other threads compile: no lock of theirs stays taken in the child.

// Reason: forking, and leaving without the parent's destructors.
#![allow(unsafe_code)]
#![cfg(unix)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use wootz_cpu::Cpu;
use wootz_ir::{DType, HostTensor, text};
use wootz_runtime::{Options, cache_info, compile};

unsafe extern "C" {
    fn fork() -> i32;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
    fn kill(pid: i32, signal: i32) -> i32;
    fn _exit(status: i32) -> !;
}

/// Compiles `x · factor`, which is a new program for a new factor, and runs it.
fn scaled(factor: usize) -> Option<f64> {
    let source = format!(
        r#"graph(%x: f64[3] = input "x") {{
            %c = constant[value=f64[]{{{factor}.0}}] : f64[]
            %b = broadcast[axes=[], shape=[3]] %c
            %y = mul %x, %b
            return "y" = %y
        }}"#
    );
    let graph = text::parse(&source).ok()?;
    let program = compile(&graph.into(), &BTreeMap::new(), &Cpu::default(), &Options::default()).ok()?;
    let mut session = program.session(&program.init(0).ok()?).ok()?;
    session.set("x", HostTensor::from_f64(DType::F64, &[3], &[1.0, 2.0, 3.0])).ok()?;
    session.run().ok()?;
    Some(session.output("y").ok()?.to_f64()[2])
}

/// What a child ended with; `None` if it had to be killed.
fn wait(child: i32) -> Option<i32> {
    const NO_HANG: i32 = 1;
    const KILL: i32 = 9;
    let (begun, mut status) = (Instant::now(), -1);
    // Far longer than a busy machine takes: a child that hangs never ends.
    while begun.elapsed() < Duration::from_secs(60) {
        // SAFETY: the child is this process's, the status a number of its own.
        if unsafe { waitpid(child, &raw mut status, NO_HANG) } == child {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    // SAFETY: as above.
    unsafe {
        kill(child, KILL);
        waitpid(child, &raw mut status, 0);
    }
    None
}

/// The only test of this file: a fork is of the whole process.
#[test]
fn children_compile_while_their_parents_threads_did() {
    assert_eq!(scaled(5), Some(15.0));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let factors = (1000..).take_while(|_| !done.load(Ordering::Relaxed));
            factors.for_each(|factor| assert_eq!(scaled(factor), Some(3.0 * factor as f64)));
        });
        // Has the cache's lock most of the time.
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                std::hint::black_box(cache_info());
            }
        });
        let mut failed = None;
        for factor in 1..=50 {
            // SAFETY: the child compiles and runs, and leaves by `_exit`, which runs no destructors of the parent's.
            let child = unsafe { fork() };
            assert!(child >= 0, "fork failed");
            if child == 0 {
                let right = scaled(factor) == Some(3.0 * factor as f64) && cache_info().limit > 0;
                // SAFETY: ends the child.
                unsafe { _exit(i32::from(!right)) }
            }
            if wait(child) != Some(0) {
                failed = Some(factor);
                break;
            }
        }
        done.store(true, Ordering::Relaxed);
        assert_eq!(failed, None, "a child hung or was wrong");
    });
}
