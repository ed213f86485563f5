//! Covariances of fitted parameters.

use super::dense::Factor;
use super::{Fit, Inference, InferenceError};

impl Inference {
    /// The covariance of fitted parameters as the inverse of the observed Hessian on those that no bound holds; 0 for the others. Row-major.
    ///
    /// # Errors
    /// If the Hessian is not positive definite.
    pub fn covariance(&mut self, fit: &Fit, data: &[f64]) -> Result<Vec<f64>, InferenceError> {
        let moving: Vec<bool> =
            fit.fitted.iter().zip(&fit.held).map(|(fitted, held)| *fitted && !held).collect();
        self.covariance_of(&fit.parameters, data, &moving)
    }

    /// The covariance at any parameters, of those that are marked.
    ///
    /// # Errors
    /// If the Hessian is not positive definite.
    pub fn covariance_of(
        &mut self,
        parameters: &[f64],
        data: &[f64],
        moving: &[bool],
    ) -> Result<Vec<f64>, InferenceError> {
        let n = parameters.len();
        if moving.len() != n {
            return Err(InferenceError::Length { what: "moving", expected: n, got: moving.len() });
        }
        let hessian = self.hessian(parameters, data)?;
        let moving: Vec<usize> = (0..n).filter(|i| moving[*i]).collect();
        let factor = factor(&hessian, n, &moving, 0.0).ok_or(InferenceError::SingularHessian)?;
        let mut out = vec![0.0; n * n];
        let inverse = factor.0.inverse();
        for (i, row) in moving.iter().enumerate() {
            for (j, column) in moving.iter().enumerate() {
                let scale = factor.1[i] * factor.1[j];
                out[row * n + column] = inverse[i * moving.len() + j] * scale;
            }
        }
        Ok(out)
    }
}

/// The factor of the part of a matrix that belongs to these rows, scaled to a diagonal of ones (and raised by `damping`), with
/// the scales.
pub(super) fn factor(matrix: &[f64], n: usize, rows: &[usize], damping: f64) -> Option<(Factor, Vec<f64>)> {
    if rows.iter().any(|i| matrix[i * n + i].is_nan() || matrix[i * n + i] <= 0.0) {
        return None;
    }
    let scale: Vec<f64> = rows.iter().map(|i| matrix[i * n + i].sqrt().recip()).collect();
    let mut part = Vec::with_capacity(rows.len() * rows.len());
    for (i, row) in rows.iter().enumerate() {
        part.extend(
            rows.iter().enumerate().map(|(j, column)| matrix[row * n + column] * scale[i] * scale[j]),
        );
        part[i * rows.len() + i] += damping;
    }
    Factor::new(rows.len(), part).map(|f| (f, scale))
}
