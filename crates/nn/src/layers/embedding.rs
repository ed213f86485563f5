//! Tables of vectors: embeddings of ids and of positions, and the output layer that shares one.

use crate::{Block, Init, Model, ModelError, Scope};
use wootz_ir::ops::Composite;
use wootz_ir::{Attrs, Dim, Value};

/// Ids `x [..]` of an integer dtype → `output [.., width]`: the rows of the parameter `weight [rows, width]` they name. An id
/// out of bounds reads the nearest row.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// Number of ids.
    pub rows: usize,
    /// Size of a vector.
    pub width: usize,
    /// An id whose row is not trained. (PyTorch starts that row at zero; here it starts as the others do.)
    pub padding: Option<usize>,
    /// How `weight` is initialised.
    pub weight_init: Init,
}

impl Embedding {
    /// A table initialised as PyTorch does, from N(0, 1).
    pub fn new(rows: usize, width: usize) -> Embedding {
        Embedding { rows, width, padding: None, weight_init: Init::Normal { mean: 0.0, std: 1.0 } }
    }
}

/// An [`Embedding`] with PyTorch's defaults.
pub fn embedding(rows: usize, width: usize) -> Model {
    Embedding::new(rows, width).into()
}

impl Block for Embedding {
    fn kind(&self) -> &str {
        "Embedding"
    }

    fn call(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>, ModelError> {
        let weight = scope.param("weight", [self.rows, self.width], self.weight_init.clone())?;
        let b = &mut scope.b;
        let found = b.push(Composite::Embedding, &[inputs[0], weight])?;
        let Some(padding) = self.padding else { return Ok(vec![found]) };
        let padding = b.scalar_like(inputs[0], padding as f64);
        let is_padding = b.eq(inputs[0], padding)?;
        let is_padding = b.expand_axis(is_padding, b.ty(is_padding).rank())?;
        let fixed = b.stop_gradient(found)?;
        Ok(vec![b.select(is_padding, fixed, found)?])
    }

    fn config(&self) -> Option<Attrs> {
        let sizes = Attrs::none().with("num_embeddings", self.rows).with("embedding_dim", self.width);
        let sizes = self.padding.map_or(sizes.clone(), |p| sizes.with("padding_idx", p));
        Some(sizes.with("weight_init", &*self.weight_init.to_string()))
    }
}

/// `x [.., width]` → `output [.., rows]` = x · weightᵀ with the table of an embedding: a model's last layer that shares the
/// parameters of its first.
///
/// Press and Wolf, "Using the output embedding to improve language models", EACL 2017.
#[derive(Clone, Debug)]
pub struct TiedLinear {
    embedding: Model,
    sizes: [usize; 2],
    init: Init,
}

/// An embedding, and the output layer that shares its table.
pub fn tied_embedding(embedding: Embedding) -> (Model, Model) {
    let (sizes, init) = ([embedding.rows, embedding.width], embedding.weight_init.clone());
    let embedding: Model = embedding.into();
    (embedding.clone(), TiedLinear { embedding, sizes, init }.into())
}

impl Block for TiedLinear {
    fn kind(&self) -> &str {
        "TiedLinear"
    }

    fn call(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>, ModelError> {
        let weight = scope.within("embedding", &self.embedding, |scope| {
            scope.param("weight", self.sizes, self.init.clone())
        })?;
        Ok(vec![scope.b.push(Composite::Linear { bias: false }, &[inputs[0], weight])?])
    }

    fn config(&self) -> Option<Attrs> {
        Some(Attrs::none())
    }
}

/// `x [.., S, width]` → `output`: x plus the first S rows of the parameter `weight [positions, width]`.
#[derive(Clone, Debug, PartialEq)]
pub struct PositionalEmbedding {
    /// The longest sequence.
    pub positions: usize,
    /// Size of a vector.
    pub width: usize,
    /// How `weight` is initialised.
    pub weight_init: Init,
}

/// A [`PositionalEmbedding`] initialised from N(0, 0.02²), as GPT-2's.
pub fn positional_embedding(positions: usize, width: usize) -> Model {
    PositionalEmbedding { positions, width, weight_init: Init::Normal { mean: 0.0, std: 0.02 } }.into()
}

impl Block for PositionalEmbedding {
    fn kind(&self) -> &str {
        "PositionalEmbedding"
    }

    fn call(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>, ModelError> {
        let ty = scope.ty(inputs[0]);
        let too_short = |scope: &Scope| {
            let wanted = format!("takes x [.., S, {}] with S up to {}, got {ty}", self.width, self.positions);
            scope.config_error(self.kind(), wanted)
        };
        let Some(axis) = ty.rank().checked_sub(2) else { return Err(too_short(scope)) };
        let length = &ty.shape[axis];
        if length.as_const().is_some_and(|n| n > self.positions) {
            return Err(too_short(scope));
        }
        let weight = scope.param("weight", [self.positions, self.width], self.weight_init.clone())?;
        let rows = scope.b.slice_axis(weight, 0, &Dim::Const(0), length)?;
        Ok(vec![scope.b.add(inputs[0], rows)?])
    }

    fn config(&self) -> Option<Attrs> {
        let sizes = Attrs::none().with("num_positions", self.positions).with("embedding_dim", self.width);
        Some(sizes.with("weight_init", &*self.weight_init.to_string()))
    }
}
