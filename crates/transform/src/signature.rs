//! The named signature of a transformed graph.

use crate::TransformError;
use std::sync::Arc;
use wootz_ir::{Graph, Input, Output, Region, Role};

/// A signature that starts as a graph's and grows.
pub(crate) struct Signature {
    inputs: Vec<Input>,
    outputs: Vec<Output>,
}

impl Signature {
    pub(crate) fn of(graph: &Graph) -> Signature {
        Signature { inputs: graph.inputs.clone(), outputs: graph.outputs.clone() }
    }

    pub(crate) fn add_input(&mut self, name: &str) {
        let name = unique(name, |n| self.inputs.iter().any(|i| &*i.name == n));
        self.inputs.push(Input { name, role: Role::Input });
    }

    pub(crate) fn add_output(&mut self, name: &str) {
        let name = unique(name, |n| self.outputs.iter().any(|o| &*o.name == n));
        self.outputs.push(Output { name, alias: None });
    }

    pub(crate) fn graph(self, body: Region) -> Graph {
        Graph { inputs: self.inputs, outputs: self.outputs, body: body.into() }
    }
}

fn unique(name: &str, taken: impl Fn(&str) -> bool) -> Arc<str> {
    if !taken(name) {
        return name.into();
    }
    let free = (2usize..).map(|n| format!("{name}.{n}")).find(|n| !taken(n));
    free.expect("a signature has fewer names than there are numbers").into()
}

/// Which outputs are floats.
pub(crate) fn floats(graph: &Graph) -> Vec<bool> {
    (0..graph.outputs.len()).map(|i| graph.output_type(i).dtype.is_float()).collect()
}

/// The inputs in `wrt` as flags; they must exist, be floats and be named once.
pub(crate) fn wanted(
    transform: &'static str,
    graph: &Graph,
    wrt: &[usize],
) -> Result<Vec<bool>, TransformError> {
    let count = graph.inputs.len();
    let mut flags = vec![false; count];
    for &index in wrt {
        let Some(input) = graph.inputs.get(index) else {
            return Err(TransformError::NoSuch { transform, what: "input", index, count });
        };
        let (name, ty) = (input.name.to_string(), Box::new(graph.input_type(index).clone()));
        if !ty.dtype.is_float() {
            return Err(TransformError::NotFloat { transform, what: "input", name, ty });
        }
        if std::mem::replace(&mut flags[index], true) {
            return Err(TransformError::Repeated { transform, name });
        }
    }
    Ok(flags)
}
