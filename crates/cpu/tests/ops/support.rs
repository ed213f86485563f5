//! Compiles graphs for the CPU and runs them between canaries.

use std::sync::Arc;
use wootz_cpu::Cpu;
use wootz_cpu::isa::Isa;
use wootz_ir::{DType, Graph, HostTensor, Input, Output, Region, Role};
use wootz_passes::Optimize;
use wootz_runtime::{Backend, BackendOptions, Bindings, Executable, Stages};

const CANARY: u8 = 0xa5;
const GUARD: usize = 64;

/// A graph of a region whose inputs are all data.
pub fn graph(region: &Region) -> Graph {
    let input = |i: usize| Input { name: format!("x{i}").into(), role: Role::Input };
    let output = |i: usize| Output { name: format!("y{i}").into(), alias: None };
    Graph {
        inputs: (0..region.param_types().len()).map(input).collect(),
        outputs: (0..region.results().len()).map(output).collect(),
        body: Arc::new(region.clone()),
    }
}

pub fn compile(graph: &Graph, level: Optimize, isa: Isa, threads: usize) -> Arc<dyn Executable> {
    let backend = Cpu { isa: Some(isa) };
    let graph = wootz_passes::run(graph, level, &backend.target(), &mut |_, _| {}).expect("passes");
    let options = BackendOptions { threads: Some(threads), ..Default::default() };
    backend.compile(&graph, &options, &mut Stages::default()).expect("compiles")
}

/// Inputs and outputs, each output between canaries.
pub struct Memory {
    pub inputs: Vec<HostTensor>,
    outputs: Vec<HostTensor>,
    aliases: Vec<Option<usize>>,
}

impl Memory {
    pub fn new(graph: &Graph, inputs: &[HostTensor]) -> Memory {
        let outputs = graph.body.results().iter().zip(&graph.outputs).map(|(value, output)| {
            let bytes = graph.body.ty(*value).bytes().expect("a concrete size");
            let mut memory = HostTensor::zeros(DType::U8, &[bytes + 2 * GUARD]).expect("small");
            memory.bytes_mut().fill(CANARY);
            if let Some(input) = output.alias {
                memory.bytes_mut()[GUARD..GUARD + bytes].copy_from_slice(inputs[input].as_bytes());
            }
            memory
        });
        let aliases = graph.outputs.iter().map(|o| o.alias).collect();
        Memory { inputs: inputs.to_vec(), outputs: outputs.collect(), aliases }
    }

    pub fn result(&self, graph: &Graph, index: usize) -> HostTensor {
        let all = self.outputs[index].as_bytes();
        let (before, rest) = all.split_at(GUARD);
        let (bytes, after) = rest.split_at(rest.len() - GUARD);
        assert!(before.iter().chain(after).all(|b| *b == CANARY), "written out of bounds");
        let ty = graph.body.ty(graph.body.results()[index]);
        let dims = ty.shape.concrete().expect("concrete");
        HostTensor::from_bytes(ty.dtype, &dims, bytes).expect("the size fits")
    }
}

impl Bindings for Memory {
    fn input(&self, index: usize) -> &[u8] {
        assert!(!self.aliases.contains(&Some(index)), "an input that an output takes over");
        self.inputs[index].as_bytes()
    }

    fn output(&mut self, index: usize) -> &mut [u8] {
        let bytes = self.outputs[index].bytes_mut();
        let end = bytes.len() - GUARD;
        &mut bytes[GUARD..end]
    }
}

/// Runs a compiled graph twice on the same inputs (unless it updates them); both runs must agree.
pub fn run(graph: &Graph, executable: &dyn Executable, inputs: &[HostTensor]) -> Vec<HostTensor> {
    let params: Vec<Option<HostTensor>> = (0..inputs.len()).map(|i| Some(inputs[i].clone())).collect();
    let prepared = executable.prepare(&params).expect("prepares");
    let mut instance = executable.instance().expect("instance");
    let mut once = || {
        let mut memory = Memory::new(graph, inputs);
        instance.run(&prepared, &mut memory).expect("runs");
        (0..graph.outputs.len()).map(|i| memory.result(graph, i)).collect::<Vec<_>>()
    };
    let (first, second) = (once(), once());
    for (a, b) in first.iter().zip(&second) {
        assert_eq!(a.as_bytes(), b.as_bytes(), "a second run differs");
    }
    first
}

/// Asserts that results are what the interpreter says, up to `ulps` roundings of the largest magnitude involved.
pub fn assert_close(what: &str, got: &HostTensor, want: &HostTensor, ulps: f64) {
    assert_eq!((got.dtype(), got.dims()), (want.dtype(), want.dims()), "{what}");
    if !want.dtype().is_float() {
        assert_eq!(got.to_i64(), want.to_i64(), "{what}");
        return;
    }
    let epsilon = match want.dtype() {
        DType::F16 => 2f64.powi(-10),
        DType::BF16 => 2f64.powi(-7),
        DType::F32 => 2f64.powi(-23),
        _ => 2f64.powi(-52),
    };
    let (got, want) = (got.to_f64(), want.to_f64());
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        let same = g == w || (g.is_nan() && w.is_nan());
        let close = (g - w).abs() <= ulps * epsilon * w.abs().max(f64::MIN_POSITIVE);
        assert!(
            same || close,
            "{what}: element {i} is {g:e}, the interpreter says {w:e}\n got {got:?}\nwant {want:?}"
        );
    }
}
