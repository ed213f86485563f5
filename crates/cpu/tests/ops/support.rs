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
    let backend = Cpu { isa: Some(isa), jit: None };
    let graph = wootz_passes::run(graph, level, &backend.target(), &mut |_, _| {}).expect("passes");
    let options = BackendOptions { threads: Some(threads) };
    backend.compile(&graph, &options, &mut Stages::default()).expect("compiles")
}

/// Inputs and outputs, each output between canaries.
pub(crate) struct Memory {
    pub(crate) inputs: Vec<HostTensor>,
    outputs: Vec<HostTensor>,
    aliases: Vec<Option<usize>>,
}

impl Memory {
    pub(crate) fn new(graph: &Graph, inputs: &[HostTensor]) -> Memory {
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

    pub(crate) fn result(&self, graph: &Graph, index: usize) -> HostTensor {
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
