//! What samples cannot show of the control ops: errors, what is kept, and lanes that disagree.

use crate::common::{derivative, distance, f64s, graph, inner, noise, run};
use std::error::Error as _;
use std::sync::Arc;
use wootz_ir::ops::{Control, Family, RuleError, Sample};
use wootz_ir::{Builder, DType, Dim, Graph, HostTensor, Op, Region, Site, TensorType, TypeError, Value};
use wootz_transform::{TransformError, grad, jvp, vjp, vmap};

fn vector(n: usize) -> TensorType {
    TensorType::new(DType::F64, [n])
}

fn region(
    params: &[TensorType],
    f: impl FnOnce(&mut Builder, &[Value]) -> Result<Vec<Value>, TypeError>,
) -> Arc<Region> {
    Builder::new().subregion(params, f).unwrap()
}

fn whiles() -> Vec<Sample> {
    Control::samples().into_iter().filter(|s| s.op.name() == "while").collect()
}

#[test]
fn while_is_differentiated_forwards() {
    for sample in whiles() {
        let plain = crate::common::single(&sample.op, &sample.inputs);
        let forward = jvp(&plain, &[1, 3]).unwrap();
        let tangents = [noise(plain.input_type(1), 1), noise(plain.input_type(3), 2)];
        let pushed = run(&forward, &[&sample.inputs[..], &tangents].concat());
        let weight = noise(plain.output_type(1), 3);
        let along = |t: f64| {
            let mut args = sample.inputs.clone();
            for (i, tangent) in [1, 3].into_iter().zip(&tangents) {
                let moved: Vec<f64> =
                    args[i].to_f64().iter().zip(tangent.to_f64()).map(|(x, v)| x + t * v).collect();
                args[i] = f64s(&[3], &moved);
            }
            inner(&run(&plain, &args)[1..], std::slice::from_ref(&weight))
        };
        let found = inner(&pushed[2..], std::slice::from_ref(&weight));
        assert!(distance(&[found], &[derivative(&along, 0.02)], 1e-3) < 1e-6);
    }
}

#[test]
fn while_has_no_reverse_mode_and_says_where_and_what_instead() {
    let sample = &whiles()[0];
    let types: Vec<TensorType> = sample.inputs.iter().map(HostTensor::ty).collect();
    let plain = graph(&types, |b, p| {
        b.set_site(Site::new("solver.loop"));
        let out = b.push_multi(sample.op.clone(), p)?;
        b.set_site(Site::default());
        Ok(vec![b.sum_all(out[1])?])
    });
    let error = grad(&plain, 0, &[1]).unwrap_err();
    let TransformError::Rule { source: RuleError::NotDifferentiable { op, mode, .. }, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!((*op, *mode), ("while", "reverse"));
    assert_eq!(error.to_string(), "cannot apply grad");
    let message = error.source().expect("the rule's error").to_string();
    for part in ["while", "scan", "custom_vjp", "solver.loop"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_while_off_the_path_does_not_stop_reverse_mode() {
    let sample = &whiles()[0];
    let types: Vec<TensorType> = sample.inputs.iter().map(HostTensor::ty).collect();
    let plain = graph(&types, |b, p| {
        let out = b.push_multi(sample.op.clone(), p)?;
        let held = b.stop_gradient(out[1])?;
        let product = b.mul(held, p[3])?;
        Ok(vec![b.sum_all(product)?])
    });
    let out = run(&grad(&plain, 0, &[1, 3]).unwrap(), &sample.inputs);
    assert_eq!(out[1].to_f64(), [0.0; 3]);
    let held = run(&crate::common::single(&sample.op, &sample.inputs), &sample.inputs);
    assert_eq!(out[2], held[1]);
}

/// h ← tanh(e^w · h + x), with the sum of the last h as loss.
fn recurrent(length: usize) -> Graph {
    let body = region(&[vector(4), vector(4), vector(4)], |b, p| {
        let wide = b.exp(p[2])?;
        let product = b.mul(wide, p[0])?;
        let sum = b.add(product, p[1])?;
        Ok(vec![b.tanh(sum)?])
    });
    let op = Control::Scan { body, carries: 1, xs: 1, length: Dim::from(length), reverse: false };
    graph(&[vector(4), TensorType::new(DType::F64, [length, 4]), vector(4)], |b, p| {
        let last = b.push(op, p)?;
        Ok(vec![b.sum_all(last)?])
    })
}

fn ops<'g>(graph: &'g Graph, name: &str) -> Vec<&'g wootz_ir::Node> {
    graph.body.nodes().iter().filter(|n| n.op.name() == name).collect()
}

#[test]
fn a_scan_runs_once_forwards_and_once_backwards_and_stacks_only_what_changes() {
    let gradient = grad(&recurrent(5), 0, &[0, 1, 2]).unwrap();
    let scans = ops(&gradient, "scan");
    assert_eq!(scans.len(), 2, "one scan each way");
    let reversed: Vec<bool> =
        scans.iter().map(|n| matches!(&n.op, Op::Control(Control::Scan { reverse: true, .. }))).collect();
    assert_eq!(reversed, [false, true]);
    // The result, h before the step and tanh's result; e^w is the same at every step.
    let stacked: Vec<String> = scans[0].outputs().skip(1).map(|v| gradient.body.ty(v).to_string()).collect();
    assert_eq!(stacked, ["f64[5, 4]", "f64[5, 4]"]);
}

#[test]
fn a_residual_that_is_a_result_is_not_returned_twice() {
    // y = tanh x is all that the derivative reads.
    let params = [vector(4)];
    let block = region(&params, |b, p| Ok(vec![b.tanh(p[0])?]));
    let plain = graph(&params, |b, p| {
        let y = b.push(Control::Call { body: block }, p)?;
        Ok(vec![b.sum_all(y)?])
    });
    let gradient = grad(&plain, 0, &[0]).unwrap();
    let calls = ops(&gradient, "call");
    let (forward, backward) = (calls[0], calls[1]);
    assert_eq!(forward.outputs().len(), 1);
    assert_eq!(backward.inputs[0], forward.output());

    let body = region(&[vector(4), vector(4)], |b, p| {
        let sum = b.add(p[0], p[1])?;
        let h = b.tanh(sum)?;
        Ok(vec![h, h])
    });
    let op = Control::Scan { body, carries: 1, xs: 1, length: Dim::from(5usize), reverse: false };
    let plain = graph(&[vector(4), TensorType::new(DType::F64, [5usize, 4])], |b, p| {
        let out = b.push_multi(op, p)?;
        Ok(vec![b.sum_all(out[0])?, out[1]])
    });
    let gradient = vjp(&plain, &[0, 1]).unwrap();
    assert_eq!(ops(&gradient, "scan")[0].outputs().len(), 2);
    let args = [noise(plain.input_type(0), 1), noise(plain.input_type(1), 2)];
    let weights = [f64s(&[], &[0.7]), noise(plain.output_type(1), 3)];
    let found = run(&gradient, &[&args[..], &weights].concat());
    let loss = |args: &[HostTensor]| inner(&run(&plain, args), &weights);
    for i in 0..2 {
        let expected = crate::common::gradient(&loss, &args, i);
        assert!(distance(&found[2 + i].to_f64(), &expected, 1e-3) < 1e-6);
    }
}

#[test]
fn nothing_is_kept_for_operands_that_are_not_asked_for() {
    // Linear in h once w is fixed: the derivative by x needs e^w only, which is no row of the scan.
    let body = region(&[vector(4), vector(4), vector(4)], |b, p| {
        let wide = b.exp(p[2])?;
        let product = b.mul(wide, p[0])?;
        Ok(vec![b.add(product, p[1])?])
    });
    let op = Control::Scan { body, carries: 1, xs: 1, length: Dim::from(5usize), reverse: false };
    let plain = graph(&[vector(4), TensorType::new(DType::F64, [5usize, 4]), vector(4)], |b, p| {
        let last = b.push(op, p)?;
        Ok(vec![b.sum_all(last)?])
    });
    let gradient = grad(&plain, 0, &[1]).unwrap();
    assert_eq!(ops(&gradient, "scan")[0].outputs().len(), 1);
    let gradient = grad(&plain, 0, &[2]).unwrap();
    assert_eq!(ops(&gradient, "scan")[0].outputs().len(), 2);
}

#[test]
fn the_branches_of_a_cond_share_the_places_of_their_residuals() {
    let params = [vector(3)];
    let branch = |twice: bool| {
        region(&params, |b, p| {
            let e = b.exp(p[0])?;
            let out = b.sin(e)?;
            Ok(vec![if twice { b.sin(out)? } else { out }])
        })
    };
    let op = Control::Cond { then: branch(false), otherwise: branch(true) };
    let plain = graph(&[TensorType::scalar(DType::Bool), vector(3)], |b, p| {
        let out = b.push(op, p)?;
        Ok(vec![b.sum_all(out)?])
    });
    let gradient = grad(&plain, 0, &[1]).unwrap();
    let conds = ops(&gradient, "cond");
    assert_eq!(conds.len(), 2);
    let needs = conds[0].outputs().len() - 1;
    assert!((1..=2).contains(&needs), "the shorter branch's residuals use the longer one's places: {needs}");
}

#[test]
fn lanes_of_a_while_finish_one_by_one() {
    // Halve until below 1, counting the steps: 0, 3 and 5 of them.
    let params = [TensorType::scalar(DType::F64), TensorType::scalar(DType::I64)];
    let cond = region(&params, |b, p| {
        let one = b.scalar(DType::F64, 1.0);
        Ok(vec![b.ge(p[0], one)?])
    });
    let body = region(&params, |b, p| Ok(vec![b.mul_scalar(p[0], 0.5)?, b.add_scalar(p[1], 1.0)?]));
    let plain = graph(&params, |b, p| b.push_multi(Control::While { cond, body, carries: 2 }, p));
    let axes = [Some(0), None];
    let batched = vmap(&plain, &axes, &[Some(0), Some(0)], &Dim::from(3usize)).unwrap();
    let out = run(&batched, &[f64s(&[3], &[0.7, 4.0, 24.0]), HostTensor::scalar(DType::I64, 0.0)]);
    assert_eq!(out[0].to_f64(), [0.7, 0.5, 0.75]);
    assert_eq!(out[1].to_i64(), [0, 3, 5]);
}

#[test]
fn a_custom_derivative_is_used_in_reverse_mode_only() {
    // The identity, whose given derivative is ten times too large.
    let params = [vector(2)];
    let primal = region(&params, |_, p| Ok(vec![p[0]]));
    let backward = region(&params, |b, p| Ok(vec![b.mul_scalar(p[0], 10.0)?]));
    let op = Control::CustomVjp { primal: primal.clone(), forward: primal, backward };
    let plain = graph(&params, |b, p| Ok(vec![b.push(op, p)?]));
    let (x, v) = (f64s(&[2], &[1.0, 2.0]), f64s(&[2], &[3.0, 4.0]));
    let reverse = run(&vjp(&plain, &[0]).unwrap(), &[x.clone(), v.clone()]);
    assert_eq!(reverse[1].to_f64(), [30.0, 40.0]);
    let forward = run(&jvp(&plain, &[0]).unwrap(), &[x, v]);
    assert_eq!(forward[1].to_f64(), [3.0, 4.0]);
}

#[test]
fn a_batched_custom_derivative_sums_over_lanes_for_shared_arguments() {
    // (x, w) → x·w with the derivative by w given as 7·x·ct; w is shared by the lanes.
    let params = [vector(2), vector(2)];
    let primal = region(&params, |b, p| Ok(vec![b.mul(p[0], p[1])?]));
    let forward = region(&params, |b, p| Ok(vec![b.mul(p[0], p[1])?, p[0], p[1]]));
    let backward = region(&[vector(2), vector(2), vector(2)], |b, p| {
        let by_w = b.mul(p[0], p[2])?;
        Ok(vec![b.mul(p[1], p[2])?, b.mul_scalar(by_w, 7.0)?])
    });
    let op = Control::CustomVjp { primal, forward, backward };
    let plain = graph(&params, |b, p| Ok(vec![b.push(op, p)?]));
    let batched = vmap(&plain, &[Some(0), None], &[Some(0)], &Dim::from(2usize)).unwrap();
    let reverse = vjp(&batched, &[0, 1]).unwrap();
    let (x, w, ct) =
        (f64s(&[2, 2], &[1.0, 2.0, 3.0, 4.0]), f64s(&[2], &[5.0, 6.0]), f64s(&[2, 2], &[1.0; 4]));
    let out = run(&reverse, &[x, w, ct]);
    assert_eq!(out[1].to_f64(), [5.0, 6.0, 5.0, 6.0]);
    assert_eq!(out[2].to_f64(), [28.0, 42.0]);
}
