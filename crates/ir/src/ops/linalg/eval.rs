//! Reference evaluation, in f64.

use super::{EvalCx, EvalError, TriangularSolve};
use crate::HostTensor;

pub(super) fn cholesky(cx: &EvalCx<'_>) -> Result<HostTensor, EvalError> {
    let dims = cx.out_dims(0);
    let n = dims[dims.len() - 1];
    HostTensor::zeros(cx.out_dtype(0), &dims)?;
    let mut l = cx.inputs[0].to_f64();
    for matrix in l.chunks_exact_mut((n * n).max(1)) {
        if !factor(matrix, n) {
            matrix.fill(f64::NAN);
        }
    }
    Ok(HostTensor::from_f64(cx.out_dtype(0), &dims, &l))
}

/// Replaces a symmetric matrix by its factor; false if it is not positive definite.
fn factor(a: &mut [f64], n: usize) -> bool {
    for i in 0..n {
        for j in 0..=i {
            let rest = a[i * n + j] - (0..j).map(|k| a[i * n + k] * a[j * n + k]).sum::<f64>();
            if i != j {
                a[i * n + j] = rest / a[j * n + j];
            } else if rest > 0.0 {
                a[i * n + i] = rest.sqrt();
            } else {
                return false;
            }
        }
        a[i * n + i + 1..(i + 1) * n].fill(0.0);
    }
    true
}

pub(super) fn triangular_solve(op: TriangularSolve, cx: &EvalCx<'_>) -> Result<HostTensor, EvalError> {
    let dims = cx.out_dims(0);
    let (n, k) = (dims[dims.len() - 2], dims[dims.len() - 1]);
    HostTensor::zeros(cx.out_dtype(0), &dims)?;
    let a = cx.inputs[0].to_f64();
    let mut x = cx.inputs[1].to_f64();
    for (a, x) in a.chunks_exact((n * n).max(1)).zip(x.chunks_exact_mut((n * k).max(1))) {
        let element = |i: usize, j: usize| if op.transpose { a[j * n + i] } else { a[i * n + j] };
        for column in 0..k {
            for step in 0..n {
                let i = if op.is_forward() { step } else { n - 1 - step };
                let known = if op.is_forward() { 0..i } else { i + 1..n };
                let rest = x[i * k + column] - known.map(|j| element(i, j) * x[j * k + column]).sum::<f64>();
                x[i * k + column] = if op.unit_diagonal { rest } else { rest / element(i, i) };
            }
        }
    }
    Ok(HostTensor::from_f64(cx.out_dtype(0), &dims, &x))
}
