//! Whole modules as files in tests/golden: read them as code. `cargo xtask bless` renews them.

use expect_test::expect_file;
use wootz_ir::{DType, TensorType};
use wootz_nn::{Mode, Model, Optimizer, adamw, cross_entropy, linear, mlp, sgd, trace, training};
use wootz_passes::Optimize;
use wootz_pycode::{Framework, Options, Step, emit, emit_step, optimize};

fn check(name: &str, graph: &wootz_ir::Graph) {
    for framework in Framework::ALL {
        let graph = optimize(graph, Optimize::Full, framework).expect("the passes succeed");
        let options = Options { jit: true, ..Options::new(framework) };
        let source = emit(&graph, &options).expect("every framework has f32 and i64");
        // Relative to this file.
        expect_file![format!("../../../tests/golden/{name}_{framework}.py")].assert_eq(&source.text);
    }
}

fn inference(name: &str, model: &Model, features: usize) {
    let x = TensorType::new(DType::F32, [32, features]);
    check(name, &trace(model, &[("x", x)], Mode::Inference).expect("the model traces").graph);
}

fn step(name: &str, model: Model, features: usize, optimizer: impl Into<Optimizer>) {
    let x = TensorType::new(DType::F32, [32, features]);
    let y = TensorType::new(DType::I64, [32usize]);
    let step = training(model, cross_entropy(), optimizer);
    check(name, &step.trace(&[("x", x), ("y", y)]).expect("the step traces").graph);
}

/// A step whose derivatives the framework takes; NumPy takes none.
fn differentiated(name: &str, model: Model, features: usize, optimizer: impl Into<Optimizer>) {
    let x = TensorType::new(DType::F32, [32, features]);
    let y = TensorType::new(DType::I64, [32usize]);
    let apart = training(model, cross_entropy(), optimizer).trace_apart(&[("x", x), ("y", y)]);
    let apart = apart.expect("the step traces");
    for framework in [Framework::Jax, Framework::Torch, Framework::Mlx] {
        let optimized = |graph| optimize(graph, Optimize::Full, framework).expect("the passes succeed");
        let (forward, update) = (optimized(&apart.forward), optimized(&apart.update));
        let step = Step { forward, update, gradients: apart.gradients.clone() };
        let jit = framework != Framework::Torch;
        let source = emit_step(&step, &Options { jit, ..Options::new(framework) }).expect("dtypes are there");
        expect_file![format!("../../../tests/golden/{name}_{framework}.py")].assert_eq(&source.text);
    }
}

#[test]
fn linear_layer() {
    inference("linear", &linear(1024, 1024), 1024);
}

#[test]
fn perceptron() {
    inference("mlp", &mlp(&[784, 1024, 512, 256, 10]), 784);
}

#[test]
fn perceptron_step_by_sgd() {
    step("mlp_sgd_step", mlp(&[784, 256, 10]), 784, sgd(0.01));
}

#[test]
fn linear_step_by_adamw() {
    step("linear_adamw_step", linear(784, 10), 784, adamw(1e-3));
}

#[test]
fn perceptron_step_by_adamw_differentiated_by_the_framework() {
    differentiated("mlp_adamw_differentiated", mlp(&[784, 256, 10]), 784, adamw(1e-3));
}

#[test]
fn perceptron_step_by_momentum_differentiated_by_the_framework() {
    let momentum = sgd(0.1).momentum(0.9).weight_decay(1e-4);
    differentiated("mlp_momentum_differentiated", mlp(&[784, 256, 10]), 784, momentum);
}
