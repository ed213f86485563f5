//! Where the first NaN came from.

use wootz_ir::ops::{EvalCx, Op};
use wootz_ir::{Graph, HostTensor, Site, TensorType};

/// The first op that made a NaN out of numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", describe(.op, .site))]
pub struct FirstNan {
    /// The op; `None` if a NaN was already in an input.
    pub op: Option<&'static str>,
    /// The path of its block and the user's line, or the input's name.
    pub site: Site,
}

fn describe(op: &Option<&'static str>, site: &Site) -> String {
    match op {
        None => format!("input `{site}` holds a NaN"),
        Some(op) if site.is_unknown() => format!("the first NaN arose in `{op}`"),
        Some(op) => format!("the first NaN arose in `{op}` at {site}"),
    }
}

/// Runs a graph op by op on the reference interpreter until a NaN arises from operands without one. `None` if none does.
pub fn first_nan(graph: &Graph, args: &[HostTensor]) -> Option<FirstNan> {
    if let Some(i) = args.iter().position(has_nan) {
        return Some(FirstNan { op: None, site: Site::new(&graph.inputs[i].name) });
    }
    region_nan(&graph.body, args).err()
}

fn region_nan(region: &wootz_ir::Region, args: &[HostTensor]) -> Result<(), FirstNan> {
    let mut values = args.to_vec();
    for node in region.nodes() {
        let outputs: Vec<TensorType> = node.outputs().map(|v| region.ty(v).clone()).collect();
        let inputs: Vec<&HostTensor> = node.inputs.iter().map(|v| &values[v.index()]).collect();
        let Ok(results) = node.op.eval(&EvalCx { inputs: &inputs, outputs: &outputs }) else { return Ok(()) };
        if results.iter().any(has_nan) {
            // Inside a block the place is known more closely.
            if let Op::Control(wootz_ir::ops::Control::Call { body }) = &node.op {
                let owned: Vec<HostTensor> = inputs.into_iter().cloned().collect();
                region_nan(body, &owned)?;
            }
            return Err(FirstNan { op: Some(node.op.name()), site: node.site.clone() });
        }
        values.extend(results);
    }
    Ok(())
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
