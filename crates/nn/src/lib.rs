//! Models: reusable blocks that are traced to graphs.
//!
//! A [`Model`] is data: a tree of shared [`Block`]s with named inputs, outputs, parameters and state. [`trace`] turns
//! it into a [`Graph`](wootz_ir::Graph) with a named signature, together with how to initialise its parameters.
//! Parameter names are PyTorch's, so that its checkpoints load.
//!
//! ```
//! use wootz_nn::{Mode, linear, relu, trace};
//! use wootz_ir::{DType, TensorType};
//!
//! let model = linear(784, 128).then(relu()).then(linear(128, 10)).into();
//! let traced = trace(&model, &[("x", TensorType::new(DType::F32, [32usize, 784]))], Mode::Inference)?;
//! let names: Vec<&str> = traced.graph.inputs.iter().map(|i| &*i.name).collect();
//! assert_eq!(names, ["x", "0.weight", "0.bias", "2.weight", "2.bias"]);
//! # Ok::<(), wootz_nn::ModelError>(())
//! ```

mod block;
mod error;
pub mod init;
mod layers;
mod loss;
mod optim;
mod scope;
mod summary;
mod trace;
mod training;
mod zoo;

pub use block::{Block, Model, function};
pub use error::ModelError;
pub use init::{Fan, Init, fill_graph};
pub use layers::{
    Activation, Dropout, Embedding, Flatten, Identity, LayerNorm, Linear, MultiheadAttention,
    PositionalEmbedding, RmsNorm, Sequential, TiedLinear, TransformerEncoder, TransformerEncoderLayer,
    dropout, embedding, flatten, gelu, gelu_tanh, identity, layer_norm, leaky_relu, linear, log_softmax,
    multihead_attention, positional_embedding, relu, rms_norm, sigmoid, silu, softmax, softplus, tanh,
    tied_embedding, transformer_encoder_layer,
};
pub use loss::{Accuracy, ClassLoss, MseLoss, Scores, accuracy, cross_entropy, mse, nll};
pub use optim::{Adam, LearningRate, Optimizer, Sgd, WeightDecay, adam, adamw, sgd};
pub use scope::Scope;
pub use summary::{BlockSummary, Summary};
pub use trace::{Mode, Traced, trace};
pub use training::{Apart, Training, training};
pub use wootz_ir::ops::composite::Reduction;
pub use zoo::{TransformerConfig, mlp, transformer};
