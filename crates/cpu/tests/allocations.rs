//! Running allocates nothing.

// Reason: a counting allocator is an unsafe trait's implementation.
#![allow(unsafe_code)]

#[path = "ops/support.rs"]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{Memory, compile, graph};
use wootz_cpu::isa::Isa;
use wootz_ir::{Builder, DType, HostTensor, Value};
use wootz_passes::Optimize;

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_run_allocates_nothing() {
    let inputs =
        [[64usize, 300], [300, 200], [64, 200]].map(|d| HostTensor::zeros(DType::F32, &d).expect("small"));
    let mut b = Builder::new();
    let p: Vec<Value> = inputs.iter().map(|t| b.param(t.ty())).collect();
    let product = b.matmul(p[0], p[1]).expect("well typed");
    let sum = b.add(product, p[2]).expect("equal types");
    let rows = b.sum(sum, &[1]).expect("an axis");
    let graph = graph(&b.finish(&[sum, rows]));
    for threads in [1, 2] {
        let executable = compile(&graph, Optimize::Full, Isa::best(), threads);
        let prepared = executable.prepare(&[None, None, None]).expect("nothing to prepare");
        let mut instance = executable.instance().expect("memory");
        let mut memory = Memory::new(&graph, &inputs);
        // Threads allocate when they start, which may be late.
        for _ in 0..10 {
            instance.run(&prepared, &mut memory).expect("runs");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let before = COUNT.load(Ordering::Relaxed);
        for _ in 0..10 {
            instance.run(&prepared, &mut memory).expect("runs");
        }
        assert_eq!(COUNT.load(Ordering::Relaxed), before, "{threads} threads");
        assert_eq!(memory.result(&graph, 1).to_f64(), [0.0; 64]);
    }
}
