def erfc(x):
    """1 - erf(x), accurate in the tail (W. J. Cody's expansion by Chebyshev polynomials)."""
    z = mx.abs(x).astype(mx.float32)
    t = 1 / (1 + 0.5 * z)
    series = mx.zeros_like(z)
    for c in [
        0.17087277,
        -0.82215223,
        1.48851587,
        -1.13520398,
        0.27886807,
        -0.18628806,
        0.09678418,
        0.37409196,
        1.00002368,
        -1.26551223,
    ]:
        series = series * t + c
    tail = t * mx.exp(-z * z + series)
    return mx.where(x < 0, 2 - tail, tail).astype(x.dtype)


def lgamma(x):
    """ln |Γ(x)|, infinite at 0, -1, -2, …"""
    wide = x.astype(mx.float32)
    z = mx.where(wide < 0.5, 1 - wide, wide)
    # ln Γ(z) = ln Γ(z + n) - ln z(z + 1)…, then Stirling's series.
    small, product = z < 8, mx.ones_like(z)
    for _ in range(8):
        product = mx.where(z < 8, product * z, product)
        z = mx.where(z < 8, z + 1, z)
    series = (1 / 12 - (1 / 360 - 1 / 1260 / (z * z)) / (z * z)) / z
    result = (z - 0.5) * mx.log(z) - z + 0.5 * math.log(2 * math.pi) + series
    result = mx.where(small, result - mx.log(product), result)
    # Elsewhere any number will do, but not a pole: its derivative would spoil theirs.
    r = mx.where(wide < 0.5, wide - mx.round(wide), 0.25)
    reflected = math.log(math.pi) - mx.log(mx.abs(mx.sin(math.pi * r))) - result
    result = mx.where(wide < 0.5, reflected, result)
    pole = ((wide <= 0) & (wide == mx.floor(wide))) | (mx.abs(wide) == math.inf)
    return mx.where(pole, math.inf, result).astype(x.dtype)


def gelu_tanh(x):
    """GELU by its tanh approximation."""
    inner = math.sqrt(2 / math.pi) * (x * (1.0 + 0.044715 * (x * x)))
    return 0.5 * x * (1.0 + mx.tanh(inner))


def sign(x):
    """-1, 0 or 1; NaN stays."""
    return mx.where(mx.isnan(x), x, mx.sign(x))


def fmod(x, y):
    """The remainder of division toward zero, with the sign of x."""
    x, y = mx.broadcast_arrays(x, y)
    size = mx.remainder(mx.abs(x), mx.abs(y))
    return mx.where(x < 0, -size, size)


def to_int(x, dtype):
    """x toward zero as an integer; too large or small gives the nearest, NaN gives 0."""
    info, x = mx.iinfo(dtype), mx.trunc(x.astype(mx.float32))
    below, above = x < float(info.min), x >= float(info.max)
    inside = mx.where(below | above | mx.isnan(x), 0.0, x).astype(dtype)
    largest, smallest = (mx.array(n, dtype=dtype) for n in (info.max, info.min))
    return mx.where(above, largest, mx.where(below, smallest, inside))


def int_div(x, y):
    """x / y toward zero; 0 where y is 0."""
    x, y = mx.broadcast_arrays(x, y)
    safe = mx.where((y == 0) | (y + 1 == 0), mx.ones_like(y), y)
    remainder = mx.remainder(x, safe)
    # With the sign of x: what is left to divide is no further from zero than x.
    other = (remainder != 0) & ((remainder < 0) != (x < 0))
    quotient = mx.floor_divide(x - mx.where(other, remainder - safe, remainder), safe)
    last = -x if y.dtype in (mx.int32, mx.int64) else (x == y).astype(x.dtype)
    quotient = mx.where(y + 1 == 0, last, quotient)
    return mx.where(y == 0, mx.zeros_like(x), quotient)


def int_rem(x, y):
    """The remainder of division toward zero, 0 where y is 0."""
    return mx.where(y == 0, mx.zeros_like(x), x - int_div(x, y) * y)


def int_floor_div(x, y):
    """x / y toward minus infinity; 0 where y is 0."""
    quotient, remainder = int_div(x, y), int_rem(x, y)
    below = (remainder != 0) & ((remainder < 0) != (y < 0))
    return mx.where(below, quotient - 1, quotient)


def int_pow(x, y):
    """x to the power y by squaring; a negative y gives the integer part of the quotient."""
    x, y = mx.broadcast_arrays(x, y)
    result, square, rest = mx.ones_like(x), x, mx.maximum(y, 0)
    for _ in range(8 * x.itemsize):
        result = mx.where((rest & 1) == 1, result * square, result)
        square, rest = square * square, rest >> 1
    zero, one = mx.zeros_like(x), mx.ones_like(x)
    inverse = mx.where(x == 1, one, mx.where(x + 1 == 0, 1 - 2 * (y & 1), zero))
    return mx.where(y < 0, inverse, result)


def shift_left(x, y):
    """x shifted left by y bits; 0 where y is not in [0, width)."""
    inside = (y >= 0) & (y < 8 * x.itemsize)
    return mx.where(
        inside, x << mx.where(inside, y, mx.zeros_like(y)), mx.zeros_like(x)
    )


def shift_right(x, y):
    """x shifted right by y bits; only its sign stays where y is not in [0, width)."""
    inside = (y >= 0) & (y < 8 * x.itemsize)
    sign = mx.where(x < 0, mx.zeros_like(x) - 1, mx.zeros_like(x))
    return mx.where(inside, x >> mx.where(inside, y, mx.zeros_like(y)), sign)


def int_dot(x, y, x_batch, y_batch, x_sum, y_sum):
    """The contraction of integers: MLX multiplies matrices of floats only."""
    x_free = [i for i in range(x.ndim) if i not in (*x_batch, *x_sum)]
    y_free = [i for i in range(y.ndim) if i not in (*y_batch, *y_sum)]
    batch = [x.shape[i] for i in x_batch]
    rows, columns = [x.shape[i] for i in x_free], [y.shape[i] for i in y_free]
    if x.size == 0 or y.size == 0:
        return mx.zeros((*batch, *rows, *columns), dtype=x.dtype)
    x = x.transpose(*x_batch, *x_free, *x_sum)
    y = y.transpose(*y_batch, *y_free, *y_sum)
    depth = math.prod(x.shape[len(batch) + len(rows) :])
    x = x.reshape((*batch, math.prod(rows), 1, depth))
    y = y.reshape((*batch, 1, math.prod(columns), depth))
    return (x * y).sum(axis=-1).astype(x.dtype).reshape((*batch, *rows, *columns))


def pad(x, value, edges, interior):
    """Puts `interior` values between neighbours, then adds edges or removes negative ones."""
    shape = [n + max(n - 1, 0) * gap for n, gap in zip(x.shape, interior)]
    spread = mx.broadcast_to(value, shape) + mx.zeros(shape, dtype=x.dtype)
    if x.size:
        spread[tuple(slice(None, None, gap + 1) for gap in interior)] = x
    kept = spread[
        tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(edges, shape))
    ]
    # Not `mx.pad`: its derivative by the value ends the process.
    sizes = [n + max(a, 0) + max(b, 0) for (a, b), n in zip(edges, kept.shape)]
    out = mx.broadcast_to(value, sizes) + mx.zeros(sizes, dtype=x.dtype)
    if kept.size:
        inside = zip(edges, kept.shape)
        out[tuple(slice(max(a, 0), max(a, 0) + n) for (a, _), n in inside)] = kept
    return out


def places(indices, sizes, batch):
    """Row numbers that index vectors point at; those out of bounds get the number of rows."""
    vectors = indices.shape[:-1]
    inside, row = mx.ones(vectors, dtype=mx.bool_), mx.zeros(vectors, dtype=mx.int64)
    for axis, n in enumerate(vectors[:batch]):
        shape = [n if i == axis else 1 for i in range(len(vectors))]
        row = row * n + mx.arange(n).reshape(shape)
    for i, n in enumerate(sizes):
        inside = inside & (indices[..., i] >= 0) & (indices[..., i] < n)
        row = row * n + indices[..., i].astype(mx.int64)
    rows = math.prod(vectors[:batch]) * math.prod(sizes)
    return mx.where(inside, row, rows).reshape(-1), rows


def with_spare_row(x, rows, slices):
    """x as rows, with one more for what is dropped."""
    spare = mx.zeros((1, *slices), dtype=x.dtype)
    return mx.concatenate([x.reshape(rows, *slices), spare])


def scatter_set(x, indices, updates, batch=0):
    """x with slices replaced; vectors out of bounds are dropped, the last of equals wins."""
    if updates.size == 0 or x.size == 0:
        return x
    k = indices.shape[-1]
    sizes, slices = x.shape[batch : batch + k], x.shape[batch + k :]
    at, rows = places(indices, sizes, batch)
    order = mx.arange(at.size)
    last = mx.full((rows + 1,), -1, dtype=order.dtype).at[at].maximum(order)
    at = mx.where(last[at] == order, at, rows)
    out = with_spare_row(x, rows, slices)
    out[at] = updates.reshape(at.size, *slices)
    return out[:rows].reshape(x.shape)


def scatter_add(x, indices, updates, batch=0):
    """x with slices added to; vectors out of bounds are dropped."""
    if updates.size == 0 or x.size == 0:
        return x
    k = indices.shape[-1]
    sizes, slices = x.shape[batch : batch + k], x.shape[batch + k :]
    at, rows = places(indices, sizes, batch)
    out = with_spare_row(x, rows, slices).at[at].add(updates.reshape(at.size, *slices))
    return out[:rows].reshape(x.shape)


def segments(combine, start, data, ids, count, batch):
    """Combines the rows whose id is s into row s; ids out of range are dropped."""
    slices = data.shape[batch + 1 :]
    shape = (*data.shape[:batch], count, *slices)
    if data.size == 0:
        return mx.full(shape, start, dtype=data.dtype)
    at, rows = places(ids[..., None], (count,), batch)
    out = mx.full((rows + 1, *slices), start, dtype=data.dtype)
    out = getattr(out.at[at], combine)(data.reshape(at.size, *slices))
    return out[:rows].reshape(shape)


def segment_sum(data, ids, count, batch=0):
    """The sum of each segment's rows."""
    return segments("add", 0, data, ids, count, batch)


def segment_prod(data, ids, count, batch=0):
    """The product of each segment's rows."""
    return segments("multiply", 1, data, ids, count, batch)


def segment_max(data, ids, count, batch=0):
    """The largest of each segment's rows."""
    floating = mx.issubdtype(data.dtype, mx.floating)
    start = -math.inf if floating else mx.iinfo(data.dtype).min
    return segments("maximum", start, data, ids, count, batch)


def segment_min(data, ids, count, batch=0):
    """The smallest of each segment's rows."""
    floating = mx.issubdtype(data.dtype, mx.floating)
    start = math.inf if floating else mx.iinfo(data.dtype).max
    return segments("minimum", start, data, ids, count, batch)
