//! The reference interpreter: slow and obvious, the definition of every op that backends are held to.

pub(crate) mod lanes;
pub mod scalar;
pub mod special;

use crate::ops::{EvalCx, EvalError};
use crate::{HostTensor, Region, TensorType};

/// Runs a region on concrete arguments.
pub fn region(region: &Region, args: &[HostTensor]) -> Result<Vec<HostTensor>, EvalError> {
    let params = region.param_types();
    if params.len() != args.len() {
        return Err(EvalError::Arguments { expected: params.len(), got: args.len() });
    }
    for (index, (expected, arg)) in params.iter().zip(args).enumerate() {
        if *expected != arg.ty() {
            return Err(EvalError::Argument {
                index,
                expected: Box::new(expected.clone()),
                got: Box::new(arg.ty()),
            });
        }
    }
    let mut values: Vec<HostTensor> = args.to_vec();
    for node in region.nodes() {
        let outputs: Vec<TensorType> = node.outputs().map(|v| region.ty(v).clone()).collect();
        if let Some(dim) = outputs.iter().flat_map(|t| t.shape.iter()).find(|d| d.as_const().is_none()) {
            let (op, dim, site) = (node.op.name(), dim.clone(), node.site.clone());
            return Err(EvalError::Symbolic { op, dim, site });
        }
        let inputs: Vec<&HostTensor> = node.inputs.iter().map(|v| &values[v.index()]).collect();
        let results = node.op.eval(&EvalCx { inputs: &inputs, outputs: &outputs })?;
        debug_assert!(results.iter().map(HostTensor::ty).eq(outputs.iter().cloned()), "{}", node.op.name());
        values.extend(results);
    }
    Ok(region.results().iter().map(|v| values[v.index()].clone()).collect())
}
