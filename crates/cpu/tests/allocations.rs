//! Running allocates nothing.

// Reason: a counting allocator is an unsafe trait's implementation.
#![allow(unsafe_code)]

#[path = "ops/support.rs"]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{Memory, compile, graph};
use wootz_cpu::Cpu;
use wootz_cpu::isa::Isa;
use wootz_ir::{Builder, DType, HostTensor, Role, TensorType, Value};
use wootz_nn::{self as nn, Mode};
use wootz_passes::Optimize;
use wootz_runtime::{BackendOptions, Bindings, Options};

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

/// One test: the count is the process's.
#[test]
fn once_warm_nothing_is_allocated() {
    for threads in [1, 2] {
        an_instance(threads);
        a_session(threads);
        a_training_step(threads);
    }
}

fn an_instance(threads: usize) {
    let inputs =
        [[64usize, 300], [300, 200], [64, 200]].map(|d| HostTensor::zeros(DType::F32, &d).expect("small"));
    let mut b = Builder::new();
    let p: Vec<Value> = inputs.iter().map(|t| b.param(t.ty())).collect();
    let product = b.matmul(p[0], p[1]).expect("well typed");
    let sum = b.add(product, p[2]).expect("equal types");
    let rows = b.sum(sum, &[1]).expect("an axis");
    let graph = graph(&b.finish(&[sum, rows]));
    let executable = compile(&graph, Optimize::Full, Isa::best(), threads);
    let prepared = executable.prepare(&[None, None, None]).expect("nothing to prepare");
    let mut instance = executable.instance().expect("memory");
    let mut memory = Memory::new(&graph, &inputs);
    let count = allocations(|| instance.run(&prepared, &mut memory).expect("runs"));
    assert_eq!(count, 0, "runs of an instance on {threads} threads");
    assert_eq!(memory.result(&graph, 1).to_f64(), [0.0; 64]);
}

fn options(threads: usize) -> Options {
    Options { backend: BackendOptions { threads: Some(threads) }, ..Options::default() }
}

fn zeros(ty: &TensorType) -> HostTensor {
    HostTensor::zeros(ty.dtype, &ty.shape.concrete().expect("numbers")).expect("small")
}

fn a_session(threads: usize) {
    let x = TensorType::new(DType::F32, [96usize, 64]);
    let model = nn::trace(&nn::mlp(&[64, 200, 300, 10]), &[("x", x.clone())], Mode::Inference);
    let definition = model.expect("a model").into();
    let program = wootz_runtime::compile(&definition, &BTreeMap::new(), &Cpu::default(), &options(threads));
    let program = program.expect("a program");
    let params = program.init(0).expect("parameters");
    let mut session = program.session(&params).expect("a session");
    session.set("x", zeros(&x)).expect("it fits");
    let count = allocations(|| session.run().expect("runs"));
    assert_eq!(count, 0, "runs of a session on {threads} threads");
}

/// Tensors by their position in a signature.
struct Bound {
    inputs: Vec<Option<HostTensor>>,
    outputs: Vec<Option<HostTensor>>,
}

impl Bindings for Bound {
    fn input(&self, index: usize) -> &[u8] {
        self.inputs[index].as_ref().expect("bound").as_bytes()
    }

    fn output(&mut self, index: usize) -> &mut [u8] {
        self.outputs[index].as_mut().expect("bound").bytes_mut()
    }
}

fn a_training_step(threads: usize) {
    let training = nn::training(nn::mlp(&[64, 200, 300, 10]), nn::cross_entropy(), nn::adamw(1e-3));
    let types =
        [("x", TensorType::new(DType::F32, [96usize, 64])), ("y", TensorType::new(DType::I64, [96usize]))];
    let definition = training.trace(&types).expect("a training step").into();
    let step = wootz_runtime::compile(&definition, &BTreeMap::new(), &Cpu::default(), &options(threads));
    let step = step.expect("a program");
    let mut state = step.init_state(0).expect("a state");
    let signature = step.signature();
    let mut memory = Bound {
        inputs: signature.inputs.iter().map(|i| (i.role == Role::Input).then(|| zeros(&i.ty))).collect(),
        outputs: signature.outputs.iter().map(|o| o.updates.is_none().then(|| zeros(&o.ty))).collect(),
    };
    let count = allocations(|| step.step_with(&mut state, &mut memory).expect("steps"));
    assert_eq!(count, 0, "training steps on {threads} threads");
}
