//! Ready-made models.

use crate::{
    Activation, Block, Embedding, Init, Linear, Model, ModelError, Scope, Sequential, TransformerEncoder,
    TransformerEncoderLayer, dropout, linear, positional_embedding, relu, tied_embedding,
};
use wootz_ir::{Attrs, Value};

/// A multi-layer perceptron: `Linear` layers between these sizes with `ReLU` between them; `x [.., sizes[0]]` →
/// `logits [.., sizes[last]]`.
///
/// Parameter names are those of PyTorch's `Sequential(Linear, ReLU, Linear, …)`: `0.weight`, `0.bias`, `2.weight`, ….
/// With fewer than two sizes it is the identity.
pub fn mlp(sizes: &[usize]) -> Model {
    let mut layers: Vec<Model> = Vec::new();
    for pair in sizes.windows(2) {
        if !layers.is_empty() {
            layers.push(relu());
        }
        layers.push(linear(pair[0], pair[1]));
    }
    Sequential::new(layers).output("logits").into()
}

/// The sizes of a decoder-only transformer; see [`transformer`].
#[derive(Clone, Debug, PartialEq)]
pub struct TransformerConfig {
    /// Number of tokens.
    pub vocabulary: usize,
    /// The longest sequence.
    pub context: usize,
    /// The layers: their width, heads and everything else.
    pub layer: TransformerEncoderLayer,
    /// Number of layers.
    pub layers: usize,
    /// Whether the last layer shares the table of the token embedding.
    pub tied: bool,
}

impl TransformerConfig {
    /// Causal layers that normalise first, with GELU, four times the width between their linear layers, and no dropout.
    pub fn new(vocabulary: usize, context: usize, width: usize, heads: usize, layers: usize) -> Self {
        let layer = TransformerEncoderLayer {
            feedforward: 4 * width,
            dropout: 0.0,
            activation: Activation::Gelu,
            norm_first: true,
            causal: true,
            ..TransformerEncoderLayer::new(width, heads)
        };
        TransformerConfig { vocabulary, context, layer, layers, tied: true }
    }
}

/// A decoder-only transformer as GPT-2 (Radford et al., 2019): tokens `x [.., S]` → `logits [.., S, vocabulary]`, where those at
/// position i say what follows tokens 0 to i.
///
/// Parameters: `embedding.weight`, `position.weight`, `layers.0.self_attn.in_proj_weight`, … (those of PyTorch's
/// `TransformerEncoderLayer`), `norm.weight`, and `head.weight` unless it is the embedding's. Embeddings start from N(0, 0.02²).
pub fn transformer(config: &TransformerConfig) -> Model {
    let width = config.layer.width;
    let small = Init::Normal { mean: 0.0, std: 0.02 };
    let table = Embedding { weight_init: small.clone(), ..Embedding::new(config.vocabulary, width) };
    let (embedding, tied) = tied_embedding(table);
    let head = match config.tied {
        true => tied,
        false => Linear { weight_init: small, ..Linear::new(width, config.vocabulary).without_bias() }.into(),
    };
    let position = positional_embedding(config.context, width);
    let stack = TransformerEncoder::new(&config.layer, config.layers, config.layer.norm_first);
    let dropout = config.layer.dropout;
    Transformer { embedding, position, dropout, stack, head }.into()
}

#[derive(Debug)]
struct Transformer {
    embedding: Model,
    position: Model,
    dropout: f64,
    stack: TransformerEncoder,
    head: Model,
}

impl Block for Transformer {
    fn kind(&self) -> &str {
        "Transformer"
    }

    fn outputs(&self) -> Vec<String> {
        vec!["logits".to_owned()]
    }

    fn call(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>, ModelError> {
        let x = scope.apply("embedding", &self.embedding, inputs[0])?;
        let mut x = scope.apply("position", &self.position, x)?;
        if self.dropout > 0.0 {
            x = scope.apply("dropout", dropout(self.dropout), x)?;
        }
        let x = self.stack.call(scope, &[x])?[0];
        Ok(vec![scope.apply("head", &self.head, x)?])
    }

    fn config(&self) -> Option<Attrs> {
        Some(Attrs::none())
    }
}
