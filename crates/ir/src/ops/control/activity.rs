//! Which values of a region take part in a derivative.

use crate::ops::{Op, Unary};
use crate::{Node, Region};

/// For each value, whether it may have a non-zero derivative with respect to the parameters marked.
pub fn active(region: &Region, params: &[bool]) -> Vec<bool> {
    let mut active = vec![false; region.values()];
    for (value, marked) in region.params().zip(params) {
        active[value.index()] = *marked && region.ty(value).dtype.is_float();
    }
    for node in region.nodes() {
        if passes(node) && node.inputs.iter().any(|v| active[v.index()]) {
            for value in node.outputs() {
                active[value.index()] = region.ty(value).dtype.is_float();
            }
        }
    }
    active
}

/// For each value, whether the results marked may have a non-zero derivative with respect to it.
pub fn useful(region: &Region, results: &[bool]) -> Vec<bool> {
    let mut useful = vec![false; region.values()];
    for (value, marked) in region.results().iter().zip(results) {
        useful[value.index()] |= *marked && region.ty(*value).dtype.is_float();
    }
    for node in region.nodes().iter().rev() {
        if passes(node) && node.outputs().any(|v| useful[v.index()]) {
            for value in node.inputs.iter().filter(|v| region.ty(**v).dtype.is_float()) {
                useful[value.index()] = true;
            }
        }
    }
    useful
}

/// False for ops whose derivative is zero wherever it exists.
fn passes(node: &Node) -> bool {
    let flat = [Unary::StopGradient, Unary::Sign, Unary::Floor, Unary::Ceil, Unary::Round];
    !matches!(&node.op, Op::Unary(unary) if flat.contains(unary))
}
