//! Tracing: names, shapes, sharing, errors.

// Helpers outside `#[test]` functions fail by panicking too.
#![allow(clippy::unwrap_used)]

use expect_test::{Expect, expect};
use wootz_ir::{DType, Dim, Graph, Role, TensorType, text, verify};
use wootz_nn::{
    Block, Init, Linear, Mode, Model, ModelError, Sequential, Traced, dropout, flatten, function, linear,
    mlp, relu, softmax, trace,
};

fn f32s<D: Clone + Into<Dim>, const N: usize>(dims: [D; N]) -> TensorType {
    TensorType::new(DType::F32, dims)
}

fn traced(model: impl Into<Model>, x: TensorType, mode: Mode) -> Traced {
    let traced = trace(&model.into(), &[("x", x)], mode).unwrap();
    verify(&traced.graph).unwrap();
    traced
}

fn error(model: impl Into<Model>, x: TensorType) -> String {
    trace(&model.into(), &[("x", x)], Mode::Training).unwrap_err().to_string()
}

/// Inputs and outputs with roles, types and aliases.
fn check_signature(traced: &Traced, expected: Expect) {
    let graph = &traced.graph;
    let mut text = String::new();
    for (i, input) in graph.inputs.iter().enumerate() {
        text += &format!("{} {}: {}\n", input.role.name(), input.name, graph.input_type(i));
    }
    for (i, output) in graph.outputs.iter().enumerate() {
        text += &format!("-> {}: {}", output.name, graph.output_type(i));
        text += &output.alias.map_or(String::new(), |a| format!(" = {}", graph.inputs[a].name));
        text += "\n";
    }
    expected.assert_eq(&text);
}

#[test]
fn mlp_has_the_names_and_shapes_of_its_pytorch_twin() {
    let x = f32s([Dim::symbol("B"), Dim::symbol("F")]);
    let traced = traced(mlp(&[784, 1024, 512, 256, 10]), x, Mode::Inference);
    check_signature(
        &traced,
        expect![[r#"
            input x: f32[B, 784]
            param 0.weight: f32[1024, 784]
            param 0.bias: f32[1024]
            param 2.weight: f32[512, 1024]
            param 2.bias: f32[512]
            param 4.weight: f32[256, 512]
            param 4.bias: f32[256]
            param 6.weight: f32[10, 256]
            param 6.bias: f32[10]
            -> logits: f32[B, 10]
        "#]],
    );
}

/// The text form of a traced graph, which must parse back to the same graph.
fn check_text(graph: &Graph, expected: Expect) {
    let printed = text::print(graph);
    assert_eq!(text::parse(&printed).unwrap(), *graph);
    expected.assert_eq(&printed);
}

#[test]
fn an_mlp_is_its_layers() {
    let traced = traced(mlp(&[4, 8, 3]), f32s(["B", "F"]), Mode::Inference);
    check_text(
        &traced.graph,
        expect![[r#"
        graph(%0: f32[B, 4] = input "x", %1: f32[8, 4] = param "0.weight", %2: f32[8] = param "0.bias", %3: f32[3, 8] = param "2.weight", %4: f32[3] = param "2.bias") {
          %5 = linear[bias=true] %0, %1, %2 : f32[B, 8] loc("0")
          %6 = relu %5 : f32[B, 8] loc("1")
          %7 = linear[bias=true] %6, %3, %4 : f32[B, 3] loc("2")
          return "logits" = %7
        }
    "#]],
    );
}

#[test]
fn chains_are_flat_and_models_nest() {
    let head: Model = linear(3, 2).then(softmax(-1)).into();
    let traced = traced(flatten().then(linear(12, 3)).then(head), f32s([5usize, 3, 4]), Mode::Inference);
    check_signature(
        &traced,
        expect![[r#"
            input x: f32[5, 3, 4]
            param 1.weight: f32[3, 12]
            param 1.bias: f32[3]
            param 2.0.weight: f32[2, 3]
            param 2.0.bias: f32[2]
            -> output: f32[5, 2]
        "#]],
    );
}

#[test]
fn one_block_in_two_places_is_one_set_of_parameters() {
    let shared = linear(4, 4);
    let two = Sequential::new([&shared, &relu(), &shared]);
    let traced = traced(two, f32s(["B".into(), Dim::from(4)]), Mode::Inference);
    check_signature(
        &traced,
        expect![[r#"
            input x: f32[B, 4]
            param 0.weight: f32[4, 4]
            param 0.bias: f32[4]
            -> output: f32[B, 4]
        "#]],
    );
    let nodes = traced.graph.body.nodes();
    assert_eq!(nodes[0].inputs[1..], nodes[2].inputs[1..]);
}

#[test]
fn a_shared_function_shares_what_it_makes() {
    let inner = function("Inner", &["x"], &["output"], |scope, inputs| {
        // A new block at every call: the function, not the block, is what is shared.
        Ok(vec![scope.apply("proj", Linear::new(4, 4).without_bias(), inputs[0])?])
    });
    let outer = function("Outer", &["x"], &["output"], move |scope, inputs| {
        let y = scope.apply("a", &inner, inputs[0])?;
        Ok(vec![scope.apply("b", &inner, y)?])
    });
    let traced = traced(outer, f32s([2usize, 4]), Mode::Inference);
    check_signature(
        &traced,
        expect![[r#"
            input x: f32[2, 4]
            param a.proj.weight: f32[4, 4]
            -> output: f32[2, 4]
        "#]],
    );
}

#[test]
fn another_dtype_for_parameters() {
    let x = TensorType::new(DType::F64, [1usize, 2]);
    let traced = traced(mlp(&[2, 1]).dtype(DType::F64), x, Mode::Inference);
    assert_eq!(traced.graph.input_type(1).dtype, DType::F64);
}

#[test]
fn state_comes_in_and_goes_out_aliased() {
    let counter = function("Counter", &["x"], &["output"], |scope, inputs| {
        let ty = TensorType::scalar(DType::F32);
        let count = scope.state("count", &ty, Init::Zeros)?;
        let next = scope.b.add_scalar(count, 1.0)?;
        scope.set_state("count", next)?;
        Ok(vec![scope.b.add(inputs[0], next)?])
    });
    let traced = traced(Sequential::new([counter]), f32s(["B"]), Mode::Inference);
    check_signature(
        &traced,
        expect![[r#"
            input x: f32[B]
            state 0.count: f32[]
            -> output: f32[B]
            -> 0.count: f32[] = 0.count
        "#]],
    );
}

#[test]
fn dropout_draws_only_in_training() {
    let model: Model = dropout(0.5).then(dropout(0.5)).into();
    let x = f32s(["B"]);
    assert!(traced(&model, x.clone(), Mode::Inference).graph.body.nodes().is_empty());
    let training = traced(&model, x, Mode::Training);
    check_signature(
        &training,
        expect![[r#"
            input x: f32[B]
            state rng.key: u32[2]
            state rng.step: i64[]
            -> output: f32[B]
            -> rng.step: i64[] = rng.step
        "#]],
    );
    let keys: Vec<_> = training
        .graph
        .body
        .nodes()
        .iter()
        .filter(|n| n.op.name() == "dropout")
        .map(|n| n.inputs[1])
        .collect();
    assert_eq!(keys.len(), 2);
    assert_ne!(keys[0], keys[1], "every dropout has its own key");
}

#[test]
fn errors_name_the_block_and_the_shapes() {
    let check = |message: String, expected: Expect| expected.assert_eq(&message);
    check(
        error(mlp(&[784, 16, 10]), f32s(["B".into(), Dim::from(100)])),
        expect![
            "linear(f32[B, 100], f32[16, 784], f32[16]): the features of x must be the weight's: 100 is not 784 (at 0)"
        ],
    );
    check(
        error(linear(4, 4), TensorType::new(DType::F64, [2usize, 4])),
        expect![
            "linear(f64[2, 4], f32[4, 4], f32[4]): operand 1 must be f64, like operand 0 (cast explicitly)"
        ],
    );
    check(
        error(relu().then(softmax(2)), f32s([2usize, 4])),
        expect!["Softmax at `1` axis 2 is out of range for an input f32[2, 4]"],
    );
    check(error(dropout(1.5), f32s([2usize])), expect!["Dropout rate must be in [0, 1), got 1.5"]);
    let twice = function("Twice", &["x"], &["output"], |scope, inputs| {
        let y = scope.apply("fc", linear(4, 4), inputs[0])?;
        Ok(vec![scope.apply("fc", linear(4, 4), y)?])
    });
    check(
        error(twice, f32s([2usize, 4])),
        expect!["the name `fc.weight` is used twice; give the blocks different names, or share one block"],
    );
    let model = mlp(&[4, 2]);
    let x = f32s([1usize, 4]);
    assert_eq!(
        trace(&model, &[], Mode::Inference).unwrap_err(),
        ModelError::MissingInput { name: "x".into() }
    );
    let unknown = trace(&model, &[("x", x.clone()), ("z", x)], Mode::Inference).unwrap_err();
    assert_eq!(unknown.to_string(), "the model has no input `z`; its inputs are `x`");
}

#[test]
fn the_summary_shows_unknown_dims_by_name() {
    let shared = linear(512, 512);
    let model: Model = Sequential::new([&linear(784, 512), &relu(), &shared, &shared]).into();
    let traced = traced(model, f32s(["B", "F"]), Mode::Inference);
    expect![[r#"
        ┌─────────┬────────────┬─────────────┬────────────┐
        │ block   ┆ kind       ┆ output      ┆ parameters │
        ╞═════════╪════════════╪═════════════╪════════════╡
        │ (model) ┆ Sequential ┆ f32[B, 512] ┆            │
        │ 0       ┆ Linear     ┆ f32[B, 512] ┆    401,920 │
        │ 1       ┆ ReLU       ┆ f32[B, 512] ┆            │
        │ 2       ┆ Linear     ┆ f32[B, 512] ┆    262,656 │
        │ 2       ┆ Linear     ┆ f32[B, 512] ┆     shared │
        └─────────┴────────────┴─────────────┴────────────┘
        parameters: 664,576 (2.54 MiB)
    "#]]
    .assert_eq(&format!("{}\n", traced.summary));
}

#[test]
fn configurations_are_data() {
    let config = Linear::new(3, 2).without_bias().config().unwrap();
    assert_eq!(
        config.0.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["in_features", "out_features", "bias", "weight_init", "bias_init"]
    );
    assert_eq!(function("F", &["x"], &["y"], |_, x| Ok(x.to_vec())).config(), None);
}

#[test]
fn roles_follow_one_another() {
    let model: Model = dropout(0.1).then(linear(4, 4)).then(dropout(0.1)).into();
    let roles: Vec<Role> =
        traced(model, f32s([2usize, 4]), Mode::Training).graph.inputs.iter().map(|i| i.role).collect();
    assert_eq!(roles, [Role::Input, Role::Param, Role::Param, Role::State, Role::State]);
}
