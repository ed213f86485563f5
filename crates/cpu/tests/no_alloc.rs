//! A session, its runs and a planned product allocate nothing.

// Reason: the counting allocator, and plans that run on raw pointers.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use wootz_cpu::gemm::{BLayout, CLayout, Elem, Epilogue, GemmPlan, GemmSpec, Matrix};
use wootz_cpu::isa::Isa;
use wootz_cpu::pool::Pool;

/// The system's allocator, which counts.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The only test of this file, so that no other test allocates meanwhile.
#[test]
fn runs_allocate_nothing() {
    let pool = Pool::new(2);
    let (m, n, k) = (70, 100, 80);
    let (a, b, mut c) = (vec![1.0f32; m * k], vec![1.0f32; k * n], vec![0.0f32; m * n]);
    let spec = GemmSpec {
        batch: 1,
        m,
        n,
        k,
        a: Matrix::row_major(Elem::F32, m).transposed(),
        b: BLayout::Strided(Matrix::row_major(Elem::F32, k).transposed()),
        c: CLayout::Rows { row_stride: n as isize, batch_stride: 0 },
        accumulate: false,
    };
    for isa in Isa::available() {
        let plan = GemmPlan::new(&spec, isa).expect("a valid spec");
        let mut scratch = vec![0.0f32; plan.scratch_bytes(2) / 4];
        let mut run = || {
            // SAFETY: the operands have the spec's sizes, the scratch memory the plan's.
            pool.session(2, |team| unsafe {
                let (a, b) = (a.as_ptr().cast(), b.as_ptr().cast());
                plan.run(team, a, b, c.as_mut_ptr().cast(), scratch.as_mut_ptr().cast(), &Epilogue::NONE);
            });
        };
        // The worker allocates when it starts, which may be late.
        for _ in 0..10 {
            run();
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        (0..20).for_each(|_| run());
        assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0, "{isa}");
        assert!(c.iter().all(|&x| x == k as f32));
    }
}
