//! Compiles graphs for the CPU and runs them on memory that ends at guard pages, outputs after canaries.

// Reason: guard pages are made by the system, and written through pointers.
#![allow(unsafe_code)]

#[path = "../kernels/guard.rs"]
pub(crate) mod guard;

use guard::{Edge, Guarded};
use std::sync::Arc;
use wootz_cpu::Cpu;
use wootz_cpu::isa::Isa;
use wootz_ir::{Graph, HostTensor, Input, Output, Region, Role};
use wootz_passes::Optimize;
use wootz_runtime::{Backend, BackendOptions, Bindings, Executable, Stages};

const CANARY: u8 = 0xa5;
const GUARD: usize = 64;

/// A graph of a region whose inputs are all data.
pub(crate) fn graph(region: &Region) -> Graph {
    let input = |i: usize| Input { name: format!("x{i}").into(), role: Role::Input };
    let output = |i: usize| Output { name: format!("y{i}").into(), alias: None };
    Graph {
        inputs: (0..region.param_types().len()).map(input).collect(),
        outputs: (0..region.results().len()).map(output).collect(),
        body: Arc::new(region.clone()),
    }
}

pub(crate) fn compile(graph: &Graph, level: Optimize, isa: Isa, threads: usize) -> Arc<dyn Executable> {
    compile_with(graph, level, Cpu { isa: Some(isa), jit: None }, threads)
}

pub(crate) fn compile_with(
    graph: &Graph,
    level: Optimize,
    backend: Cpu,
    threads: usize,
) -> Arc<dyn Executable> {
    let graph = wootz_passes::run(graph, level, &backend.target(), &mut |_, _| {}).expect("passes");
    let options = BackendOptions { threads: Some(threads) };
    backend.compile(&graph, &options, &mut Stages::default()).expect("compiles")
}

/// Inputs and outputs, each at a guard page: an access outside of them on that side ends the process. Outputs that end at one
/// begin after canaries.
pub(crate) struct Memory {
    inputs: Vec<Guarded>,
    outputs: Vec<Guarded>,
    /// Canaries before each output.
    canaries: usize,
    aliases: Vec<Option<usize>>,
}

impl Memory {
    pub(crate) fn new(graph: &Graph, inputs: &[HostTensor]) -> Memory {
        Memory::at(Edge::End, graph, inputs)
    }

    pub(crate) fn at(edge: Edge, graph: &Graph, inputs: &[HostTensor]) -> Memory {
        let canaries = if edge == Edge::Start { 0 } else { GUARD };
        let outputs = graph.body.results().iter().zip(&graph.outputs).map(|(value, output)| {
            let bytes = graph.body.ty(*value).bytes().expect("a concrete size");
            let mut memory = vec![CANARY; canaries + bytes];
            if let Some(input) = output.alias {
                memory[canaries..].copy_from_slice(inputs[input].as_bytes());
            }
            Guarded::holding(&memory, edge)
        });
        let aliases = graph.outputs.iter().map(|o| o.alias).collect();
        let guarded = |x: &HostTensor| Guarded::holding(x.as_bytes(), edge);
        Memory { inputs: inputs.iter().map(guarded).collect(), outputs: outputs.collect(), canaries, aliases }
    }

    pub(crate) fn result(&self, graph: &Graph, index: usize) -> HostTensor {
        let all = self.outputs[index].as_bytes();
        let (before, bytes) = all.split_at(self.canaries);
        assert!(before.iter().all(|b| *b == CANARY), "written out of bounds");
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
        let output = &mut self.outputs[index];
        let len = output.as_bytes().len();
        // SAFETY: `len` bytes that were initialised, borrowed as long as `self` is.
        let bytes = unsafe { std::slice::from_raw_parts_mut(output.as_mut_ptr(), len) };
        &mut bytes[self.canaries..]
    }
}
