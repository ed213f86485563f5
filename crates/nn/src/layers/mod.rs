//! Layers.

mod activation;
mod adapt;
mod attention;
mod dropout;
mod embedding;
mod linear;
mod norm;
mod sequential;
mod transformer;

pub use activation::{
    Activation, gelu, gelu_tanh, leaky_relu, log_softmax, relu, sigmoid, silu, softmax, softplus, tanh,
};
pub(crate) use adapt::WithDType;
pub use adapt::{Flatten, Identity, flatten, identity};
pub use attention::{MultiheadAttention, multihead_attention};
pub use dropout::{Dropout, dropout};
pub use embedding::{
    Embedding, PositionalEmbedding, TiedLinear, embedding, positional_embedding, tied_embedding,
};
pub use linear::{Linear, linear};
pub use norm::{LayerNorm, RmsNorm, layer_norm, rms_norm};
pub use sequential::Sequential;
pub use transformer::{TransformerEncoder, TransformerEncoderLayer, transformer_encoder_layer};
