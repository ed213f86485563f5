//! Layers.

mod activation;
mod adapt;
mod dropout;
mod linear;
mod sequential;

pub use activation::{
    Activation, gelu, gelu_tanh, leaky_relu, log_softmax, relu, sigmoid, silu, softmax, softplus, tanh,
};
pub(crate) use adapt::WithDType;
pub use adapt::{Flatten, Identity, flatten, identity};
pub use dropout::{Dropout, dropout};
pub use linear::{Linear, linear};
pub use sequential::Sequential;
