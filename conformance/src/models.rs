//! Whole models: inference, and training steps with every optimizer.

use crate::case::Case;
use crate::numbers::Numbers;
use crate::{Scale, Tolerance};
use wootz_ir::{DType, HostTensor, TensorType};
use wootz_nn::{
    Mode, Model, Optimizer, Sequential, Traced, TransformerConfig, adam, adamw, cross_entropy, dropout, gelu,
    linear, log_softmax, mlp, mse, sgd, silu, softmax, tanh, trace, training, transformer,
};

pub(crate) fn cases() -> Vec<Case> {
    [inference(), steps()].concat()
}

fn inference() -> Vec<Case> {
    let block = linear(19, 24).then(gelu()).then(linear(24, 7));
    let models: [(&str, Model, usize); 5] = [
        ("linear", linear(37, 21), 37),
        ("perceptron", mlp(&[33, 48, 17, 10]), 33),
        ("perceptron ending in softmax", block.clone().then(softmax(-1)).into(), 19),
        ("perceptron ending in log_softmax", block.then(log_softmax(-1)).into(), 19),
        ("mixed activations", activations(), 12),
    ];
    let mut cases = Vec::new();
    for dtype in [DType::F64, DType::F32, DType::BF16] {
        for (name, model, features) in &models {
            for batch in [1usize, 7, 32] {
                let model = model.clone().dtype(dtype);
                let x = TensorType::new(dtype, [batch, *features]);
                let traced = trace(&model, &[("x", x)], Mode::Inference);
                let traced = traced.unwrap_or_else(|error| panic!("{name} cannot be traced: {error}"));
                cases.push(case(format!("{name}, {dtype}, batch {batch}"), traced, 1));
            }
        }
    }
    for dtype in [DType::F64, DType::F32, DType::BF16] {
        for batch in [1usize, 3] {
            let tokens = TensorType::new(DType::I64, [batch, 12]);
            let traced = trace(&decoder(dtype), &[("x", tokens)], Mode::Inference);
            let traced = traced.unwrap_or_else(|error| panic!("the transformer cannot be traced: {error}"));
            cases.push(case(format!("transformer, {dtype}, batch {batch}"), traced, 8));
        }
    }
    cases
}

/// Embeddings, attention of several heads, layer normalisation.
fn decoder(dtype: DType) -> Model {
    let config = TransformerConfig::new(23, 12, 16, 2, 2);
    transformer(&config).dtype(dtype)
}

fn activations() -> Model {
    let layers: [Model; 6] = [linear(12, 16), silu(), linear(16, 16), tanh(), linear(16, 5), gelu()];
    Sequential::new(layers).into()
}

fn steps() -> Vec<Case> {
    let optimizers: [(&str, Optimizer); 5] = [
        ("sgd", sgd(0.05).into()),
        ("sgd with momentum", sgd(0.05).momentum(0.9).weight_decay(1e-3).into()),
        ("sgd with Nesterov momentum", sgd(0.05).momentum(0.9).nesterov(true).into()),
        ("adam", adam(1e-2).into()),
        ("adamw", adamw(1e-2).into()),
    ];
    let mut cases = Vec::new();
    for dtype in [DType::F64, DType::F32] {
        for (name, optimizer) in [&optimizers[0], &optimizers[4]] {
            let tokens = || TensorType::new(DType::I64, [3, 12]);
            let step = training(decoder(dtype), cross_entropy(), optimizer.clone());
            let step = traced(step.trace(&[("x", tokens()), ("y", tokens())]));
            cases.push(case(format!("step of a transformer by {name}, {dtype}"), step, 24));
        }
        for (name, optimizer) in &optimizers {
            for batch in [1usize, 9, 32] {
                let x = TensorType::new(dtype, [batch, 20]);
                let labels = TensorType::new(DType::I64, [batch]);
                let values = TensorType::new(dtype, [batch, 6]);
                let classifier = mlp(&[20, 33, 10]).dtype(dtype);
                let step = training(classifier, cross_entropy(), optimizer.clone()).clip_norm(0.5);
                let name_of = |what: &str| format!("step of a {what} by {name}, {dtype}, batch {batch}");
                cases.push(case(
                    name_of("classifier"),
                    traced(step.trace(&[("x", x.clone()), ("y", labels)])),
                    6,
                ));
                let layers: [Model; 3] = [linear(20, 16), dropout(0.3), linear(16, 6)];
                let model = Model::from(Sequential::new(layers)).dtype(dtype);
                let step = training(model, mse(), optimizer.clone());
                cases.push(case(
                    name_of("regression with dropout"),
                    traced(step.trace(&[("x", x), ("y", values)])),
                    6,
                ));
            }
        }
    }
    cases
}

fn traced(result: Result<Traced, wootz_nn::ModelError>) -> Traced {
    result.unwrap_or_else(|error| panic!("a training step cannot be traced: {error}"))
}

/// A model at its initial parameters. `factor`: how many layers deep errors add up, forwards and backwards.
fn case(name: String, traced: Traced, factor: usize) -> Case {
    let initial = traced.init(3).unwrap_or_else(|error| panic!("{name} cannot be initialised: {error}"));
    let mut numbers = Numbers::new(5);
    let inputs: Vec<HostTensor> = initial
        .into_iter()
        .enumerate()
        .map(|(i, value)| {
            value.unwrap_or_else(|| {
                let ty = traced.graph.input_type(i);
                numbers.tensor(ty.dtype, &ty.shape.concrete().unwrap_or_default())
            })
        })
        .collect();
    let tolerance = Tolerance { factor: 4.0 * factor as f64, scale: Scale::Tensor };
    Case { name, graph: traced.graph, inputs, tolerance, derivative_of: None }
}
