"""Dense linear algebra against NumPy and SciPy, its gradients, and its behaviour under vmap."""

import numpy as np
import pytest
import scipy.linalg
import wootz as wz

RNG = np.random.default_rng(3)
M = RNG.normal(size=(4, 5, 5))
A = M @ M.swapaxes(-1, -2) + np.eye(5)
B = RNG.normal(size=(4, 5, 3))


def close(got, expected, rtol=1e-10):
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol)


def test_cholesky_is_numpys_and_reads_the_lower_triangle():
    close(wz.jit(wz.linalg.cholesky)(A), np.linalg.cholesky(A))
    close(wz.jit(wz.linalg.cholesky)(np.tril(A)), np.linalg.cholesky(A))


def test_what_is_not_positive_definite_is_nan():
    a = A.copy()
    a[2, 1, 1] = -1.0
    factor = np.asarray(wz.jit(wz.linalg.cholesky)(a))
    assert np.isnan(factor[2]).all()
    close(factor[[0, 1, 3]], np.linalg.cholesky(A[[0, 1, 3]]))


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("trans", [True, False])
@pytest.mark.parametrize("unit_diagonal", [True, False])
def test_solve_triangular_is_scipys(lower, trans, unit_diagonal):
    a = M[0] / 4 + np.eye(5)

    def solve(a, b):
        return wz.linalg.solve_triangular(a, b, lower=lower, trans=trans, unit_diagonal=unit_diagonal)

    for b in (B[0], B[0, :, 0]):
        expected = scipy.linalg.solve_triangular(a, b, trans=int(trans), lower=lower, unit_diagonal=unit_diagonal)
        close(wz.jit(solve)(a, b), expected)


def test_solve_broadcasts_and_batches():
    close(wz.jit(wz.linalg.solve)(A, B), np.linalg.solve(A, B))
    close(wz.jit(wz.linalg.solve)(A[0], B), np.linalg.solve(A[0], B))
    close(wz.jit(wz.linalg.solve)(A[0], B[0, :, 0]), np.linalg.solve(A[0], B[0, :, 0]))
    expected = np.linalg.solve(A, B[:, :, :1])[..., 0]
    close(wz.jit(wz.vmap(wz.linalg.solve))(A, B[:, :, 0]), expected)
    one = wz.jit(wz.vmap(wz.linalg.solve, in_axes=(None, 0)))(A[0], B[:, :, 0])
    close(one, np.linalg.solve(A[0], B[:, :, :1])[..., 0])


def test_the_gradient_of_a_solution_is_the_closed_form():
    """For f = wᵀA⁻¹b: ∂f/∂b = A⁻¹w, and ∂f/∂A symmetrised is -A⁻¹w·(A⁻¹b)ᵀ."""
    w, b = B[1, :, 0], B[2, :, 1]
    da, db = wz.jit(wz.grad(lambda a, b: (wz.linalg.solve(a, b) * w).sum(), argnums=(0, 1)))(A[0], b)
    x, y = np.linalg.solve(A[0], b), np.linalg.solve(A[0], w)
    close(db, y)
    outer = -np.outer(y, x)
    # The lower triangle stands for the whole symmetric matrix.
    expected = np.tril(outer + outer.T) - np.diag(np.diag(outer))
    close(da, expected)


def test_the_log_determinant_has_the_inverse_as_gradient():
    def logdet(a):
        diagonal = wz.linalg.cholesky(a) * np.eye(5)
        return 2.0 * wz.log(diagonal.sum(-1)).sum()

    gradient = np.asarray(wz.jit(wz.grad(logdet))(A[1]))
    inverse = np.linalg.inv(A[1])
    close(gradient, 2 * np.tril(inverse) - np.diag(np.diag(inverse)))


def test_shapes_that_do_not_fit_are_errors():
    with pytest.raises(wz.ShapeError, match="two axes"):
        wz.jit(wz.linalg.solve)(B[0, :, 0], B[0])
    with pytest.raises(wz.ShapeError):
        wz.jit(wz.linalg.cholesky)(B[0])
    with pytest.raises(wz.ShapeError, match="batch of matrices"):
        wz.jit(wz.linalg.solve)(A, B[0, :, 0])
