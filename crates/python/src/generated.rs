//! Python source for other frameworks, and what calling it needs to know.

use crate::error::{Kind, OrRaise, Raise, guarded};
use crate::program::{Definition, level};
use crate::types::Spec;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyWeakrefMethods, PyWeakrefReference};
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
    /// (name, names of its members) of what that dict has stacked.
    stacks: Vec<(String, Vec<String>)>,
    /// Whether anything in it has 64 bits.
    wide: bool,
    /// Seconds of each stage, in order.
    stages: Vec<(&'static str, f64)>,
}

/// Parameters that were found right: names with the arrays themselves, held weakly.
#[pyclass(frozen, module = "wootz._native")]
pub(crate) struct Recognised {
    entries: Vec<(Py<PyAny>, Py<PyWeakrefReference>)>,
}

#[pymethods]
impl Recognised {
    /// Raises `TypeError` for arrays that cannot be held weakly.
    #[new]
    fn new(params: &Bound<'_, PyDict>) -> PyResult<Recognised> {
        let entry = |(name, array): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
            Ok((name.unbind(), PyWeakrefReference::new(&array)?.unbind()))
        };
        Ok(Recognised { entries: params.iter().map(entry).collect::<PyResult<_>>()? })
    }

    /// Whether these are the same arrays under the same names, in the same order.
    fn are(&self, params: &Bound<'_, PyDict>) -> bool {
        let py = params.py();
        params.len() == self.entries.len()
            && self.entries.iter().zip(params.iter()).all(|((name, weak), (given, array))| {
                given.is(name) && weak.bind(py).upgrade().is_some_and(|live| live.is(&array))
            })
    }
}

/// Writes the source of a definition for inputs of these shapes; `differentiate`: the derivatives of a training step are left to
/// the framework; `stack_layers`: equal layers in a row are one loop of the framework's.
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
    differentiate: bool,
    stack_layers: bool,
) -> PyResult<Generated> {
    let framework: Framework = framework
        .parse()
        .map_err(|error: wootz_pycode::UnknownFramework| Kind::Backend.error(error.to_string()))?;
    let level = level(optimize)?;
    let options = Options { framework, jit, jit_arguments, device, stack_layers };
    let shapes: BTreeMap<String, Dims> = shapes.into_iter().map(|(name, dims)| (name, dims.into())).collect();
    guarded(|| {
        py.detach(|| {
            let start = Instant::now();
            let specialised = |graph| wootz_runtime::specialise(graph, &shapes).or_raise();
            let optimized = |graph| {
                wootz_pycode::optimize(graph, level, framework)
                    .map_err(|error| Kind::Internal.error(error.to_string()))
            };
            let graph = specialised(&definition.inner.graph)?;
            let wide = wootz_pycode::has_64_bits(&graph.body);
            let (specialise, source, passes) = if differentiate {
                let (training, types) = definition.training.as_ref().ok_or_else(|| {
                    Kind::Model.error("only a training step leaves derivatives to a framework".to_owned())
                })?;
                let types: Vec<_> = types.iter().map(|(name, ty)| (name.as_str(), ty.clone())).collect();
                let apart = training.trace_apart(&types).or_raise()?;
                let (forward, update) = (specialised(&apart.forward)?, specialised(&apart.update)?);
                let specialise = start.elapsed();
                let step = wootz_pycode::Step {
                    forward: optimized(&forward)?,
                    update: optimized(&update)?,
                    gradients: apart.gradients,
                };
                let passes = start.elapsed();
                (specialise, wootz_pycode::emit_step(&step, &options).or_raise()?, passes)
            } else {
                let specialise = start.elapsed();
                let optimized = optimized(&graph)?;
                let passes = start.elapsed();
                (specialise, wootz_pycode::emit(&optimized, &options).or_raise()?, passes)
            };
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
                stacks: source.stacks.into_iter().map(|stack| (stack.name, stack.members)).collect(),
                wide,
                stages: vec![
                    ("specialise", specialise.as_secs_f64()),
                    ("passes", (passes - specialise).as_secs_f64()),
                    ("source", (emitted - passes).as_secs_f64()),
                ],
            })
        })
    })
}

impl Raise for EmitError {
    fn raise(self) -> PyErr {
        let kind = match &self {
            EmitError::DType { .. } | EmitError::Derivatives { .. } | EmitError::Stacking { .. } => {
                Kind::Backend
            }
            EmitError::NothingToStack => Kind::Model,
            EmitError::Symbolic { .. } => Kind::Shape,
            EmitError::Pass(_) => Kind::Internal,
        };
        kind.error(self.to_string())
    }
}
