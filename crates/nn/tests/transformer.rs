//! Transformers: names and shapes of parameters, sharing, symbolic sizes, errors.

// Helpers outside `#[test]` functions fail by panicking too.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use wootz_ir::ops::{Composite, Op};
use wootz_ir::{DType, Dim, TensorType, verify};
use wootz_nn::{
    Embedding, Linear, Mode, Model, MultiheadAttention, Sequential, Traced, TransformerConfig,
    TransformerEncoder, TransformerEncoderLayer, layer_norm, rms_norm, tied_embedding, trace, transformer,
};

fn tokens() -> TensorType {
    TensorType::new(DType::I64, ["B", "S"])
}

fn floats(width: usize) -> TensorType {
    TensorType::new(DType::F32, [Dim::symbol("B"), Dim::symbol("S"), Dim::from(width)])
}

fn traced(model: impl Into<Model>, x: TensorType, mode: Mode) -> Traced {
    let traced = trace(&model.into(), &[("x", x)], mode).unwrap();
    verify(&traced.graph).unwrap();
    traced
}

fn params(traced: &Traced) -> BTreeMap<String, String> {
    let inputs = traced.graph.inputs.iter().enumerate().skip(1);
    inputs.map(|(i, input)| (input.name.to_string(), traced.graph.input_type(i).shape.to_string())).collect()
}

fn composites(traced: &Traced) -> Vec<&Composite> {
    let nodes = traced.graph.body.nodes().iter();
    nodes.filter_map(|n| if let Op::Composite(c) = &n.op { Some(c) } else { None }).collect()
}

fn layer_params(prefix: &str, width: usize, feedforward: usize) -> Vec<(String, String)> {
    let shapes = [
        ("self_attn.in_proj_weight", format!("[{}, {width}]", 3 * width)),
        ("self_attn.in_proj_bias", format!("[{}]", 3 * width)),
        ("self_attn.out_proj.weight", format!("[{width}, {width}]")),
        ("self_attn.out_proj.bias", format!("[{width}]")),
        ("linear1.weight", format!("[{feedforward}, {width}]")),
        ("linear1.bias", format!("[{feedforward}]")),
        ("linear2.weight", format!("[{width}, {feedforward}]")),
        ("linear2.bias", format!("[{width}]")),
        ("norm1.weight", format!("[{width}]")),
        ("norm1.bias", format!("[{width}]")),
        ("norm2.weight", format!("[{width}]")),
        ("norm2.bias", format!("[{width}]")),
    ];
    shapes.into_iter().map(|(name, shape)| (format!("{prefix}{name}"), shape)).collect()
}

#[test]
fn an_encoder_layer_has_pytorchs_parameters() {
    let layer = TransformerEncoderLayer { feedforward: 20, ..TransformerEncoderLayer::new(12, 3) };
    assert_eq!(
        params(&traced(layer.clone(), floats(12), Mode::Inference)),
        layer_params("", 12, 20).into_iter().collect()
    );
    let stack = TransformerEncoder::new(&layer, 2, false);
    let expected = [layer_params("layers.0.", 12, 20), layer_params("layers.1.", 12, 20)].concat();
    assert_eq!(params(&traced(stack, floats(12), Mode::Inference)), expected.into_iter().collect());
}

#[test]
fn a_decoder_only_transformer_ties_its_embedding() {
    let config = TransformerConfig::new(50, 16, 8, 2, 3);
    let model = traced(transformer(&config), tokens(), Mode::Inference);
    let mut expected: BTreeMap<String, String> =
        (0..3).flat_map(|i| layer_params(&format!("layers.{i}."), 8, 32)).collect();
    for (name, shape) in [
        ("embedding.weight", "[50, 8]"),
        ("position.weight", "[16, 8]"),
        ("norm.weight", "[8]"),
        ("norm.bias", "[8]"),
    ] {
        expected.insert(name.to_owned(), shape.to_owned());
    }
    assert_eq!(params(&model), expected);
    assert_eq!(model.graph.output_type(0).to_string(), "f32[B, S, 50]");
    let attention = Composite::Attention { causal: true, mask: false, scale: wootz_ir::F64(0.5) };
    assert_eq!(composites(&model).iter().filter(|c| ***c == attention).count(), 3);

    let untied = traced(transformer(&TransformerConfig { tied: false, ..config }), tokens(), Mode::Inference);
    expected.insert("head.weight".to_owned(), "[50, 8]".to_owned());
    assert_eq!(params(&untied), expected);
}

#[test]
fn dropped_weights_take_attention_apart() {
    let layer = TransformerEncoderLayer::new(8, 2);
    let training = traced(layer, floats(8), Mode::Training);
    let found = composites(&training);
    assert!(found.iter().all(|c| !matches!(c, Composite::Attention { .. })));
    assert_eq!(found.iter().filter(|c| matches!(c, Composite::Dropout { .. })).count(), 4);
}

#[test]
fn an_output_layer_may_come_before_the_embedding_it_shares() {
    let (embedding, head) = tied_embedding(Embedding::new(5, 4));
    let x = TensorType::new(DType::F32, [3usize, 4]);
    let alone = traced(Sequential::new([head.clone()]), x, Mode::Inference);
    assert_eq!(params(&alone).into_keys().collect::<Vec<_>>(), ["0.embedding.weight"]);
    let both = Sequential::new([embedding, Linear::new(4, 4).into(), head]);
    let both = traced(both, TensorType::new(DType::I32, [3usize]), Mode::Inference);
    assert_eq!(params(&both).into_keys().collect::<Vec<_>>(), ["0.weight", "1.bias", "1.weight"]);
}

#[test]
fn misuse_is_an_error_that_names_the_place() {
    let error =
        |model: Model, x: TensorType| trace(&model, &[("x", x)], Mode::Inference).unwrap_err().to_string();
    let heads = error(Sequential::new([MultiheadAttention::new(8, 3)]).into(), floats(8));
    assert_eq!(heads, "MultiheadAttention at `0` has a width of 8, which 3 heads do not divide");
    let context = TensorType::new(DType::I64, [1usize, 17]);
    let long = error(transformer(&TransformerConfig::new(50, 16, 8, 2, 1)), context);
    assert!(long.contains("with S up to 16"), "{long}");
    for model in [layer_norm(7), rms_norm(7)] {
        let sizes = error(model, TensorType::new(DType::F32, [2usize, 6]));
        assert!(sizes.contains("shape of the normalised axes"), "{sizes}");
    }
    let ids = error(wootz_nn::embedding(5, 4), floats(8));
    assert!(ids.contains("ids"), "{ids}");
}
