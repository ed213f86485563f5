//! Once warm, a run of a session and a training step in the caller's memory allocate nothing.

// Reason: a counting allocator is an unsafe trait's implementation.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use wootz::prelude::*;
use wootz::runtime::{BackendOptions, Bindings};

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

/// Tensors by their position in a signature.
struct Memory {
    inputs: Vec<Option<HostTensor>>,
    outputs: Vec<Option<HostTensor>>,
}

impl Bindings for Memory {
    fn input(&self, index: usize) -> &[u8] {
        self.inputs[index].as_ref().expect("bound").as_bytes()
    }

    fn output(&mut self, index: usize) -> &mut [u8] {
        self.outputs[index].as_mut().expect("bound").bytes_mut()
    }
}

/// How often `run` allocates after some runs. Threads allocate when they start, which may be late.
fn allocations(mut run: impl FnMut()) -> usize {
    for _ in 0..10 {
        run();
        std::thread::sleep(Duration::from_millis(5));
    }
    let before = COUNT.load(Ordering::Relaxed);
    for _ in 0..10 {
        run();
    }
    COUNT.load(Ordering::Relaxed) - before
}

fn options(threads: usize) -> Options {
    Options { backend: BackendOptions { threads: Some(threads), ..Default::default() }, ..Options::default() }
}

/// One test: the count is the process's.
#[test]
fn warm_runs_and_steps_allocate_nothing() {
    for threads in [1, 2] {
        let model = nn::mlp(&[64, 200, 300, 10]);
        let traced = nn::trace(&model, &inputs! { x: f32[96, 64] }, Mode::Inference).expect("a model");
        let program = compile(&traced.into(), &BTreeMap::new(), &Cpu::default(), &options(threads));
        let program = program.expect("a program");
        let params = program.init(0).expect("parameters");
        let mut session = program.session(&params).expect("a session");
        session.set("x", HostTensor::zeros(DType::F32, &[96, 64]).expect("small")).expect("fits");
        let count = allocations(|| session.run().expect("runs"));
        assert_eq!(count, 0, "runs of a session on {threads} threads");

        let training = nn::training(nn::mlp(&[64, 200, 300, 10]), nn::cross_entropy(), nn::adamw(1e-3));
        let traced = training.trace(&inputs! { x: f32[96, 64], y: i64[96] }).expect("a training step");
        let step = compile(&traced.into(), &BTreeMap::new(), &Cpu::default(), &options(threads));
        let step = step.expect("a program");
        let mut state = step.init_state(0).expect("a state");
        let signature = step.signature();
        let zeros = |ty: &TensorType| {
            HostTensor::zeros(ty.dtype, &ty.shape.concrete().expect("numbers")).expect("small")
        };
        let given = |i: &wootz::runtime::InputSpec| (i.role == wootz::ir::Role::Input).then(|| zeros(&i.ty));
        let mut memory = Memory {
            inputs: signature.inputs.iter().map(given).collect(),
            outputs: signature.outputs.iter().map(|o| o.updates.is_none().then(|| zeros(&o.ty))).collect(),
        };
        let count = allocations(|| step.step_with(&mut state, &mut memory).expect("steps"));
        assert_eq!(count, 0, "training steps on {threads} threads");
    }
}
