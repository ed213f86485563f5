//! wootz as a contender: a graph compiled and run over and over.

use std::collections::BTreeMap;

use wootz::Cpu;
use wootz::cpu::isa::Isa;
use wootz::ir::{Builder, DType, Graph, HostTensor, Input, Output, Role, TensorType, TypeError, Value};
use wootz::runtime::{self, BackendOptions, Definition, Options, Params, Program, Session};
use wootz_bench::kernels::{Contender, Tensor};

/// A graph of named inputs with the outputs `y0`, `y1`, ….
pub(super) fn graph(
    inputs: &[(&str, TensorType)],
    build: impl FnOnce(&mut Builder, &[Value]) -> Result<Vec<Value>, TypeError>,
) -> Result<Graph, String> {
    let mut b = Builder::new();
    let values: Vec<Value> = inputs.iter().map(|(_, ty)| b.param(ty.clone())).collect();
    let results = build(&mut b, &values).map_err(|e| e.to_string())?;
    Ok(Graph {
        inputs: inputs.iter().map(|(name, _)| Input { name: (*name).into(), role: Role::Input }).collect(),
        outputs: (0..results.len()).map(|i| Output { name: format!("y{i}").into(), alias: None }).collect(),
        body: b.finish(&results).into(),
    })
}

/// Compiles a graph for an instruction set and at most `threads` threads.
pub(super) fn compile(graph: Graph, isa: Isa, threads: usize) -> Result<Program, String> {
    let backend = BackendOptions { threads: Some(threads) };
    let options = Options { backend, ..Options::default() };
    runtime::compile(&Definition::from(graph), &BTreeMap::new(), &cpu(isa), &options)
        .map_err(|e| e.to_string())
}

/// The backend held to an instruction set.
pub(super) fn cpu(isa: Isa) -> Cpu {
    Cpu { isa: Some(isa), ..Cpu::default() }
}

/// A program that is run over and over.
pub(super) struct Running {
    name: String,
    session: Session,
}

impl Running {
    /// Compiles the graph and binds the inputs, in order.
    pub(super) fn boxed(
        name: &str,
        graph: Graph,
        inputs: &[HostTensor],
        isa: Isa,
        threads: usize,
    ) -> Result<Box<dyn Contender>, String> {
        let program = compile(graph, isa, threads)?;
        let mut session = program.session(&Params::default()).map_err(|e| e.to_string())?;
        for (i, input) in inputs.iter().enumerate() {
            session.set_at(i, input.clone()).map_err(|e| e.to_string())?;
        }
        Ok(Box::new(Running { name: name.to_owned(), session }))
    }
}

impl Contender for Running {
    fn name(&self) -> &str {
        &self.name
    }

    fn step(&mut self) -> Result<(), String> {
        self.session.run().map_err(|e| e.to_string())
    }

    fn output(&mut self) -> Result<Option<Vec<f64>>, String> {
        Ok(Some(self.session.outputs().iter().flat_map(HostTensor::to_f64).collect()))
    }
}

/// An f32 tensor of the benchmark as wootz has it.
pub(super) fn tensor(from: &Tensor) -> Result<HostTensor, String> {
    HostTensor::from_slice(&from.shape, &from.values).map_err(|e| e.to_string())
}

/// The type of an f32 tensor.
pub(super) fn f32s(dims: &[usize]) -> TensorType {
    TensorType::new(DType::F32, dims)
}
