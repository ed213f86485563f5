//! Whole modules as files in tests/golden: read them as code. `cargo xtask bless` renews them.

use expect_test::expect_file;
use std::sync::Arc;
use wootz_histfactory::workload;
use wootz_histfactory::{GraphOptions, ModelOptions};
use wootz_ir::ops::Gather;
use wootz_ir::{Builder, DType, Graph, HostTensor, Input, Output, Role, TensorType, text};
use wootz_nn::{
    Activation, Mode, Model, Optimizer, Sequential, Training, TransformerConfig, adamw, cross_entropy,
    linear, mlp, sgd, trace, training, transformer,
};
use wootz_passes::Optimize;
use wootz_pycode::{EmitError, Framework, Options, Step, emit, emit_step, optimize};

/// Running sums of rows, of which one that is large is halved until it is small.
const CONTROL: &str = r#"
region @add(%sum: f32[4], %row: f32[4]) { %next = add %sum, %row
  return %next, %next }
region @is_large(%x: f32[], %bound: f32[]) { %large = gt %x, %bound
  return %large }
region @halve(%x: f32[], %bound: f32[]) { %half = constant[value=f32[]{0.5}]
  %y = mul %x, %half
  return %y }
region @shrink(%x: f32[], %bound: f32[]) { %y = while[cond=@is_large, body=@halve, carries=1] %x, %bound
  return %y }
region @keep(%x: f32[], %bound: f32[]) { %y = neg %x
  return %y }
graph(%rows: f32[5, 4] = input "rows", %bound: f32[] = input "bound") {
  %zero = constant[value=f32[4]{0.0, 0.0, 0.0, 0.0}]
  %last, %sums = scan[body=@add, carries=1, xs=1, length=5, reverse=false] %zero, %rows
  %largest = reduce_max[axes=[0]] %last
  %large = gt %largest, %bound
  %size = cond[then=@shrink, else=@keep] %large, %largest, %bound
  return "sums" = %sums, "size" = %size
}
"#;

fn check(name: &str, graph: &Graph) {
    check_on(&Framework::ALL, name, graph);
}

fn check_on(frameworks: &[Framework], name: &str, graph: &Graph) {
    for framework in frameworks.iter().copied() {
        let graph = optimize(graph, Optimize::Full, framework).expect("the passes succeed");
        let options = Options { jit: true, ..Options::new(framework) };
        let source = emit(&graph, &options).expect("the framework has the dtypes");
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
fn differentiated(name: &str, training: &Training, inputs: [TensorType; 2]) {
    for framework in [Framework::Jax, Framework::Torch, Framework::Mlx] {
        let jit = framework != Framework::Torch;
        let options = Options { jit, ..Options::new(framework) };
        differentiated_by(name, training, inputs.clone(), &options);
    }
}

fn differentiated_by(name: &str, training: &Training, [x, y]: [TensorType; 2], options: &Options) {
    let apart = training.trace_apart(&[("x", x), ("y", y)]).expect("the step traces");
    let optimized = |graph| optimize(graph, Optimize::Full, options.framework).expect("the passes succeed");
    let (forward, update) = (optimized(&apart.forward), optimized(&apart.update));
    let step = Step { forward, update, gradients: apart.gradients };
    let source = emit_step(&step, options).expect("every framework has f32 and i64");
    let framework = options.framework;
    expect_file![format!("../../../tests/golden/{name}_{framework}.py")].assert_eq(&source.text);
}

fn images() -> [TensorType; 2] {
    [TensorType::new(DType::F32, [32usize, 784]), TensorType::new(DType::I64, [32usize])]
}

fn tokens() -> TensorType {
    TensorType::new(DType::I64, [2usize, 16])
}

fn decoder() -> Model {
    transformer(&TransformerConfig::new(100, 16, 32, 4, 3))
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
    let step = training(mlp(&[784, 256, 10]), cross_entropy(), adamw(1e-3));
    differentiated("mlp_adamw_differentiated", &step, images());
}

#[test]
fn perceptron_step_by_momentum_differentiated_by_the_framework() {
    let momentum = sgd(0.1).momentum(0.9).weight_decay(1e-4);
    let step = training(mlp(&[784, 256, 10]), cross_entropy(), momentum);
    differentiated("mlp_momentum_differentiated", &step, images());
}

#[test]
fn transformer_whose_layers_are_written_once() {
    check("transformer", &trace(&decoder(), &[("x", tokens())], Mode::Inference).expect("it traces").graph);
}

#[test]
fn transformer_step_differentiated_by_the_framework() {
    let step = training(decoder(), cross_entropy(), adamw(1e-3).weight_decay(0.1));
    differentiated("transformer_step", &step, [tokens(), tokens()]);
}

#[test]
fn gradient_of_a_statistical_model() {
    let model = workload::complex_8p().model(&ModelOptions::default()).expect("the workspace is a model");
    let logpdf = model.logpdf_graph(&GraphOptions::default()).expect("the model has a density");
    let graph = wootz_transform::grad(&logpdf, 0, &[0]).expect("densities have derivatives");
    check_on(&[Framework::Numpy, Framework::Jax, Framework::Torch], "logpdf_gradient", &graph);
}

#[test]
fn loops_and_branches() {
    let graph = text::parse(CONTROL).expect("the text is a graph");
    check("control", &graph);
}

#[test]
fn transformer_step_with_stacked_layers() {
    let step = training(decoder(), cross_entropy(), adamw(1e-3).weight_decay(0.1));
    let options = Options { jit: true, stack_layers: true, ..Options::new(Framework::Jax) };
    differentiated_by("transformer_stacked", &step, [tokens(), tokens()], &options);
}

#[test]
fn layers_are_stacked_where_there_are_some() {
    let emitted = |framework, model: &Model, x: TensorType| {
        let graph = trace(model, &[("x", x)], Mode::Inference).expect("it traces").graph;
        let graph = optimize(&graph, Optimize::Full, framework).expect("the passes succeed");
        emit(&graph, &Options { stack_layers: true, ..Options::new(framework) }).map(|source| source.text)
    };
    let [x, _] = images();
    assert_eq!(emitted(Framework::Jax, &mlp(&[784, 10]), x), Err(EmitError::NothingToStack));
    let torch = emitted(Framework::Torch, &decoder(), tokens());
    assert_eq!(torch, Err(EmitError::Stacking { framework: Framework::Torch }));
    assert!(emitted(Framework::Jax, &decoder(), tokens()).is_ok_and(|text| text.contains("lax.scan(")));
}

#[test]
fn a_dtype_that_is_not_there_is_said_with_the_input_its_op_and_its_block() {
    let x = TensorType::new(DType::F64, [4usize, 3]);
    let model: Model = Sequential::new([Activation::Tanh]).into();
    let graph = trace(&model, &[("x", x)], Mode::Inference).expect("the model traces").graph;
    let error = emit(&graph, &Options::new(Framework::Mlx)).map_err(|error| error.to_string());
    assert_eq!(error, Err("backend `mlx` has no f64, which input `x` of `tanh` needs (at 0)".to_owned()));
}

#[test]
fn no_constant_is_written_that_nothing_reads() {
    // The gather takes the constant's entries apart: the constant itself is not read.
    let mut b = Builder::new();
    let x = b.param(TensorType::new(DType::F32, [4usize]));
    let at = b.constant(HostTensor::from_i64(DType::I64, &[3, 1], &[2, 0, 1]));
    let y = b.push(Gather { batch: 0, indexed: 1 }, &[x, at]).expect("the types fit");
    let graph = Graph {
        inputs: vec![Input { name: "x".into(), role: Role::Input }],
        outputs: vec![Output { name: "y".into(), alias: None }],
        body: Arc::new(b.finish(&[y])),
    };
    let source = emit(&graph, &Options::new(Framework::Jax)).expect("JAX has f32 and i64");
    // Where it is made and where it is read.
    assert_eq!(source.text.matches("INDEX").count(), 2, "{}", source.text);
}
