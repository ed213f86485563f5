use super::*;
use crate::ops::{Binary, Composite, Control, Dot, Op, Source, Unary};
use crate::{
    Builder, DType, Dim, F64, Graph, HostTensor, Input, Output, Region, Role, Shape, Site, TensorType, Value,
};
use expect_test::expect;
use proptest::prelude::*;
use std::sync::Arc;

fn f32s(shape: impl Into<Shape>) -> TensorType {
    TensorType::new(DType::F32, shape)
}

/// A graph that uses every feature of the text form.
fn everything() -> Graph {
    let mut b = Builder::new();
    let x = b.param(f32s([Dim::symbol("B"), Dim::from(4)]));
    let w = b.param(f32s([4usize]));
    let half = (&Dim::symbol("B") + &Dim::Const(1)).floor_div(&Dim::Const(2)).unwrap();
    let block = b.subregion(&[f32s([Dim::symbol("B"), Dim::from(4)])], |b, p| {
        b.set_site(Site::new("block \"one\"\n"));
        Ok::<_, TypeError>(vec![b.tanh(p[0])?])
    });
    let block = block.unwrap();
    let twice = b
        .subregion(&[f32s([Dim::symbol("B"), Dim::from(4)])], |b, p| {
            let y = b.push(Control::Call { body: block.clone() }, p)?;
            Ok::<_, TypeError>(vec![b.push(Control::Call { body: block.clone() }, &[y])?])
        })
        .unwrap();
    b.set_site(Site::new("mlp.0"));
    let y = b.push(Control::Call { body: twice.clone() }, &[x]).unwrap();
    let y = b.push(Control::Call { body: twice }, &[y]).unwrap();
    b.set_site(Site::default());
    let y = b.add(y, w).unwrap();
    let stop = [half, Dim::from(4)].into_iter().collect();
    let start = [0usize, 0].into();
    let part =
        b.push(crate::ops::Movement::Slice { start, stop, step: [1, 2].as_slice().into() }, &[y]).unwrap();
    let part = b.push(Composite::LeakyRelu { slope: F64(f64::NEG_INFINITY) }, &[part]).unwrap();
    let part = b.push(Composite::LeakyRelu { slope: F64(-0.0) }, &[part]).unwrap();
    let c = b.constant(HostTensor::from_f64(DType::F32, &[2], &[1e-45, f64::NAN]));
    let part = b.mul(part, c).unwrap();
    let region = b.finish(&[part, w]);
    Graph {
        inputs: vec![
            Input { name: "x".into(), role: Role::Input },
            Input { name: "w \\ \u{7}é".into(), role: Role::Param },
        ],
        outputs: vec![Output { name: "y".into(), alias: None }, Output { name: "w".into(), alias: Some(1) }],
        body: Arc::new(region),
    }
}

#[test]
fn every_feature_prints_and_parses_back() {
    let graph = everything();
    let text = print(&graph);
    expect![[r#"
        region @body(%0: f32[B, 4]) -> (f32[B, 4]) {
          %1 = tanh %0 : f32[B, 4] loc("block \"one\"\n")
          return %1
        }
        region @body1(%0: f32[B, 4]) -> (f32[B, 4]) {
          %1 = call[body=@body] %0 : f32[B, 4]
          %2 = call[body=@body] %1 : f32[B, 4]
          return %2
        }
        graph(%0: f32[B, 4] = input "x", %1: f32[4] = param "w \\ \u{7}é") {
          %2 = call[body=@body1] %0 : f32[B, 4] loc("mlp.0")
          %3 = call[body=@body1] %2 : f32[B, 4] loc("mlp.0")
          %4 = broadcast[shape=[B, 4], axes=[1]] %1 : f32[B, 4]
          %5 = add %3, %4 : f32[B, 4]
          %6 = slice[start=[0, 0], stop=[((B + 1)//(2)), 4], step=[1, 2]] %5 : f32[((B + 1)//(2)), 2]
          %7 = leaky_relu[slope=0xfff0000000000000] %6 : f32[((B + 1)//(2)), 2]
          %8 = leaky_relu[slope=-0.0] %7 : f32[((B + 1)//(2)), 2]
          %9 = constant[value=f32[2]{1e-45, nan}] : f32[2]
          %10 = broadcast[shape=[((B + 1)//(2)), 2], axes=[1]] %9 : f32[((B + 1)//(2)), 2]
          %11 = mul %8, %10 : f32[((B + 1)//(2)), 2]
          return "y" = %11, "w" = %1 alias "w \\ \u{7}é"
        }
    "#]]
    .assert_eq(&text);
    let parsed = parse(&text).unwrap();
    assert_eq!(parsed, graph);
    // Sites are outside equality, so compare them through the text.
    assert_eq!(print(&parsed), text);
    let calls: Vec<&Arc<Region>> = parsed.body.nodes().iter().flat_map(|n| n.op.regions()).collect();
    assert!(Arc::ptr_eq(calls[0], calls[1]), "the sharing of regions is restored");
}

#[test]
fn hand_written_text_may_leave_out_types_and_use_names() {
    let graph = parse(
        "# doubles\ngraph(%x: f32[3] = input \"x\") { %two = constant[value=f32[3]{2.0, 2, 2e0}]\n %y = mul %x, %two return \"y\" = %y }",
    )
    .unwrap();
    assert_eq!(graph.body.nodes().len(), 2);
    let region = parse_region("region @r(%x: f32[3]) { %y = neg %x return %y, %x }").unwrap();
    assert_eq!(region.results().len(), 2);
    assert_eq!(parse_region(&print_region(&region)).unwrap(), region);
}

#[test]
fn constants_keep_every_bit() {
    let bits32 =
        [0u32, 0x8000_0000, 1, 0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0xffc0_0001, 0x7f80_0001, 0x3dcc_cccd];
    let mut tensors = vec![HostTensor::from_bytes(DType::F32, &[9], bytemuck::cast_slice(&bits32)).unwrap()];
    for dtype in [DType::F16, DType::BF16] {
        let all: Vec<u16> = (0..=u16::MAX).collect();
        tensors.push(HostTensor::from_bytes(dtype, &[1 << 16], bytemuck::cast_slice(&all)).unwrap());
        for chunk in all.chunks(61) {
            tensors.push(HostTensor::from_bytes(dtype, &[chunk.len()], bytemuck::cast_slice(chunk)).unwrap());
        }
    }
    let bits64 =
        [0u64, 1 << 63, 1, 0x7ff0_0000_0000_0001, 0xfff8_0000_0000_0000, 0x3fb9_9999_9999_999a, u64::MAX];
    tensors.push(HostTensor::from_bytes(DType::F64, &[7], bytemuck::cast_slice(&bits64)).unwrap());
    tensors.push(HostTensor::from_slice(&[2], &[i64::MIN, i64::MAX]).unwrap());
    tensors.push(HostTensor::from_slice(&[2], &[i32::MIN, i32::MAX]).unwrap());
    tensors.push(HostTensor::from_slice(&[2], &[0u32, u32::MAX]).unwrap());
    tensors.push(HostTensor::from_bytes(DType::Bool, &[2, 1], &[0, 1]).unwrap());
    tensors.push(HostTensor::zeros(DType::F32, &[3, 0]).unwrap());
    tensors.push(HostTensor::from_slice(&[300], &(0..300).collect::<Vec<i32>>()).unwrap());
    for tensor in tensors {
        let mut b = Builder::new();
        let c = b.constant(tensor);
        let region = b.finish(&[c]);
        assert_eq!(parse_region(&print_region(&region)).unwrap(), region);
    }
}

#[test]
fn float_attributes_keep_every_bit() {
    for x in [0.01, -0.0, 1e300, f64::MIN_POSITIVE / 3.0, f64::INFINITY, -f64::NAN, 3.0] {
        let mut b = Builder::new();
        let p = b.param(f32s([2usize]));
        let y = b.push(Composite::LeakyRelu { slope: F64(x) }, &[p]).unwrap();
        let region = b.finish(&[y]);
        assert_eq!(parse_region(&print_region(&region)).unwrap(), region);
    }
}

#[test]
fn errors_say_where_and_what() {
    let message = |text: &str| parse(text).unwrap_err().to_string();
    let cases = [
        "",
        "graph(%x: f32[2] = input \"x\") {\n  %y = foo %x\n  return\n}",
        "graph(%x: f32[2] = input \"x\") {\n  %y = neg %z\n  return\n}",
        "graph(%x: f32[2] = input \"x\") {\n  %y = neg %x : f32[3]\n  return\n}",
        "graph(%x: f32[2] = input \"x\") {\n  %y = reduce_sum %x\n  return\n}",
        "graph(%x: f32[2] = input \"x\") {\n  %y = neg[axis=1] %x\n  return\n}",
        "graph(%x: f32[2] = input \"x\") {\n  %y = not %x\n  return\n}",
        "graph(%x: f32[2] = input \"x\") {\n  %x = neg %x\n  return\n}",
        "graph(%x: f32[2] = input \"x\") {\n  %y = call[body=@b] %x\n  return\n}",
        "graph(%x: f32[2] = input \"x\") {\n  %y = constant[value=f32[2]{1.0}]\n  return\n}",
        "graph(%x: f32[2] = input \"x\") {\n  %y = constant[value=u8[1]{-1}]\n  return\n}",
        "graph(%x: f32[-2] = input \"x\") {\n  return\n}",
        "graph(%x: f32[2] = parameter \"x\") {\n  return\n}",
        "graph(%x: f32[2] = input \"x) {\n  return\n}",
        "graph(%x: f32[((B)//(0))] = input \"x\") {\n  return\n}",
        "graph(%x: f32[99999999999999999999] = input \"x\") {\n  return\n}",
        "graph() {\n  return \"y\" = %0\n} graph",
        "graph(%x: f32[2] = input \"x\", %y: f32[2] = input \"x\") {\n  return\n}",
        "graph(%x: f32[2] = input \"x\") {\n  return \"y\" = %x alias \"z\"\n}",
        "graph(%x: f32[2] = input \"x\") {\n  %y, %z = neg %x\n  return\n}",
        "graph(%x: f32[2] = input \"x\") {\n  $\n}",
    ];
    let all: Vec<String> = cases.into_iter().map(message).collect();
    expect![[r#"
        line 1, column 1: expected `region` or `graph`, found the end of the text
        line 2, column 8: there is no op called `foo`
        line 2, column 12: `%z` is not defined before its use
        line 2, column 15: the stated types are [f32[3]], the op gives [f32[2]]
        line 2, column 8: reduce_sum: attribute `axes` is missing
        line 2, column 8: neg: unknown attribute `axis`
        line 2, column 8: not(f32[2]): operand 0 must be bool or an integer
        line 2, column 3: `%x` is already defined
        line 2, column 18: `@b` is not defined before its use
        line 2, column 23: f32[2] needs 8 bytes, got 4
        line 2, column 29: expected an element of type u8, found `-`
        line 1, column 1: %0 has the impossible type f32[-2]
        line 1, column 20: expected `input`, `param` or `state`, found `parameter`
        line 1, column 26: the string does not end on its line
        line 1, column 22: cannot divide by 0
        line 1, column 15: 99999999999999999999 does not fit into 64 bits
        line 2, column 16: `%0` is not defined before its use
        line 1, column 1: two inputs are called `x`
        line 2, column 25: `z` is not defined before its use
        line 2, column 12: expected 1 names for the op's results, found 2
        line 2, column 3: '$' starts nothing"#]]
    .assert_eq(&all.join("\n"));
}

#[test]
fn nesting_and_growth_are_bounded() {
    let mut text = String::from("region @r0(%x: f32[]) { %y = neg %x return %y }\n");
    for i in 1..100 {
        let inner = i - 1;
        text += &format!(
            "region @r{i}(%x: f32[]) {{ %y = call[body=@r{inner}] %x %z = call[body=@r{inner}] %y return %z }}\n"
        );
    }
    assert!(matches!(parse_region(&text).unwrap_err().kind, ParseErrorKind::Limit { .. }));
    let deep = format!("region @r(%x: f32[{}", "((".repeat(10_000));
    assert!(matches!(parse_region(&deep).unwrap_err().kind, ParseErrorKind::Limit { .. }));
    let wide = format!("region @r(%x: f32[{}1]) {{ return }}", "((2*A + 2*B)//(2))*".repeat(30));
    assert!(matches!(parse_region(&wide).unwrap_err().kind, ParseErrorKind::Limit { .. }));
}

/// A region of one op on parameters of these types.
fn single(op: Op, inputs: &[HostTensor]) -> Region {
    let mut b = Builder::new();
    let params: Vec<Value> = inputs.iter().map(|t| b.param(t.ty())).collect();
    let outputs = b.push_multi(op, &params).unwrap();
    b.finish(&outputs)
}

#[test]
fn every_sample_prints_and_parses_back() {
    for sample in Op::samples() {
        let region = single(sample.op, &sample.inputs);
        assert_eq!(parse_region(&print_region(&region)).unwrap(), region);
    }
}

/// A random region: each step applies an op chosen by a byte to operands chosen by bytes.
fn random_region(steps: &[(u8, u8, u8)]) -> Region {
    let ty = f32s([Dim::symbol("B"), Dim::from(4)]);
    let mut b = Builder::new();
    let mut values = vec![b.param(ty.clone()), b.param(ty.clone())];
    let mut shared: Option<Arc<Region>> = None;
    for (at, (what, i, j)) in steps.iter().enumerate() {
        let (x, y) = (values[*i as usize % values.len()], values[*j as usize % values.len()]);
        let built = match what % 12 {
            0 => b.push(Unary::ALL[*i as usize % 2], &[x]),
            1 => b.push(Binary::ALL[*j as usize % 5], &[x, y]),
            2 => b.composite(Composite::LogSoftmax { axis: usize::from(*i) % 2 }, &[x]),
            3 => b.sum(x, &[1]).and_then(|s| b.broadcast(s, &ty.shape, &[0])),
            4 => {
                let dims = Dot {
                    lhs_contract: [1].as_slice().into(),
                    rhs_contract: [1].as_slice().into(),
                    ..Dot::default()
                };
                let gram = b.dot(x, y, dims).unwrap();
                b.matmul(gram, x)
            }
            5 => b.push(
                Source::Iota { dtype: DType::F32, shape: ty.shape.clone(), axis: usize::from(*j) % 2 },
                &[],
            ),
            6 => b.lt(x, y).and_then(|c| b.select(c, x, y)),
            7 => {
                let c = b.constant(
                    HostTensor::from_slice(&[], &[f32::from_bits(u32::from(*i) << 23 | u32::from(*j))])
                        .unwrap(),
                );
                b.mul(x, c)
            }
            8 | 9 => {
                let body = shared.take().filter(|_| what % 12 == 8).unwrap_or_else(|| {
                    let rest = &steps[at + 1..];
                    let nested = random_region(&rest[..rest.len().min(*i as usize % 3)]);
                    let mut inner = Builder::new();
                    let params = [inner.param(ty.clone()), inner.param(ty.clone())];
                    let results = inner.inline(&nested, &params).unwrap();
                    Arc::new(inner.finish(&results[..1]))
                });
                shared = Some(body.clone());
                b.push(Control::Call { body }, &[x, y])
            }
            10 => {
                let start = [Dim::from(0), Dim::from(1)].into_iter().collect();
                let stop = [Dim::symbol("B"), Dim::from(4)].into_iter().collect();
                let op = crate::ops::Movement::Slice { start, stop, step: [1, 1].as_slice().into() };
                let zero = b.scalar(DType::F32, -0.0);
                b.push(op, &[x]).and_then(|s| b.pad(s, zero, &[0, 2], &[0, -1], &[0, 0]))
            }
            _ => {
                b.set_site(Site::new(["", "mlp", "mlp.\"0\""][*i as usize % 3]));
                b.push(Composite::Mse { reduction: crate::ops::composite::Reduction::None }, &[x, y])
            }
        };
        values.push(built.unwrap());
    }
    let results = values.split_off(values.len().saturating_sub(3));
    b.finish(&results)
}

proptest! {
    #[test]
    fn random_regions_print_and_parse_back(steps in proptest::collection::vec(any::<(u8, u8, u8)>(), 0..24)) {
        let region = random_region(&steps);
        let text = print_region(&region);
        let parsed = parse_region(&text).unwrap();
        prop_assert_eq!(&parsed, &region);
        prop_assert_eq!(print_region(&parsed), text);
    }

    #[test]
    fn mutated_text_is_never_a_panic(edits in proptest::collection::vec((any::<u32>(), any::<u8>(), any::<u32>()), 1..6)) {
        let mut text: Vec<char> = print(&everything()).chars().collect();
        for (at, what, from) in edits {
            let at = at as usize % text.len();
            let from = from as usize % text.len();
            match what % 4 {
                0 => { text.remove(at); }
                1 => text.insert(at, text[from]),
                2 => text[at] = b"-0129[](){},:=+*/%@\" \\xeBn"[what as usize / 4 % 26] as char,
                _ => {
                    let piece: Vec<char> = text[from..(from + 20).min(text.len())].to_vec();
                    text.splice(at..at, piece);
                }
            }
        }
        let text: String = text.into_iter().collect();
        if let Ok(graph) = parse(&text) {
            prop_assert_eq!(parse(&print(&graph)).unwrap(), graph);
        }
    }

    #[test]
    fn any_text_is_never_a_panic(text in "\\PC*") {
        let _ = parse(&text);
    }
}
