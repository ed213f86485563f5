//! A region that several ops share is transformed once and stays shared.

use crate::common::{f64s, graph, run};
use std::collections::HashSet;
use std::sync::Arc;
use wootz_ir::ops::Control;
use wootz_ir::{Builder, DType, Dim, Graph, Region, TensorType};
use wootz_transform::{grad, jvp, specialize_to, vjp, vmap};

const CALLS: usize = 6;

/// The same block applied six times.
fn stacked(size: Dim) -> Graph {
    let ty = TensorType::new(DType::F64, [size]);
    let params = [ty.clone(), ty];
    let block = Builder::new()
        .subregion::<wootz_ir::TypeError>(&params, |b, p| {
            let product = b.mul(p[0], p[1])?;
            Ok(vec![b.sin(product)?])
        })
        .unwrap();
    graph(&params, |b, p| {
        let mut h = p[0];
        for _ in 0..CALLS {
            h = b.push(Control::Call { body: block.clone() }, &[h, p[1]])?;
        }
        Ok(vec![b.sum_all(h)?])
    })
}

fn called(graph: &Graph) -> (usize, HashSet<*const Region>) {
    let regions: Vec<&Arc<Region>> = graph.body.nodes().iter().flat_map(|n| n.op.regions()).collect();
    (regions.len(), regions.into_iter().map(Arc::as_ptr).collect())
}

#[track_caller]
fn check(graph: &Graph, calls: usize, regions: usize) {
    let (found, distinct) = called(graph);
    assert_eq!((found, distinct.len()), (calls, regions));
}

#[test]
fn every_transformation_keeps_shared_regions_shared() {
    let plain = stacked(Dim::from(3usize));
    check(&plain, CALLS, 1);
    check(&jvp(&plain, &[0]).unwrap(), CALLS, 1);
    check(&vmap(&plain, &[Some(0), Some(0)], &[Some(0)], &Dim::from(2usize)).unwrap(), CALLS, 1);
    // A forward and a backward region.
    check(&vjp(&plain, &[0]).unwrap(), 2 * CALLS, 2);
    // The first block's input is not asked for, so it has a pair of its own.
    check(&grad(&plain, 0, &[1]).unwrap(), 2 * CALLS, 4);
    let gradient = grad(&plain, 0, &[0]).unwrap();
    check(&vmap(&gradient, &[Some(0), None], &[Some(0), Some(0)], &Dim::from(2usize)).unwrap(), 2 * CALLS, 3);
}

#[test]
fn specialisation_keeps_shared_regions_shared() {
    let concrete =
        specialize_to(&stacked(Dim::symbol("N")), &[[2].into_iter().collect(), [2].into_iter().collect()]);
    let concrete = concrete.unwrap();
    check(&concrete, CALLS, 1);
    let out = run(&concrete, &[f64s(&[2], &[0.1, 0.2]), f64s(&[2], &[1.0, 1.0])]);
    let expected: f64 = [0.1f64, 0.2].iter().map(|x| (0..CALLS).fold(*x, |x, _| x.sin())).sum();
    assert!((out[0].to_f64()[0] - expected).abs() < 1e-14);
}
