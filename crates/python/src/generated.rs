//! Python source for other frameworks, and what calling it needs to know.

use crate::error::{Kind, OrRaise, Raise, guarded};
use crate::program::{Definition, level};
use crate::types::Spec;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType, PyWeakrefMethods, PyWeakrefReference};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

/// Calls that were found right: what calls a program of another framework in little time. Python's class of such programs is made
/// of it, and gives it `_call` for all other calls.
#[pyclass(frozen, subclass, module = "wootz._native")]
pub(crate) struct Caller {
    known: Mutex<Option<Arc<Known>>>,
}

/// What a right call looks like.
struct Known {
    function: Py<PyAny>,
    /// The dict that comes first: names with the arrays themselves, held weakly.
    params: Option<Vec<(Py<PyAny>, Py<PyWeakrefReference>)>>,
    /// Names, shapes and dtypes of the arrays that follow.
    inputs: Vec<(Py<PyString>, Py<PyAny>, Py<PyAny>)>,
    /// The type of those arrays.
    kind: Py<PyType>,
}

#[pymethods]
impl Caller {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Caller {
        Caller { known: Mutex::new(None) }
    }

    /// Calls with these very parameters, and with arrays of this type and of these names, shapes and dtypes, go straight to the
    /// function. Raises `TypeError` for parameters that cannot be held weakly.
    fn _recognise(
        &self,
        function: Py<PyAny>,
        params: Option<&Bound<'_, PyDict>>,
        inputs: Vec<(Py<PyString>, Py<PyAny>, Py<PyAny>)>,
        kind: Py<PyType>,
    ) -> PyResult<()> {
        let entry = |(name, array): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
            Ok((name.unbind(), PyWeakrefReference::new(&array)?.unbind()))
        };
        let params = params.map(|params| params.iter().map(entry).collect::<PyResult<_>>()).transpose()?;
        *self.lock() = Some(Arc::new(Known { function, params, inputs, kind }));
        Ok(())
    }

    #[pyo3(signature = (*args, **inputs))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        inputs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let known = slf.get().lock().clone();
        if let Some(known) = known
            && let Some(arguments) = known.arguments(args, inputs)?
        {
            return known.function.bind(slf.py()).call1(arguments);
        }
        slf.getattr(intern!(slf.py(), "_call"))?.call(args, inputs)
    }
}

impl Caller {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Known>>> {
        // What is in it is replaced as a whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The function's arguments, if the call is right.
    fn arguments<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        given: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let py = args.py();
        let first = match &self.params {
            None if args.is_empty() => None,
            Some(known) if args.len() == 1 => {
                let params = args.get_item(0)?;
                let Ok(dict) = params.cast_exact::<PyDict>() else { return Ok(None) };
                let mut pairs = known.iter().zip(dict.iter());
                let same = dict.len() == known.len()
                    && pairs.all(|((name, array), (given, value))| {
                        given.is(name) && array.bind(py).upgrade().is_some_and(|live| live.is(&value))
                    });
                if !same {
                    return Ok(None);
                }
                Some(params)
            }
            _ => return Ok(None),
        };
        if given.map_or(0, PyDictMethods::len) != self.inputs.len() {
            return Ok(None);
        }
        let mut arguments: SmallVec<[Bound<'py, PyAny>; 8]> = first.into_iter().collect();
        for (name, shape, dtype) in &self.inputs {
            let Some(array) = given.map(|given| given.get_item(name)).transpose()?.flatten() else {
                return Ok(None);
            };
            if !array.get_type().is(&self.kind)
                || !array.getattr(intern!(py, "shape"))?.eq(shape)?
                || !is_equal(&array.getattr(intern!(py, "dtype"))?, dtype)?
            {
                return Ok(None);
            }
            arguments.push(array);
        }
        PyTuple::new(py, arguments).map(Some)
    }
}

/// Dtypes are mostly the same object.
fn is_equal(x: &Bound<'_, PyAny>, y: &Py<PyAny>) -> PyResult<bool> {
    Ok(x.is(y) || x.eq(y)?)
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
