//! Ready-made models.

use crate::{Model, Sequential, linear, relu};

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
