//! Python source for other frameworks, and what calling it needs to know.

use crate::error::{Kind, OrRaise, Raise, guarded};
use crate::program::{Definition, level};
use crate::types::Spec;
use pyo3::prelude::*;
use std::collections::BTreeMap;
use std::time::Instant;
use wootz_ir::Dims;
use wootz_pycode::{EmitError, Framework, Options};
use wootz_runtime::Signature;

/// A program as the source of a module.
#[pyclass(frozen, get_all, module = "wootz._native")]
pub(crate) struct Generated {
    /// The text of the module.
    source: String,
    /// The function that runs the program.
    function: &'static str,
    /// Whether its first argument is a dict of parameters or state.
    held: bool,
    /// (name, role, type) of every input.
    inputs: Vec<(String, &'static str, Spec)>,
    /// (name, whether it updates the state, type) of every output.
    outputs: Vec<(String, bool, Spec)>,
    /// Whether anything in it has 64 bits.
    wide: bool,
    /// Seconds of each stage, in order.
    stages: Vec<(&'static str, f64)>,
}

/// Writes the source of a definition for inputs of these shapes.
#[pyfunction]
pub(crate) fn generate(
    py: Python<'_>,
    definition: &Definition,
    shapes: BTreeMap<String, Vec<usize>>,
    framework: &str,
    optimize: &str,
    jit: bool,
    jit_arguments: String,
    device: Option<String>,
) -> PyResult<Generated> {
    let framework: Framework = framework
        .parse()
        .map_err(|error: wootz_pycode::UnknownFramework| Kind::Backend.error(error.to_string()))?;
    let level = level(optimize)?;
    let options = Options { framework, jit, jit_arguments, device };
    let shapes: BTreeMap<String, Dims> = shapes.into_iter().map(|(name, dims)| (name, dims.into())).collect();
    guarded(|| {
        py.detach(|| {
            let start = Instant::now();
            let graph = wootz_runtime::specialise(&definition.inner.graph, &shapes).or_raise()?;
            let specialised = start.elapsed();
            let graph = wootz_pycode::optimize(&graph, level, framework)
                .map_err(|error| Kind::Internal.error(error.to_string()))?;
            let optimized = start.elapsed();
            let source = wootz_pycode::emit(&graph, &options).or_raise()?;
            let emitted = start.elapsed();
            let signature = Signature::of(&graph);
            let inputs =
                signature.inputs.iter().map(|x| (x.name.to_string(), x.role.name(), Spec(x.ty.clone())));
            let outputs = signature
                .outputs
                .iter()
                .map(|x| (x.name.to_string(), x.updates.is_some(), Spec(x.ty.clone())));
            Ok(Generated {
                source: source.text,
                function: source.function,
                held: source.held,
                inputs: inputs.collect(),
                outputs: outputs.collect(),
                wide: wootz_pycode::has_64_bits(&graph.body),
                stages: vec![
                    ("specialise", specialised.as_secs_f64()),
                    ("passes", (optimized - specialised).as_secs_f64()),
                    ("source", (emitted - optimized).as_secs_f64()),
                ],
            })
        })
    })
}

impl Raise for EmitError {
    fn raise(self) -> PyErr {
        let kind = match &self {
            EmitError::DType { .. } => Kind::Backend,
            EmitError::Symbolic { .. } => Kind::Shape,
            EmitError::Pass(_) => Kind::Internal,
        };
        kind.error(self.to_string())
    }
}
