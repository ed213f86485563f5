def cholesky(a):
    """The lower Cholesky factor of each matrix; NaN where one is not positive definite."""
    n, out = a.shape[-1], np.zeros_like(a)
    for j in range(n):
        row = out[..., j, :j]
        pivot = a[..., j, j] - (row * row).sum(axis=-1)
        pivot = np.sqrt(np.where(pivot > 0, pivot, math.nan))
        out[..., j, j] = pivot
        if j + 1 < n:
            below = a[..., j + 1 :, j] - (
                out[..., j + 1 :, :j] * row[..., None, :]
            ).sum(axis=-1)
            out[..., j + 1 :, j] = below / pivot[..., None]
    failed = np.isnan(out).any(axis=(-2, -1))
    return np.where(failed[..., None, None], math.nan, out).astype(a.dtype)


def triangular_solve(a, b, lower, transpose=False, unit_diagonal=False):
    """x with op(a) x = b by substitution; only one triangle of a is read."""
    n, forward, x = a.shape[-1], lower != transpose, np.array(b)
    for i in range(n) if forward else reversed(range(n)):
        known = slice(0, i) if forward else slice(i + 1, n)
        row = a[..., known, i] if transpose else a[..., i, known]
        rest = x[..., i, :] - (row[..., None] * x[..., known, :]).sum(axis=-2)
        x[..., i, :] = rest if unit_diagonal else rest / a[..., i, i, None]
    return x
