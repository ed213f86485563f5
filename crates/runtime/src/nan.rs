//! Where a NaN in a result came from.

use wootz_ir::ops::{EvalCx, EvalError, Op};
use wootz_ir::{Graph, HostTensor, Region, Site, TensorType};

/// A result holds a NaN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NanFound {
    /// It was already in an input.
    #[error("input `{name}` holds a NaN")]
    Input {
        /// The input.
        name: String,
    },
    /// An op made the first one out of numbers.
    #[error("the first NaN arose in `{op}`{}", at(.site))]
    Op {
        /// The op.
        op: &'static str,
        /// The path of its block and the user's line.
        site: Site,
    },
    /// Where it arose is not known.
    #[error("`{output}` holds a NaN of unknown origin: {reason}")]
    Unknown {
        /// The output, parameter or state that holds it.
        output: String,
        /// Why its origin cannot be told.
        reason: String,
    },
}

fn at(site: &Site) -> String {
    if site.is_unknown() { String::new() } else { format!(" at {site}") }
}

/// Tells the origin of the NaN in `output` of a run on these arguments: runs the graph op by op on the reference interpreter,
/// regions included, until a NaN arises from operands without one.
pub fn origin(graph: &Graph, args: &[HostTensor], output: &str) -> NanFound {
    if let Some(i) = args.iter().position(has_nan) {
        return NanFound::Input { name: graph.inputs[i].name.to_string() };
    }
    let reason = match evaluate(&graph.body, args) {
        Err(Stop::Nan { op, site }) => return NanFound::Op { op, site },
        Err(Stop::Error(error)) => format!("the reference evaluation failed: {error}"),
        Ok(_) => {
            "the reference evaluation of the graph does not reproduce it; an intermediate result may have \
                  overflowed, so look for large operands"
                .to_owned()
        }
    };
    NanFound::Unknown { output: output.to_owned(), reason }
}

/// What ends a search.
enum Stop {
    Nan { op: &'static str, site: Site },
    Error(EvalError),
}

impl From<EvalError> for Stop {
    fn from(error: EvalError) -> Stop {
        Stop::Error(error)
    }
}

fn evaluate(region: &Region, args: &[HostTensor]) -> Result<Vec<HostTensor>, Stop> {
    let mut values = args.to_vec();
    for node in region.nodes() {
        let outputs: Vec<TensorType> = node.outputs().map(|v| region.ty(v).clone()).collect();
        let inputs: Vec<&HostTensor> = node.inputs.iter().map(|v| &values[v.index()]).collect();
        let cx = EvalCx { inputs: &inputs, outputs: &outputs };
        let results = match &node.op {
            Op::Control(op) => op.eval_with(&cx, &mut evaluate).map_err(|stop| match stop {
                Stop::Nan { op, site } if site.is_unknown() => Stop::Nan { op, site: node.site.clone() },
                stop => stop,
            })?,
            op => op.eval(&cx)?,
        };
        if results.iter().any(has_nan) {
            return Err(Stop::Nan { op: node.op.name(), site: node.site.clone() });
        }
        values.extend(results);
    }
    Ok(region.results().iter().map(|v| values[v.index()].clone()).collect())
}

/// True if a float tensor holds a NaN.
pub(crate) fn has_nan(tensor: &HostTensor) -> bool {
    match tensor.dtype() {
        wootz_ir::DType::F32 => tensor.as_slice::<f32>().iter().any(|x| x.is_nan()),
        wootz_ir::DType::F64 => tensor.as_slice::<f64>().iter().any(|x| x.is_nan()),
        wootz_ir::DType::F16 | wootz_ir::DType::BF16 => tensor.to_f64().iter().any(|x| x.is_nan()),
        _ => false,
    }
}
