"""Dense linear algebra, batched over leading axes. For functions being traced; f32 or f64 (integers are converted to f32)."""

from typing import Any

from wootz._errors import ShapeError
from wootz._ops import _broadcast_shapes, broadcast_to
from wootz._tensor import Tensor, op, promote


def cholesky(a: Any) -> Tensor:
    """The lower triangular L with positive diagonal and L·Lᵀ = a, for a `[.., n, n]`.

    Only the lower triangle of `a` is read. Where a matrix is not positive definite, every element of its L is NaN: there is no error.
    """
    (a,), weak = promote(a, floats=True)
    return Tensor(op("cholesky", a), weak)


def solve_triangular(a: Any, b: Any, *, lower: bool = True, trans: bool = False, unit_diagonal: bool = False) -> Tensor:
    """x with a·x = b, or aᵀ·x = b if `trans`, reading one triangle of a `[.., n, n]`. Leading axes broadcast.

    `b` is `[.., n, k]`, or one right-hand side `[n]`. A zero on the diagonal divides by zero; `unit_diagonal` takes the diagonal to be 1.
    """
    a, b, vector, weak = _system(a, b)
    value = _solve(a, b, lower, trans, unit_diagonal)
    return Tensor(value, weak)[:, 0] if vector else Tensor(value, weak)


def cho_solve(factor: Any, b: Any) -> Tensor:
    """x with a·x = b, given the lower triangular `factor` of a that :func:`cholesky` returned. Shapes as in :func:`solve_triangular`."""
    factor, b, vector, weak = _system(factor, b)
    value = _solve(factor, _solve(factor, b, True, False, False), True, True, False)
    return Tensor(value, weak)[:, 0] if vector else Tensor(value, weak)


def solve(a: Any, b: Any) -> Tensor:
    """x with a·x = b for symmetric, positive definite a; NaN where it is not. Shapes as in :func:`solve_triangular`.

    Only the lower triangle of `a` is read.
    """
    return cho_solve(cholesky(a), b)


def _solve(a: Any, b: Any, lower: bool, transpose: bool, unit_diagonal: bool) -> Any:
    return op("triangular_solve", a, b, lower=lower, transpose=transpose, unit_diagonal=unit_diagonal)


def _system(a: Any, b: Any) -> tuple[Any, Any, bool, bool]:
    """The operands with one dtype and equal leading axes, and whether the right-hand side was a vector."""
    (a, b), weak = promote(a, b, floats=True)
    a, b = Tensor(a), Tensor(b)
    if a.ndim < 2:
        raise ShapeError(f"a matrix needs two axes, got {a.spec}")
    if b.ndim == 0:
        raise ShapeError(f"the right-hand side must be [n] or [.., n, k], got {b.spec}")
    vector = b.ndim == 1
    if vector:
        if a.ndim > 2:
            raise ShapeError(f"a batch of matrices {a.spec} takes right-hand sides [.., n, k], got {b.spec}")
        b = b.reshape((*b.shape, 1))
    leading = _broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = broadcast_to(a, (*leading, *a.shape[-2:])), broadcast_to(b, (*leading, *b.shape[-2:]))
    return a._value, b._value, vector, weak
