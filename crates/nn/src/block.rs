//! Blocks: what models are made of. A model is data, a tree of shared blocks.

use crate::layers::{Sequential, WithDType};
use crate::{ModelError, Scope};
use std::fmt::{self, Debug};
use std::ops::Deref;
use std::sync::Arc;
use wootz_ir::{Attrs, DType, Value};

/// A piece of a model: named inputs to named outputs, with parameters and state of its own.
///
/// A block holds its configuration and its children; it holds no tensors. [`call`](Block::call) adds its ops to a graph under construction.
pub trait Block: Debug + Send + Sync {
    /// The kind of block, as summaries and messages show it: `Linear`.
    fn kind(&self) -> &str;

    /// The names of the inputs, in order.
    fn inputs(&self) -> Vec<String> {
        vec!["x".to_owned()]
    }

    /// The names of the outputs, in order.
    fn outputs(&self) -> Vec<String> {
        vec!["output".to_owned()]
    }

    /// Adds the block's ops; gives one value an output. There is one value in `inputs` for each of [`inputs`](Block::inputs).
    fn call(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>, ModelError>;

    /// The block's own configuration (without its children) as data; `None` if it cannot be written down, as for a Rust function.
    fn config(&self) -> Option<Attrs>;
}

/// A block that can be shared: using clones of one model in two places shares its parameters.
#[derive(Clone)]
pub struct Model(Arc<dyn Block>);

impl Model {
    /// This model, then another.
    pub fn then(self, next: impl Into<Model>) -> Sequential {
        Sequential::new([self, next.into()])
    }

    /// The same model with parameters of another dtype (the default is `f32`).
    pub fn dtype(self, dtype: DType) -> Model {
        WithDType { dtype, model: self }.into()
    }

    /// Tells models apart that share no parameters.
    pub(crate) fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).cast::<()>() as usize
    }
}

impl<B: Block + 'static> From<B> for Model {
    fn from(block: B) -> Model {
        Model(Arc::new(block))
    }
}

impl From<&Model> for Model {
    fn from(model: &Model) -> Model {
        model.clone()
    }
}

impl Deref for Model {
    type Target = dyn Block;
    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

type Body = dyn Fn(&mut Scope, &[Value]) -> Result<Vec<Value>, ModelError> + Send + Sync;

/// A model made of a Rust function that is traced. It cannot be written to a file.
///
/// ```
/// use wootz_ir::{DType, TensorType};
/// use wootz_nn::{Mode, function, linear, trace};
///
/// let project = linear(8, 8);
/// let residual = function("Residual", &["x"], &["output"], move |scope, inputs| {
///     let y = scope.apply("project", &project, inputs[0])?;
///     Ok(vec![scope.b.add(inputs[0], y)?])
/// });
/// let x = TensorType { dtype: DType::F32, shape: ["B".into(), wootz_ir::Dim::from(8)].into() };
/// let traced = trace(&residual, &[("x", x)], Mode::Inference)?;
/// assert_eq!(&*traced.graph.inputs[1].name, "project.weight");
/// # Ok::<(), wootz_nn::ModelError>(())
/// ```
pub fn function(
    kind: &str,
    inputs: &[&str],
    outputs: &[&str],
    body: impl Fn(&mut Scope, &[Value]) -> Result<Vec<Value>, ModelError> + Send + Sync + 'static,
) -> Model {
    let own = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    Function { kind: kind.to_owned(), inputs: own(inputs), outputs: own(outputs), body: Arc::new(body) }
        .into()
}

struct Function {
    kind: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    body: Arc<Body>,
}

impl Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(..)", self.kind)
    }
}

impl Block for Function {
    fn kind(&self) -> &str {
        &self.kind
    }

    fn inputs(&self) -> Vec<String> {
        self.inputs.clone()
    }

    fn outputs(&self) -> Vec<String> {
        self.outputs.clone()
    }

    fn call(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>, ModelError> {
        (self.body)(scope, inputs)
    }

    fn config(&self) -> Option<Attrs> {
        None
    }
}
