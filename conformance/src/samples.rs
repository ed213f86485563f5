//! Every op at its own sample operands, in every float dtype it takes, and its gradient.

use crate::case::{Case, floats_as, single_op, tolerance_of};
use crate::numbers::Numbers;
use crate::{Scale, Tolerance};
use wootz_ir::ops::{RuleError, Sample};
use wootz_ir::{DType, Graph, HostTensor, Op};
use wootz_transform::TransformError;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, sample) in Op::samples().iter().enumerate() {
        let has_floats = sample.inputs.iter().any(|t| t.dtype().is_float());
        let dtypes: &[DType] =
            if has_floats { &[DType::F64, DType::F32, DType::F16, DType::BF16] } else { &[DType::F64] };
        for dtype in dtypes {
            let inputs = floats_as(*dtype, &sample.inputs);
            // Ops whose attributes or regions name a dtype take their floats in that one only.
            let Ok(graph) = single_op(&sample.op, &inputs) else { continue };
            let name = format!("{} sample {i} {dtype}", sample.op.name());
            let gradient = gradient(sample, *dtype, &name, &graph, &inputs);
            cases.push(Case { name, graph, inputs, tolerance: tolerance_of(&sample.op) });
            cases.extend(gradient);
        }
    }
    cases
}

fn gradient(sample: &Sample, dtype: DType, name: &str, graph: &Graph, inputs: &[HostTensor]) -> Option<Case> {
    if sample.smooth.is_empty() || !matches!(dtype, DType::F64 | DType::F32) {
        return None;
    }
    let graph = match wootz_transform::vjp(graph, &sample.smooth) {
        Ok(graph) => graph,
        Err(TransformError::Rule { source: RuleError::NotDifferentiable { .. }, .. }) => return None,
        Err(error) => panic!("the gradient of {name} cannot be built: {error}"),
    };
    let mut numbers = Numbers::new(7);
    let mut inputs = inputs.to_vec();
    for i in inputs.len()..graph.inputs.len() {
        let ty = graph.input_type(i);
        let dims = ty.shape.concrete().unwrap_or_default();
        inputs.push(numbers.tensor(ty.dtype, &dims));
    }
    // A rule is a chain of a few ops, and its sums cancel.
    let tolerance = Tolerance { factor: 8.0, scale: Scale::Tensor };
    Some(Case { name: format!("gradient of {name}"), graph, inputs, tolerance })
}
