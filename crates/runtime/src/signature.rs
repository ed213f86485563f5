//! The named inputs and outputs of a program.

use crate::error::{RunError, list};
use std::sync::Arc;
use wootz_ir::{Graph, Role, TensorType};

/// The named inputs and outputs of a program, every size a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// In the graph's order.
    pub inputs: Vec<InputSpec>,
    /// In the graph's order.
    pub outputs: Vec<OutputSpec>,
}

/// One input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputSpec {
    /// Its name.
    pub name: Arc<str>,
    /// What it is to the user.
    pub role: Role,
    /// Its type.
    pub ty: TensorType,
    /// The output that takes its memory over.
    pub updated_by: Option<usize>,
}

/// One output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputSpec {
    /// Its name.
    pub name: Arc<str>,
    /// Its type.
    pub ty: TensorType,
    /// The input whose memory it takes over.
    pub updates: Option<usize>,
}

impl Signature {
    /// The signature of a graph.
    pub fn of(graph: &Graph) -> Signature {
        let updated_by = |i: usize| graph.outputs.iter().position(|o| o.alias == Some(i));
        let inputs = graph.inputs.iter().enumerate().map(|(i, input)| InputSpec {
            name: input.name.clone(),
            role: input.role,
            ty: graph.input_type(i).clone(),
            updated_by: updated_by(i),
        });
        let outputs = graph.outputs.iter().enumerate().map(|(i, output)| OutputSpec {
            name: output.name.clone(),
            ty: graph.output_type(i).clone(),
            updates: output.alias,
        });
        Signature { inputs: inputs.collect(), outputs: outputs.collect() }
    }

    /// The position of an input.
    pub fn input(&self, name: &str) -> Result<usize, RunError> {
        self.inputs.iter().position(|i| &*i.name == name).ok_or_else(|| RunError::Unknown {
            what: "input",
            name: name.to_owned(),
            known: list(self.given().map(|i| &*i.name)),
        })
    }

    /// The position of an output.
    pub fn output(&self, name: &str) -> Result<usize, RunError> {
        self.outputs.iter().position(|o| &*o.name == name).ok_or_else(|| RunError::Unknown {
            what: "output",
            name: name.to_owned(),
            known: list(self.outputs.iter().map(|o| &*o.name)),
        })
    }

    /// The inputs given at every run.
    pub fn given(&self) -> impl Iterator<Item = &InputSpec> {
        self.inputs.iter().filter(|i| i.role == Role::Input)
    }

    /// True if the program updates parameters or state: it is run with `step`.
    pub fn updates(&self) -> bool {
        self.outputs.iter().any(|o| o.updates.is_some())
    }
}
