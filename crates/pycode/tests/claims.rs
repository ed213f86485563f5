//! Every composite that a framework claims is written as a call somewhere, and in no form is it one that cannot be written.

use std::collections::HashSet;
use std::sync::Arc;
use wootz_ir::ops::{Composite, CompositeKind, Sample};
use wootz_ir::{Builder, DType, Graph, HostTensor, Input, Op, Output, Role};
use wootz_passes::Optimize;
use wootz_pycode::{EmitError, Framework, Options, emit, optimize};

/// One op at its operands, the floats in this dtype.
fn graph(sample: &Sample, dtype: DType) -> Option<Graph> {
    let mut b = Builder::new();
    let cast = |x: &HostTensor| match x.dtype().is_float() {
        true => HostTensor::from_f64(dtype, x.dims(), &x.to_f64()),
        false => x.clone(),
    };
    let operands: Vec<_> = sample.inputs.iter().map(|x| b.param(cast(x).ty())).collect();
    let results = b.push_multi(sample.op.clone(), &operands).ok()?;
    let named = |stem: &str, i: usize| format!("{stem}{i}").into();
    let inputs = (0..operands.len()).map(|i| Input { name: named("x", i), role: Role::Input });
    let outputs = (0..results.len()).map(|i| Output { name: named("y", i), alias: None });
    Some(Graph { inputs: inputs.collect(), outputs: outputs.collect(), body: Arc::new(b.finish(&results)) })
}

fn kind(op: &Op) -> Option<CompositeKind> {
    if let Op::Composite(op) = op { Some(op.kind()) } else { None }
}

#[test]
fn every_claimed_composite_is_written() {
    for framework in Framework::ALL {
        let mut calls = HashSet::new();
        for sample in Op::samples().iter().filter(|sample| kind(&sample.op).is_some()) {
            for dtype in [DType::F64, DType::F32, DType::BF16, DType::F16] {
                let Some(graph) = graph(sample, dtype) else { continue };
                let graph = optimize(&graph, Optimize::None, framework).expect("the passes succeed");
                match emit(&graph, &Options::new(framework)) {
                    Ok(_) => calls.extend(graph.body.nodes().iter().filter_map(|node| kind(&node.op))),
                    Err(EmitError::DType { .. }) => {}
                    Err(error) => panic!("{framework}, {}: {error}", sample.op.name()),
                }
            }
        }
        let claims: HashSet<_> = framework.target(true).claims.into_iter().collect();
        assert_eq!(calls, claims, "{framework}");
    }
}

/// What the framework's attention cannot do is written out.
#[test]
fn attention_is_a_call_where_the_framework_means_the_same() {
    let forms = |framework: Framework, dtype: DType| {
        let attends = |sample: &&Sample| kind(&sample.op) == Some(CompositeKind::Attention);
        let mut calls = Vec::new();
        for sample in Op::samples().iter().filter(attends) {
            let graph = graph(sample, dtype).expect("attention takes floats");
            let graph = optimize(&graph, Optimize::None, framework).expect("the passes succeed");
            let call = graph.body.nodes().iter().any(|node| kind(&node.op).is_some());
            let Op::Composite(Composite::Attention { mask, .. }) = sample.op else { continue };
            calls.push((mask, call));
        }
        calls
    };
    // In doubles JAX's weights are single.
    assert!(forms(Framework::Jax, DType::F64).iter().all(|(_, call)| !call));
    for framework in [Framework::Jax, Framework::Mlx] {
        let calls = forms(framework, DType::F32);
        assert!(calls.iter().any(|(_, call)| *call), "{framework}");
        // A query may see no key.
        assert!(calls.iter().all(|(mask, call)| !(*mask && *call)), "{framework}");
    }
    assert!(forms(Framework::Torch, DType::F64).iter().all(|(_, call)| *call));
}
