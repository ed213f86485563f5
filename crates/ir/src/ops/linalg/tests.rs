use super::{Linalg, TriangularSolve};
use crate::ops::Op;
use crate::{Builder, DType, HostTensor, Value, eval};
use proptest::prelude::*;

fn run(op: Linalg, inputs: &[HostTensor]) -> HostTensor {
    let mut b = Builder::new();
    let params: Vec<Value> = inputs.iter().map(|t| b.param(t.ty())).collect();
    let out = b.push(op, &params).unwrap();
    eval::region(&b.finish(&[out]), inputs).unwrap().remove(0)
}

fn floats(dims: &[usize], values: &[f64]) -> HostTensor {
    HostTensor::from_f64(DType::F64, dims, values)
}

#[test]
fn cholesky_reads_the_lower_triangle_and_gives_a_lower_one() {
    let a = floats(&[2, 2], &[4.0, f64::NAN, 2.0, 5.0]);
    assert_eq!(run(Linalg::Cholesky, &[a]).to_f64(), [2.0, 0.0, 1.0, 2.0]);
}

#[test]
fn what_is_not_positive_definite_is_nan_and_leaves_the_rest_of_the_batch_alone() {
    let a = floats(&[3, 2, 2], &[1.0, 0.0, 2.0, 1.0, 4.0, 0.0, 2.0, 5.0, 1.0, 0.0, 1.0, 1.0]);
    let l = run(Linalg::Cholesky, &[a]).to_f64();
    assert!(l[..4].iter().chain(&l[8..]).all(|x| x.is_nan()), "{l:?}");
    assert_eq!(l[4..8], [2.0, 0.0, 1.0, 2.0]);
}

#[test]
fn triangular_solve_reads_one_triangle() {
    let nan = f64::NAN;
    let b = floats(&[2, 1], &[2.0, 7.0]);
    let solve = |op, a: &[f64]| run(Linalg::TriangularSolve(op), &[floats(&[2, 2], a), b.clone()]).to_f64();
    let lower = TriangularSolve::default();
    assert_eq!(solve(lower, &[2.0, nan, 3.0, 4.0]), [1.0, 1.0]);
    assert_eq!(solve(lower.transposed(), &[1.0, nan, 2.0, 7.0]), [0.0, 1.0]);
    let upper = TriangularSolve { lower: false, ..lower };
    assert_eq!(solve(upper, &[1.0, 2.0, nan, 7.0]), [0.0, 1.0]);
    assert_eq!(solve(TriangularSolve { unit_diagonal: true, ..upper }, &[nan, 1.0, nan, nan]), [-5.0, 7.0]);
    assert_eq!(solve(lower, &[0.0, nan, 1.0, 1.0]), [f64::INFINITY, f64::NEG_INFINITY]);
}

#[test]
fn operands_that_do_not_fit_are_named() {
    let check = |dims: [&[usize]; 2], dtype: DType| {
        let mut b = Builder::new();
        let params = dims.map(|d| b.param(HostTensor::zeros(dtype, d).unwrap().ty()));
        b.triangular_solve(params[0], params[1], TriangularSolve::default()).unwrap_err().to_string()
    };
    assert!(check([&[2, 3], &[2, 1]], DType::F64).contains("square"));
    assert!(check([&[2, 2], &[3, 1]], DType::F64).contains("rows"));
    assert!(check([&[2], &[2]], DType::F64).contains("two axes"));
    assert!(check([&[4, 2, 2], &[3, 2, 1]], DType::F64).contains("batch"));
    assert!(check([&[2, 2], &[2]], DType::F64).contains("as many axes"));
    assert!(check([&[2, 2], &[2, 1]], DType::F16).contains("f32 or f64"));
}

#[test]
fn ops_are_rebuilt_from_their_attributes() {
    for sample in super::samples::samples() {
        assert_eq!(Op::parse(sample.op.name(), sample.op.attrs()), Some(Ok(sample.op)));
    }
}

proptest! {
    /// Solving with both factors undoes a product with the matrix.
    #[test]
    fn factor_and_solve(n in 1usize..7, k in 0usize..4, seed in prop::collection::vec(-1.0f64..1.0, 64)) {
        let g = |i: usize, j: usize| seed[(i * 7 + j) % 64];
        let a: Vec<f64> = (0..n * n)
            .map(|at| {
                let (i, j) = (at / n, at % n);
                (0..n).map(|p| g(i, p) * g(j, p)).sum::<f64>() + if i == j { 1.0 } else { 0.0 }
            })
            .collect();
        let x: Vec<f64> = (0..n * k).map(|at| seed[63 - at % 64]).collect();
        let b: Vec<f64> = (0..n * k)
            .map(|at| (0..n).map(|p| a[(at / k) * n + p] * x[p * k + at % k]).sum())
            .collect();
        let l = run(Linalg::Cholesky, &[floats(&[n, n], &a)]);
        let lower = TriangularSolve::default();
        let y = run(Linalg::TriangularSolve(lower), &[l.clone(), floats(&[n, k], &b)]);
        let got = run(Linalg::TriangularSolve(lower.transposed()), &[l, y]).to_f64();
        // A few roundings, times the condition number: at most 1 + n².
        for (x, got) in x.iter().zip(got) {
            prop_assert!((x - got).abs() < 1e-12);
        }
    }
}
