//! Blocks one after another.

use crate::{Block, Model, ModelError, Scope};
use wootz_ir::{Attrs, Value};

/// Blocks one after another, named `0`, `1`, … as in PyTorch. The outputs of one are the inputs of the next.
#[derive(Clone, Debug)]
pub struct Sequential {
    blocks: Vec<Model>,
    output: Option<String>,
}

impl Sequential {
    /// A chain of blocks.
    pub fn new(blocks: impl IntoIterator<Item = impl Into<Model>>) -> Sequential {
        Sequential { blocks: blocks.into_iter().map(Into::into).collect(), output: None }
    }

    /// The chain with one more block.
    #[must_use]
    pub fn then(mut self, next: impl Into<Model>) -> Sequential {
        self.blocks.push(next.into());
        self
    }

    /// The same chain with its only output called `name`.
    #[must_use]
    pub fn output(mut self, name: &str) -> Sequential {
        self.output = Some(name.to_owned());
        self
    }

    /// The blocks.
    pub fn blocks(&self) -> &[Model] {
        &self.blocks
    }
}

impl Block for Sequential {
    fn kind(&self) -> &str {
        "Sequential"
    }

    fn inputs(&self) -> Vec<String> {
        self.blocks.first().map_or_else(|| vec!["x".to_owned()], |b| b.inputs())
    }

    fn outputs(&self) -> Vec<String> {
        match (&self.output, self.blocks.last()) {
            (Some(name), _) => vec![name.clone()],
            (None, Some(last)) => last.outputs(),
            (None, None) => vec!["output".to_owned()],
        }
    }

    fn call(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>, ModelError> {
        let mut values = inputs.to_vec();
        for (i, block) in self.blocks.iter().enumerate() {
            values = scope.call(&i.to_string(), block, &values)?;
        }
        Ok(values)
    }

    fn config(&self) -> Option<Attrs> {
        let none = Attrs::none();
        Some(match &self.output {
            Some(name) => none.with("output", name.as_str()),
            None => none,
        })
    }
}
