//! One kernel, executed in every way there is and compared with the interpreter. Also what fuzz targets do.

use crate::guard::{Edge, Guarded};
use wootz_cpu::isa::Isa;
use wootz_cpu::testing::{Compiled, Executor};
use wootz_plan_testing::{Case, difference};

/// How a kernel is executed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) executor: Executor,
    pub(crate) isa: Isa,
    pub(crate) threads: usize,
    pub(crate) edge: Edge,
}

/// Pointers that threads share; each writes elements of its own.
struct Shared(Vec<*mut u8>);
// SAFETY: units are disjoint, and what they touch is as well.
unsafe impl Sync for Shared {}

impl Shared {
    fn pointers(&self) -> &[*mut u8] {
        &self.0
    }
}

/// The memory of the buffers after a run; `None` if the executor does not take the kernel.
pub(crate) fn execute(case: &Case, run: Run) -> Option<Vec<Guarded>> {
    let compiled = Compiled::new(&case.kernel, run.executor, run.isa)?;
    let buffers: Vec<Guarded> =
        case.buffers.iter().map(|b| Guarded::holding(b.as_bytes(), run.edge)).collect();
    let args = Shared(buffers.iter().map(Guarded::as_mut_ptr).collect());
    let units = compiled.units();
    let part = |i: usize| units * i / run.threads..units * (i + 1) / run.threads;
    let work = |units| {
        let zeros = vec![0; compiled.work_bytes().next_multiple_of(64)];
        let work = Guarded::holding(&zeros, run.edge);
        // SAFETY: a pointer for every argument, aligned for its dtype; the interpreter ran the kernel within its buffers.
        unsafe { compiled.run(args.pointers(), units, work.as_mut_ptr()) };
    };
    match run.threads {
        1 => work(part(0)),
        threads => std::thread::scope(|scope| {
            for i in 0..threads {
                let work = &work;
                scope.spawn(move || work(part(i)));
            }
        }),
    }
    Some(buffers)
}

/// How what is executed differs from what is interpreted. A kernel that may not be run at all does not differ.
fn disagreement(case: &Case, run: Run) -> Option<String> {
    let expected = case.expected().ok()?;
    let got = execute(case, run)?;
    expected.iter().zip(&got).enumerate().find_map(|(i, (expected, got))| {
        difference(expected, got.as_bytes()).map(|text| format!("{run:?}: a{i}, {text}"))
    })
}

/// Every way to execute a kernel on this machine.
fn runs() -> Vec<Run> {
    let mut out = Vec::new();
    for executor in [Executor::Vm, Executor::Jit] {
        for isa in Isa::available() {
            for (threads, edge) in [(1, Edge::End), (1, Edge::Start), (3, Edge::End)] {
                out.push(Run { executor, isa, threads, edge });
            }
        }
    }
    out
}

/// Fails with the smallest kernel that can be found to disagree.
pub(crate) fn check(case: &Case, what: &str) {
    for run in runs() {
        if let Some(difference) = disagreement(case, run) {
            let small = wootz_plan_testing::minimise(case, &mut |c| disagreement(c, run).is_some());
            let difference = disagreement(&small, run).unwrap_or(difference);
            panic!("{what}: {difference}\n{small}");
        }
    }
}
