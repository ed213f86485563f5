def int_div(x, y):
    """x / y toward zero; 0 where y is 0."""
    x, y = jnp.broadcast_arrays(x, y)
    return jnp.where(y == 0, 0, lax.div(x, jnp.where(y == 0, 1, y)))


def int_rem(x, y):
    """The remainder of division toward zero, 0 where y is 0."""
    x, y = jnp.broadcast_arrays(x, y)
    return jnp.where(y == 0, 0, lax.rem(x, jnp.where(y == 0, 1, y)))


def int_floor_div(x, y):
    """x / y toward minus infinity; 0 where y is 0."""
    quotient, remainder = int_div(x, y), int_rem(x, y)
    below = (remainder != 0) & ((remainder < 0) != (y < 0))
    return jnp.where(below, quotient - 1, quotient)


def int_pow(x, y):
    """x to the power y by squaring; a negative y gives the integer part of the quotient."""
    x, y = jnp.broadcast_arrays(x, y)
    result, square, rest = jnp.ones_like(x), x, jnp.maximum(y, 0)
    for _ in range(8 * x.dtype.itemsize):
        result = jnp.where(rest & 1 == 1, result * square, result)
        square, rest = square * square, rest >> 1
    inverse = jnp.where(x == 1, 1, jnp.where(x + 1 == 0, 1 - 2 * (y & 1), 0))
    return jnp.where(y < 0, inverse, result).astype(x.dtype)


def places(indices, sizes, batch):
    """Coordinates: a zero, those of the batch, those of the vectors; past the end where out of bounds."""
    sizes = jnp.array(sizes, indices.dtype)
    inside = jnp.all((indices >= 0) & (indices < sizes), axis=-1)
    vectors = jnp.moveaxis(jnp.where(inside[..., None], indices, sizes), -1, 0)
    leading = jnp.indices(inside.shape)[:batch]
    return (jnp.zeros(inside.shape, int), *leading, *vectors)


def scatter_set(x, indices, updates, batch=0):
    """x with slices replaced; vectors out of bounds are dropped, the last of equals wins."""
    at = places(indices, x.shape[batch : batch + indices.shape[-1]], batch)
    vectors = indices.shape[:-1]
    order = jnp.arange(math.prod(vectors)).reshape(vectors)
    rows = jnp.full((1, *x.shape[: len(at) - 1]), -1)
    last = rows.at[at].max(order, mode="drop")
    wins = last.at[at].get(mode="fill", fill_value=-1) == order
    at = (jnp.where(wins, at[0], 1), *at[1:])
    return x[None].at[at].set(updates, mode="drop")[0]


def scatter_add(x, indices, updates, batch=0):
    """x with slices added to; vectors out of bounds are dropped."""
    at = places(indices, x.shape[batch : batch + indices.shape[-1]], batch)
    return x[None].at[at].add(updates, mode="drop")[0]


def cholesky(a):
    """The lower Cholesky factor of each matrix; NaN where one is not positive definite."""
    factor = lax.linalg.cholesky(a, symmetrize_input=False)
    failed = jnp.isnan(factor).any(axis=(-2, -1), keepdims=True)
    return jnp.where(failed, jnp.nan, factor)


def layer_norm(x, weight=None, bias=None, axis=-1, eps=1e-5):
    """x with mean 0 and variance 1 along the axis, times the weight, plus the bias."""
    x = x - x.mean(axis=axis, keepdims=True)
    x = x * lax.rsqrt((x * x).mean(axis=axis, keepdims=True) + eps)
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def rms_norm(x, weight=None, axis=-1, eps=1e-5):
    """x with mean square 1 along the axis, times the weight."""
    x = x * lax.rsqrt((x * x).mean(axis=axis, keepdims=True) + eps)
    return x if weight is None else x * weight
