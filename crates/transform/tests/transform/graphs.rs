//! Graphs: signatures, errors, absent zeros, composition in any order.

use crate::common::{distance, f64s, gradient, graph, noise, run};
use wootz_ir::ops::{Dot, Source};
use wootz_ir::{DType, Dim, Graph, HostTensor, TensorType};
use wootz_transform::{TransformError, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap};

fn vector(n: usize) -> TensorType {
    TensorType::new(DType::F64, [n])
}

/// loss = Σ tanh(W x)², and h = W x.
fn model() -> Graph {
    graph(&[TensorType::new(DType::F64, [3usize, 2]), vector(2)], |b, p| {
        let dims = Dot {
            lhs_contract: [1].into_iter().collect(),
            rhs_contract: [0].into_iter().collect(),
            ..Dot::default()
        };
        let h = b.dot(p[0], p[1], dims)?;
        let t = b.tanh(h)?;
        let square = b.mul(t, t)?;
        Ok(vec![b.sum_all(square)?, h])
    })
}

fn at() -> [HostTensor; 2] {
    let model = model();
    [noise(model.input_type(0), 1), noise(model.input_type(1), 2)]
}

fn names(graph: &Graph) -> (Vec<&str>, Vec<&str>) {
    (graph.inputs.iter().map(|i| &*i.name).collect(), graph.outputs.iter().map(|o| &*o.name).collect())
}

#[test]
fn signatures() {
    let model = model();
    let reverse = vjp(&model, &[1, 0]).unwrap();
    assert_eq!(names(&reverse), (vec!["x0", "x1", "ct.y0", "ct.y1"], vec!["y0", "y1", "grad.x1", "grad.x0"]));
    let forward = jvp(&model, &[1]).unwrap();
    assert_eq!(
        names(&forward),
        (vec!["x0", "x1", "tangent.x1"], vec!["y0", "y1", "tangent.y0", "tangent.y1"])
    );
    let gradient = grad(&model, 0, &[0, 1]).unwrap();
    assert_eq!(names(&gradient), (vec!["x0", "x1"], vec!["y0", "y1", "grad.x0", "grad.x1"]));
    let again = grad(&gradient, 0, &[1]).unwrap();
    assert_eq!(names(&again).1, ["y0", "y1", "grad.x0", "grad.x1", "grad.x1.2"]);
    let jacobian = jacfwd(&model, &[1]).unwrap();
    assert_eq!(names(&jacobian).1, ["y0", "y1", "jac.y0.x1", "jac.y1.x1"]);
    let second = hessian(&model, 0, &[0, 1]).unwrap();
    let blocks = ["hessian.x0.x0", "hessian.x0.x1", "hessian.x1.x0", "hessian.x1.x1"];
    assert_eq!(names(&second).1[4..], blocks);
    assert_eq!(second.output_type(5).to_string(), "f64[3, 2, 2]");
}

#[test]
fn tangents_come_in_the_order_of_wrt() {
    let plain = graph(&[vector(1), vector(1)], |b, p| Ok(vec![b.div(p[0], p[1])?]));
    let forward = jvp(&plain, &[1, 0]).unwrap();
    assert_eq!(names(&forward).0, ["x0", "x1", "tangent.x1", "tangent.x0"]);
    let args = [1.0, 2.0, 4.0, 8.0].map(|x| f64s(&[1], &[x]));
    // d(x0/x1) = tangent0/x1 − x0·tangent1/x1².
    assert_eq!(run(&forward, &args)[1].to_f64(), [8.0 / 2.0 - 4.0 / 4.0]);
}

#[test]
fn aliases_stay_with_the_outputs_that_had_them() {
    let mut model = graph(&[vector(2), vector(2)], |b, p| {
        let next = b.sub(p[0], p[1])?;
        Ok(vec![next, b.sum_all(next)?])
    });
    model.outputs[0].alias = Some(0);
    let aliases = |g: &Graph| g.outputs.iter().map(|o| o.alias).collect::<Vec<_>>();
    assert_eq!(aliases(&grad(&model, 1, &[0]).unwrap()), [Some(0), None, None]);
    assert_eq!(aliases(&jvp(&model, &[0]).unwrap()), [Some(0), None, None, None]);
    let size = Dim::from(3usize);
    let alike = vmap(&model, &[Some(0), None], &[Some(0), Some(0)], &size).unwrap();
    assert_eq!(aliases(&alike), [Some(0), None]);
    let apart = vmap(&model, &[None, Some(0)], &[Some(0), Some(0)], &size).unwrap();
    assert_eq!(aliases(&apart), [None, None]);
}

#[test]
fn zero_gradients_are_tensors_of_zeros() {
    let plain = graph(&[vector(2), vector(3)], |b, p| {
        let held = b.stop_gradient(p[1])?;
        let (x, y) = (b.sum_all(p[0])?, b.sum_all(held)?);
        Ok(vec![b.add(x, y)?])
    });
    let out = run(&grad(&plain, 0, &[1, 0]).unwrap(), &[f64s(&[2], &[1.0, 2.0]), f64s(&[3], &[1.0; 3])]);
    assert_eq!(out[1].to_f64(), [0.0; 3]);
    assert_eq!(out[2].to_f64(), [1.0; 2]);
}

#[test]
fn only_what_is_needed_is_built() {
    // y1 = sin(exp x) takes no part in the gradient of y0, and the gradient by x0 needs no cotangent of x1.
    let plain = graph(&[vector(2), vector(2)], |b, p| {
        let product = b.mul(p[0], p[1])?;
        let e = b.exp(p[0])?;
        Ok(vec![b.sum_all(product)?, b.sin(e)?])
    });
    let gradient = grad(&plain, 0, &[0]).unwrap();
    let ops: Vec<&str> = gradient.body.nodes().iter().map(|n| n.op.name()).collect();
    for absent in ["cos", "add"] {
        assert!(!ops.contains(&absent), "{absent} in {ops:?}");
    }
    let zero = wootz_ir::Op::from(Source::Constant(HostTensor::scalar(DType::F64, 0.0)));
    assert!(gradient.body.nodes().iter().all(|n| n.op != zero), "no zero is materialised");
    assert_eq!(ops.iter().filter(|o| **o == "mul").count(), 2, "{ops:?}");
}

/// The Hessian of the model by x1, by differences of the gradient.
fn expected_hessian() -> Vec<f64> {
    let gradient_graph = grad(&model(), 0, &[1]).unwrap();
    (0..2).flat_map(|i| gradient(&|args| run(&gradient_graph, args)[2].to_f64()[i], &at(), 1)).collect()
}

#[test]
fn hessians_by_every_order_of_modes() {
    let model = model();
    let expected = expected_hessian();
    let direct = run(&hessian(&model, 0, &[1]).unwrap(), &at());
    assert!(distance(&direct[3].to_f64(), &expected, 1e-3) < 1e-6);
    assert_eq!(direct[3].dims(), [2, 2]);

    let gradient = grad(&model, 0, &[1]).unwrap();
    let basis = |i: usize| f64s(&[2], &[f64::from(i == 0), f64::from(i == 1)]);
    let forward_over_reverse = jvp(&gradient, &[1]).unwrap();
    let reverse_over_reverse = vjp(&gradient, &[1]).unwrap();
    let reverse_over_forward = grad(&jvp(&model, &[1]).unwrap(), 2, &[1]).unwrap();
    let forward_over_forward = jvp(&jvp(&model, &[1]).unwrap(), &[1]).unwrap();
    for i in 0..2 {
        let [w, x] = at();
        let row = &expected[2 * i..2 * i + 2];
        let out = run(&forward_over_reverse, &[w.clone(), x.clone(), basis(i)]);
        assert!(distance(&out.last().unwrap().to_f64(), row, 1e-3) < 1e-6);
        let zeros = [f64s(&[], &[0.0]), f64s(&[3], &[0.0; 3])];
        let out = run(&reverse_over_reverse, &[&[w.clone(), x.clone()][..], &zeros, &[basis(i)]].concat());
        assert!(distance(&out.last().unwrap().to_f64(), row, 1e-3) < 1e-6);
        let out = run(&reverse_over_forward, &[w.clone(), x.clone(), basis(i)]);
        assert!(distance(&out.last().unwrap().to_f64(), row, 1e-3) < 1e-6);
        for j in 0..2 {
            let out = run(&forward_over_forward, &[w.clone(), x.clone(), basis(i), basis(j)]);
            let at = forward_over_forward.output("tangent.tangent.y0").unwrap();
            assert!(distance(&out[at].to_f64(), &row[j..=j], 1e-3) < 1e-6);
        }
    }
}

#[test]
fn jacobians_agree_in_both_modes() {
    let model = model();
    let (forward, reverse) = (jacfwd(&model, &[0, 1]).unwrap(), jacrev(&model, &[0, 1]).unwrap());
    assert_eq!(names(&forward), names(&reverse));
    let (forward, reverse) = (run(&forward, &at()), run(&reverse, &at()));
    for (f, r) in forward.iter().zip(&reverse) {
        assert_eq!(f.ty(), r.ty());
        assert!(distance(&f.to_f64(), &r.to_f64(), 1e-3) < 1e-12);
    }
    // dh/dx = W.
    assert_eq!(forward.last().unwrap().to_f64(), at()[0].to_f64());
}

#[test]
fn per_example_gradients() {
    let gradient = grad(&model(), 0, &[0]).unwrap();
    let axes = [Some(0), Some(0), Some(1)];
    let each = vmap(&gradient, &[None, Some(1)], &axes, &Dim::from(4usize)).unwrap();
    assert_eq!(each.output_type(2).to_string(), "f64[3, 4, 2]");
    let [w, _] = at();
    let xs = noise(&TensorType::new(DType::F64, [2usize, 4]), 9);
    let out = run(&each, &[w.clone(), xs.clone()]);
    for lane in 0..4 {
        let x: Vec<f64> = (0..2).map(|i| xs.to_f64()[4 * i + lane]).collect();
        let one = run(&gradient, &[w.clone(), f64s(&[2], &x)]);
        let found: Vec<f64> = (0..6).map(|i| out[2].to_f64()[(i / 2) * 8 + lane * 2 + i % 2]).collect();
        assert!(distance(&found, &one[2].to_f64(), 1e-3) < 1e-12);
    }
    // The gradient of the mean over the batch is the mean of the gradients: grad of vmap against vmap of grad.
    let batched = vmap(&model(), &[None, Some(1)], &[Some(0), Some(0)], &Dim::from(4usize)).unwrap();
    let reverse = vjp(&batched, &[0]).unwrap();
    let cotangents = [f64s(&[4], &[0.25; 4]), f64s(&[4, 3], &[0.0; 12])];
    let mean = run(&reverse, &[&[w, xs][..], &cotangents].concat());
    let expected: Vec<f64> = (0..6)
        .map(|i| (0..4).map(|lane| out[2].to_f64()[(i / 2) * 8 + lane * 2 + i % 2]).sum::<f64>() / 4.0)
        .collect();
    assert!(distance(&mean[2].to_f64(), &expected, 1e-3) < 1e-12);
}

#[test]
fn vmap_of_vmap_and_symbolic_sizes() {
    let plain = graph(&[vector(2), vector(2)], |b, p| {
        let product = b.mul(p[0], p[1])?;
        Ok(vec![b.sum_all(product)?])
    });
    let inner = vmap(&plain, &[None, Some(0)], &[Some(0)], &Dim::symbol("N")).unwrap();
    let outer = vmap(&inner, &[Some(0), None], &[Some(0)], &Dim::symbol("M")).unwrap();
    assert_eq!(outer.output_type(0).to_string(), "f64[M, N]");
    let sizes = [("N".to_owned(), 2), ("M".to_owned(), 3)].into();
    let concrete = wootz_transform::specialize(&outer, &sizes).unwrap();
    let (x, y) = (f64s(&[3, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]), f64s(&[2, 2], &[1.0, 2.0, 3.0, 4.0]));
    assert_eq!(run(&concrete, &[x, y])[0].to_f64(), [1.0, 3.0, 2.0, 4.0, 3.0, 7.0]);
}

#[test]
fn outputs_that_no_lane_changes() {
    let plain = graph(&[vector(2), vector(2)], |b, p| Ok(vec![b.add(p[0], p[0])?, b.neg(p[1])?]));
    let size = Dim::from(3usize);
    let shared = vmap(&plain, &[None, Some(0)], &[None, Some(0)], &size).unwrap();
    assert_eq!(shared.output_type(0), &vector(2));
    let repeated = vmap(&plain, &[None, Some(0)], &[Some(1), Some(1)], &size).unwrap();
    let out = run(&repeated, &[f64s(&[2], &[0.0, 1.0]), f64s(&[3, 2], &[1.0; 6])]);
    assert_eq!(out[0].to_f64(), [0.0, 0.0, 0.0, 2.0, 2.0, 2.0]);
    let error = vmap(&plain, &[None, Some(0)], &[None, None], &size).unwrap_err();
    assert_eq!(error, TransformError::Batched { name: "y1".into() });
}

#[test]
fn errors_name_the_input_or_output() {
    let plain =
        graph(&[vector(2), TensorType::scalar(DType::I64)], |b, p| Ok(vec![b.sum_all(p[0])?, p[0], p[1]]));
    let message = |e: Result<Graph, TransformError>| e.unwrap_err().to_string();
    let check = |found: String, expected: &str| assert_eq!(found, expected);
    check(message(grad(&plain, 0, &[1])), "grad: input `x1` is i64[]; only floats have derivatives");
    check(message(grad(&plain, 2, &[0])), "grad: output `y2` is i64[]; only floats have derivatives");
    check(
        message(grad(&plain, 1, &[0])),
        "grad: output `y1` is f64[2], and a gradient is that of a scalar; reduce it first or use vjp",
    );
    check(message(vjp(&plain, &[2])), "vjp: there is no input 2, the graph has 2");
    check(message(jvp(&plain, &[0, 0])), "jvp: input `x0` is named twice");
    check(message(vmap(&plain, &[Some(0)], &[None; 3], &Dim::from(2usize))), "vmap: 1 axes for 2 inputs");
    check(
        message(vmap(&plain, &[Some(2), None], &[Some(0); 3], &Dim::from(2usize))),
        "vmap: axis 2 does not fit input `x0`, whose unbatched type is f64[2]",
    );
    check(
        message(vmap(&plain, &[Some(0), None], &[Some(1), Some(0), None], &Dim::from(2usize))),
        "vmap: axis 1 does not fit output `y0`, whose unbatched type is f64[]",
    );
}
