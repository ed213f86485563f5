//! Every op at its own sample operands, in every float dtype it takes, and its gradient.

use crate::case::{Case, Primal, floats_as, single_op, tolerance_of};
use crate::numbers::Numbers;
use crate::{Scale, Tolerance};
use wootz_ir::ops::{RuleError, Sample};
use wootz_ir::{DType, Op};
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
            let case = Case { name, graph, inputs, tolerance: tolerance_of(&sample.op), derivative_of: None };
            let gradient = gradient(sample, *dtype, &case);
            cases.push(case);
            cases.extend(gradient);
        }
    }
    cases
}

fn gradient(sample: &Sample, dtype: DType, case: &Case) -> Option<Case> {
    let wide = matches!(dtype, DType::F64 | DType::F32);
    (wide && !sample.smooth.is_empty()).then(|| gradient_of(case, &sample.smooth)).flatten()
}

/// The derivatives of a case's results by some of its inputs, unless there are none.
pub(crate) fn gradient_of(case: &Case, wrt: &[usize]) -> Option<Case> {
    let graph = match wootz_transform::vjp(&case.graph, wrt) {
        Ok(graph) => graph,
        Err(TransformError::Rule { source: RuleError::NotDifferentiable { .. }, .. }) => return None,
        Err(error) => panic!("the gradient of {} cannot be built: {error}", case.name),
    };
    let mut numbers = Numbers::new(7);
    let mut inputs = case.inputs.clone();
    for i in inputs.len()..graph.inputs.len() {
        let ty = graph.input_type(i);
        let dims = ty.shape.concrete().unwrap_or_default();
        inputs.push(numbers.tensor(ty.dtype, &dims));
    }
    // A rule is a chain of a few ops, and its sums cancel.
    let tolerance = Tolerance { factor: 8.0, scale: Scale::Tensor };
    let derivative_of = Some(Primal { graph: case.graph.clone(), wrt: wrt.to_vec() });
    Some(Case { name: format!("gradient of {}", case.name), graph, inputs, tolerance, derivative_of })
}
