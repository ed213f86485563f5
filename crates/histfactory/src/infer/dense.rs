//! Small dense symmetric systems.

/// The Cholesky factor of a positive definite matrix.
pub(super) struct Factor {
    n: usize,
    /// Row-major; the lower triangle counts.
    l: Vec<f64>,
}

impl Factor {
    /// The factor of a symmetric, row-major matrix, of which the lower triangle is read; `None` if it is not positive definite by more
    /// than rounding.
    pub(super) fn new(n: usize, mut a: Vec<f64>) -> Option<Factor> {
        for i in 0..n {
            let (above, rest) = a.split_at_mut(i * n);
            let row = &mut rest[..n];
            let rounding = n as f64 * f64::EPSILON * row[i];
            for j in 0..=i {
                let other = if j == i { &row[..j] } else { &above[j * n..j * n + j] };
                row[j] -= dot(&row[..j], other);
                if j < i {
                    row[j] /= above[j * n + j];
                }
            }
            let is_positive = row[i] > rounding;
            if !is_positive {
                return None;
            }
            row[i] = row[i].sqrt();
        }
        Some(Factor { n, l: a })
    }

    /// x with A·x = b.
    pub(super) fn solve(&self, b: &mut [f64]) {
        let (n, l) = (self.n, &self.l);
        for i in 0..n {
            b[i] = (b[i] - dot(&l[i * n..i * n + i], &b[..i])) / l[i * n + i];
        }
        for i in (0..n).rev() {
            b[i] /= l[i * n + i];
            let (before, own) = b.split_at_mut(i);
            for (x, l) in before.iter_mut().zip(&l[i * n..]) {
                *x -= l * own[0];
            }
        }
    }

    /// A⁻¹, row-major.
    pub(super) fn inverse(&self) -> Vec<f64> {
        let n = self.n;
        let mut out = vec![0.0; n * n];
        for (i, row) in out.chunks_exact_mut(n.max(1)).enumerate() {
            row[i] = 1.0;
            self.solve(row);
        }
        out
    }
}

/// Σ xᵢyᵢ, as several sums side by side, which vectors hold.
fn dot(x: &[f64], y: &[f64]) -> f64 {
    const LANES: usize = 8;
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (x, y) in x.iter().zip(y) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let rest = x_rest.iter().zip(y_rest).map(|(x, y)| x * y);
    sums.iter().sum::<f64>() + rest.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_and_inverts() {
        let a = vec![4.0, 9.0, 9.0, 2.0, 5.0, 9.0, 0.4, 1.0, 3.0];
        let symmetric = |i: usize, j: usize| a[i.max(j) * 3 + i.min(j)];
        let factor = Factor::new(3, a.clone()).unwrap();
        let mut x = vec![1.0, -2.0, 0.5];
        factor.solve(&mut x);
        let inverse = factor.inverse();
        for (i, expected) in [1.0, -2.0, 0.5].into_iter().enumerate() {
            let product: f64 = (0..3).map(|j| symmetric(i, j) * x[j]).sum();
            assert!((product - expected).abs() < 1e-14);
            for k in 0..3 {
                let product: f64 = (0..3).map(|j| symmetric(i, j) * inverse[j * 3 + k]).sum();
                assert!((product - f64::from(u8::from(i == k))).abs() < 1e-14);
            }
        }
        assert!(Factor::new(2, vec![1.0, 2.0, 2.0, 1.0]).is_none());
        // Singular, though rounding may leave a positive pivot.
        assert!(Factor::new(2, vec![0.1, 0.3, 0.3, 0.9]).is_none());
    }
}
