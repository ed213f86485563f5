//! Samples of matrices that are far from singular.

use super::{Linalg, TriangularSolve};
use crate::ops::Sample;
use crate::ops::movement::samples::numbers;
use crate::{DType, HostTensor};

/// Matrices with a dominant diagonal; symmetric ones would hide that only one triangle is read.
fn dominant(dims: &[usize], seed: u32) -> HostTensor {
    let n = dims[dims.len() - 1];
    let mut values = numbers(dims, seed).to_f64();
    for matrix in values.chunks_exact_mut((n * n).max(1)) {
        for (i, row) in matrix.chunks_exact_mut(n.max(1)).enumerate() {
            row.iter_mut().for_each(|x| *x *= 0.5);
            row[i] = 1.5 + n as f64 + 0.25 * (i % 3) as f64;
        }
    }
    HostTensor::from_f64(DType::F64, dims, &values)
}

pub(super) fn samples() -> Vec<Sample> {
    let mut out = Vec::new();
    let shapes: [&[usize]; 6] = [&[1, 1], &[3, 3], &[2, 2, 2], &[1, 2, 3, 3], &[0, 2, 2], &[2, 0, 0]];
    for shape in shapes {
        out.push(Sample::smooth(Linalg::Cholesky, vec![dominant(shape, 0)]));
    }
    // Around and past the widths of vector registers.
    for n in [7, 9, 37] {
        out.push(Sample::values(Linalg::Cholesky, vec![dominant(&[2, n, n], 1)]));
    }
    // Not positive definite, positive definite, semi-definite, not a number.
    let matrices = [1.0, 0.0, 2.0, 1.0, 4.0, 0.0, 2.0, 5.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, f64::NAN, 3.0];
    let matrices = HostTensor::from_f64(DType::F64, &[4, 2, 2], &matrices);
    out.push(Sample::values(Linalg::Cholesky, vec![matrices]));

    let systems: [(&[usize], &[usize]); 5] = [
        (&[1, 1], &[1, 2]),
        (&[3, 3], &[3, 1]),
        (&[3, 3], &[3, 2]),
        (&[1, 2, 3, 3], &[1, 2, 3, 4]),
        (&[2, 2, 2], &[2, 2, 0]),
    ];
    for index in 0..8u32 {
        let [lower, transpose, unit_diagonal] = [1, 2, 4].map(|bit| index & bit != 0);
        let op = Linalg::TriangularSolve(TriangularSolve { lower, transpose, unit_diagonal });
        for (a, b) in systems {
            out.push(Sample::smooth(op, vec![dominant(a, index), numbers(b, index + 1)]));
        }
        for (n, k) in [(9, 1), (21, 9)] {
            let inputs = vec![dominant(&[3, n, n], index), numbers(&[3, n, k], index)];
            // Past this size a unit diagonal no longer dominates.
            if !unit_diagonal {
                out.push(Sample::values(op, inputs));
            }
        }
    }
    let singular = HostTensor::from_f64(DType::F64, &[2, 2], &[0.0, 0.0, 1.0, 2.0]);
    let op = Linalg::TriangularSolve(TriangularSolve::default());
    out.push(Sample::values(op, vec![singular, numbers(&[2, 3], 0)]));
    out
}
