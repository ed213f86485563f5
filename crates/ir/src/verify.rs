//! The verifier: checks a graph or region from scratch, trusting nothing.

use crate::ops::InferCx;
use crate::{Def, Graph, Region, Site, Solver, TensorType, TypeError, Value};
use smallvec::SmallVec;
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
        let types: SmallVec<[&TensorType; 4]> = node.inputs.iter().map(|v| region.ty(*v)).collect();
        let mut solver = Solver::closed();
        let mut cx = InferCx { op: &node.op, inputs: &types, solver: &mut solver };
        let expected = match node.op.infer(&mut cx) {
            Ok(types) => types,
            Err(error) => return Err(VerifyError::Rule { node: id.index(), error: error.at(site) }),
        };
        let found = node.outputs().filter_map(|v| region.types.get(v.index()));
        if !found.clone().eq(&expected) {
            let (expected, found) = (expected.into_vec(), found.cloned().collect());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Control, Unary};
    use crate::{Builder, DType, Dim, Input, NodeId, Output, Role};
    use std::sync::Arc;

    fn vector() -> TensorType {
        TensorType::new(DType::F32, ["N"])
    }

    /// x ↦ exp(x), x + exp(x).
    fn region() -> Region {
        let mut b = Builder::new();
        let x = b.param(vector());
        let e = b.exp(x).unwrap();
        let sum = b.add(x, e).unwrap();
        b.finish(&[e, sum])
    }

    fn graph(body: Region) -> Graph {
        Graph {
            inputs: vec![Input { name: "x".into(), role: Role::Input }],
            outputs: ["e", "sum"].map(|name| Output { name: name.into(), alias: None }).into(),
            body: Arc::new(body),
        }
    }

    /// Breaks the region and gives what the verifier says.
    #[track_caller]
    fn broken(breakage: impl FnOnce(&mut Region)) -> VerifyError {
        let mut body = region();
        breakage(&mut body);
        verify_region(&body).unwrap_err()
    }

    #[track_caller]
    fn signature(breakage: impl FnOnce(&mut Graph)) -> String {
        let mut graph = graph(region());
        breakage(&mut graph);
        verify(&graph).unwrap_err().to_string()
    }

    #[test]
    fn what_a_builder_makes_is_well_formed() {
        assert_eq!(verify(&graph(region())), Ok(()));
        let mut donating = graph(region());
        donating.outputs[1].alias = Some(0);
        assert_eq!(verify(&donating), Ok(()));
    }

    #[test]
    fn uses_come_after_definitions() {
        let error = broken(|r| r.nodes[0].inputs[0] = Value(2));
        assert!(
            matches!(error, VerifyError::Undefined { node: 0, op: "exp", value: Value(2), .. }),
            "{error}"
        );
        let own = broken(|r| r.nodes[1].inputs[1] = Value(2));
        assert!(matches!(own, VerifyError::Undefined { node: 1, op: "add", .. }), "{own}");
        let error = broken(|r| r.results[0] = Value(3));
        assert_eq!(error, VerifyError::UndefinedResult { value: Value(3) });
    }

    #[test]
    fn types_are_those_of_the_rules() {
        let error = broken(|r| r.types[1] = TensorType::new(DType::F32, ["M"]));
        assert!(
            matches!(&error, VerifyError::Types { node: 0, expected, .. } if *expected == [vector()]),
            "{error}"
        );
        let error = broken(|r| r.types[0] = TensorType::new(DType::I64, ["N"]));
        assert!(matches!(&error, VerifyError::Rule { node: 0, .. }), "{error}");
        let error = broken(|r| r.nodes[0].op = Unary::IsNan.into());
        assert!(matches!(&error, VerifyError::Types { node: 0, op: "is_nan", .. }), "{error}");
    }

    #[test]
    fn definitions_lead_back() {
        let error = broken(|r| r.defs[1] = Def::Node(NodeId(1), 0));
        assert_eq!(error, VerifyError::Definition { value: Value(1) });
        let error = broken(|r| r.defs[0] = Def::Param(1));
        assert_eq!(error, VerifyError::Definition { value: Value(0) });
        let error = broken(|r| r.nodes[1].first = 1);
        assert_eq!(error, VerifyError::Definition { value: Value(1) });
    }

    #[test]
    fn sizes_are_possible() {
        for impossible in [Dim::Const(-1), Dim::Const(i64::MAX)] {
            let mut b = Builder::new();
            let x = b.param(TensorType::new(DType::F32, [impossible]));
            let error = verify_region(&b.finish(&[x])).unwrap_err();
            assert!(matches!(error, VerifyError::Size { value: Value(0), .. }), "{error}");
        }
    }

    #[test]
    fn nested_regions_are_checked() {
        let mut inner = region();
        inner.nodes[0].inputs[0] = Value(2);
        let mut b = Builder::new();
        let x = b.param(vector());
        let outputs = b.push_multi(Control::Call { body: Arc::new(inner) }, &[x]).unwrap();
        let error = verify_region(&b.finish(&outputs)).unwrap_err();
        assert!(matches!(error, VerifyError::Undefined { op: "exp", .. }), "{error}");
    }

    #[test]
    fn signatures_fit_their_bodies() {
        assert_eq!(signature(|g| g.inputs.clear()), "inputs: 0 names for 1 values");
        assert_eq!(signature(|g| g.outputs.truncate(1)), "outputs: 1 names for 2 values");
        assert_eq!(signature(|g| g.outputs[1].name = "e".into()), "two outputs are called `e`");
        assert_eq!(
            signature(|g| g.outputs[0].alias = Some(1)),
            "output `e` aliases input 1, which does not exist"
        );
        assert_eq!(
            signature(|g| g.outputs.iter_mut().for_each(|o| o.alias = Some(0))),
            "output `sum` aliases input 0, which another output aliases too"
        );
        let mut b = Builder::new();
        let x = b.param(vector());
        let nan = b.is_nan(x).unwrap();
        let mut other = graph(b.finish(&[nan, x]));
        other.outputs[0].alias = Some(0);
        let error = verify(&other).unwrap_err().to_string();
        assert_eq!(error, "output `e` aliases input 0, which has another type");
    }
}
