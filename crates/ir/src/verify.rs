//! The verifier: checks a graph or region from scratch, trusting nothing.

use crate::ops::InferCx;
use crate::{Def, Graph, Region, Site, Solver, TensorType, TypeError, Value};
use std::collections::HashSet;

/// A graph is malformed: always an error in whatever built it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum VerifyError {
    #[error("node {node} ({op}) uses {value}, which is not defined before it{}", at(.site))]
    Undefined { node: usize, op: &'static str, value: Value, site: Site },
    #[error("{value} is a result but is not defined")]
    UndefinedResult { value: Value },
    #[error("node {node} ({op}) defines values of types {found:?}, its rule gives {expected:?}{}", at(.site))]
    Types { node: usize, op: &'static str, expected: Vec<TensorType>, found: Vec<TensorType>, site: Site },
    #[error("node {node}: {error}")]
    Rule { node: usize, error: TypeError },
    #[error("the definition of {value} does not lead back to it")]
    Definition { value: Value },
    #[error("{value} has the impossible type {ty}")]
    Size { value: Value, ty: TensorType },
    #[error("{what}: {named} names for {values} values")]
    Signature { what: &'static str, named: usize, values: usize },
    #[error("two {what}s are called `{name}`")]
    DuplicateName { what: &'static str, name: String },
    #[error("output `{output}` aliases input {input}, which {reason}")]
    Alias { output: String, input: usize, reason: &'static str },
}

fn at(site: &Site) -> String {
    if site.is_unknown() { String::new() } else { format!(" (at {site})") }
}

/// Checks a graph: its body, and that its signature fits it.
pub fn verify(graph: &Graph) -> Result<(), VerifyError> {
    let body = &graph.body;
    let counts = [
        ("inputs", graph.inputs.len(), body.params as usize),
        ("outputs", graph.outputs.len(), body.results.len()),
    ];
    for (what, named, values) in counts {
        if named != values {
            return Err(VerifyError::Signature { what, named, values });
        }
    }
    unique("input", graph.inputs.iter().map(|i| &*i.name))?;
    unique("output", graph.outputs.iter().map(|o| &*o.name))?;
    verify_region(body)?;
    let mut taken = HashSet::new();
    for (i, output) in graph.outputs.iter().enumerate() {
        let Some(input) = output.alias else { continue };
        let reason = if input >= graph.inputs.len() {
            "does not exist"
        } else if graph.input_type(input) != graph.output_type(i) {
            "has another type"
        } else if !taken.insert(input) {
            "another output aliases too"
        } else {
            continue;
        };
        return Err(VerifyError::Alias { output: output.name.to_string(), input, reason });
    }
    Ok(())
}

fn unique<'a>(what: &'static str, names: impl Iterator<Item = &'a str>) -> Result<(), VerifyError> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(VerifyError::DuplicateName { what, name: name.to_owned() });
        }
    }
    Ok(())
}

/// Checks a region and those its ops own: definition before use, types as the rules give them, possible sizes.
pub fn verify_region(region: &Region) -> Result<(), VerifyError> {
    let mut defined = region.params as usize;
    for value in region.params() {
        if region.def(value) != Def::Param(value.index()) {
            return Err(VerifyError::Definition { value });
        }
    }
    for id in region.node_ids() {
        let node = region.node(id);
        let (op, site) = (node.op.name(), &node.site);
        if let Some(value) = node.inputs.iter().find(|v| v.index() >= defined) {
            return Err(VerifyError::Undefined { node: id.index(), op, value: *value, site: site.clone() });
        }
        for inner in node.op.regions() {
            verify_region(inner)?;
        }
        let types: Vec<&TensorType> = node.inputs.iter().map(|v| region.ty(*v)).collect();
        let mut solver = Solver::closed();
        let mut cx = InferCx { op: &node.op, inputs: &types, solver: &mut solver };
        let expected = match node.op.infer(&mut cx) {
            Ok(types) => types.to_vec(),
            Err(error) => return Err(VerifyError::Rule { node: id.index(), error: error.at(site) }),
        };
        let found: Vec<TensorType> =
            node.outputs().filter_map(|v| region.types.get(v.index()).cloned()).collect();
        if expected != found {
            return Err(VerifyError::Types { node: id.index(), op, expected, found, site: site.clone() });
        }
        for (i, value) in node.outputs().enumerate() {
            if value.index() != defined || region.def(value) != Def::Node(id, i) {
                return Err(VerifyError::Definition { value });
            }
            defined += 1;
        }
    }
    for (i, ty) in region.types.iter().enumerate() {
        let impossible = ty.shape.iter().any(|d| matches!(d, crate::Dim::Const(n) if *n < 0));
        let overflows = ty.shape.concrete().is_some() && ty.bytes().is_none();
        if impossible || overflows {
            return Err(VerifyError::Size { value: Value(i as u32), ty: ty.clone() });
        }
    }
    match region.results.iter().find(|v| v.index() >= defined) {
        Some(value) => Err(VerifyError::UndefinedResult { value: *value }),
        None => Ok(()),
    }
}
