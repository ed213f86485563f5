def erf(x):
    """The error function, element by element: NumPy has none."""
    return np.vectorize(math.erf, otypes=[np.float64])(x).astype(x.dtype)


def erfc(x):
    """1 - erf(x), accurate in the tail."""
    return np.vectorize(math.erfc, otypes=[np.float64])(x).astype(x.dtype)


def lgamma(x):
    """ln |Γ(x)|, infinite at 0, -1, -2, …"""

    def one(x):
        try:
            return math.lgamma(x)
        except (ValueError, OverflowError):
            return math.inf

    return np.vectorize(one, otypes=[np.float64])(x).astype(x.dtype)


def sigmoid(x):
    """1 / (1 + exp(-x)) without overflow."""
    decay = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, decay) / (1.0 + decay)


def silu(x):
    """x * sigmoid(x)."""
    return x * sigmoid(x)


def gelu(x):
    """x * Φ(x)."""
    return 0.5 * x * erfc(-x * math.sqrt(0.5))


def gelu_tanh(x):
    """GELU by its tanh approximation."""
    inner = math.sqrt(2 / math.pi) * (x * (1.0 + 0.044715 * (x * x)))
    return 0.5 * x * (1.0 + np.tanh(inner))


def softmax(x, axis):
    """exp(x) / sum(exp(x)) along the axis."""
    exp = np.exp(x - shift(x, axis))
    return exp / exp.sum(axis=axis, keepdims=True)


def log_softmax(x, axis):
    """x - log(sum(exp(x))) along the axis."""
    centred = x - shift(x, axis)
    return centred - np.log(np.exp(centred).sum(axis=axis, keepdims=True))


def logsumexp(x, axis):
    """log(sum(exp(x))) over the axis."""
    largest = shift(x, axis)
    total = np.exp(x - largest).sum(axis=axis)
    return np.log(total) + largest.reshape(total.shape)


def shift(x, axis):
    """The maximum along the axis, 0 where it is not finite."""
    largest = x.max(axis=axis, keepdims=True, initial=-np.inf)
    return np.where(np.isfinite(largest), largest, x.dtype.type(0))


def to_int(x, dtype):
    """x toward zero as an integer; too large or small gives the nearest, NaN gives 0."""
    info = np.iinfo(dtype)
    x = np.trunc(x.astype(np.float64))
    below, above = x < float(info.min), x >= float(info.max)
    inside = np.where(below | above | np.isnan(x), 0, x).astype(dtype)
    return np.where(above, dtype(info.max), np.where(below, dtype(info.min), inside))


def int_div(x, y):
    """x / y toward zero; 0 where y is 0."""
    return np.where(y == 0, 0, (x - int_rem(x, y)) // np.where(y == 0, 1, y))


def int_rem(x, y):
    """The remainder of division toward zero, 0 where y is 0."""
    return np.where(y == 0, 0, np.fmod(x, np.where(y == 0, 1, y)))


def int_floor_div(x, y):
    """x / y toward minus infinity; 0 where y is 0."""
    return np.where(y == 0, 0, x // np.where(y == 0, 1, y))


def int_pow(x, y):
    """x to the power y by squaring; a negative y gives the integer part of the quotient."""
    y = np.asarray(y, dtype=x.dtype)
    result, square, rest = np.ones_like(x), x, np.maximum(y, 0)
    for _ in range(8 * x.dtype.itemsize):
        result = np.where(rest & 1 == 1, result * square, result)
        square, rest = square * square, rest >> 1
    inverse = np.where(x == 1, 1, np.where(x + 1 == 0, 1 - 2 * (y & 1), 0))
    return np.where(y < 0, inverse, result).astype(x.dtype)


def shift_left(x, y):
    """x shifted left by y bits; 0 where y is not in [0, width)."""
    inside = (y >= 0) & (y < 8 * x.dtype.itemsize)
    return np.where(inside, x << np.where(inside, y, 0), 0).astype(x.dtype)


def shift_right(x, y):
    """x shifted right by y bits; only its sign stays where y is not in [0, width)."""
    last = 8 * x.dtype.itemsize - 1
    inside = (y >= 0) & (y <= last)
    sign = (x >> last) >> 1 if np.issubdtype(x.dtype, np.unsignedinteger) else x >> last
    return np.where(inside, x >> np.where(inside, y, 0), sign).astype(x.dtype)


def pad(x, value, edges, interior):
    """Puts `interior` values between neighbours, then adds edges or removes negative ones."""
    shape = [n + max(n - 1, 0) * gap for n, gap in zip(x.shape, interior)]
    spread = np.full(shape, value, dtype=x.dtype)
    spread[tuple(slice(None, None, gap + 1) for gap in interior)] = x
    kept = tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(edges, shape))
    added = [(max(a, 0), max(b, 0)) for a, b in edges]
    return np.pad(spread[kept], added, constant_values=value)


def places(indices, sizes, batch):
    """Which index vectors are in bounds, and where those point, batch axes first."""
    inside = np.all(
        (indices >= 0) & (indices < np.array(sizes, dtype=np.int64)), axis=-1
    )
    axes = (*np.indices(inside.shape)[:batch], *np.moveaxis(indices, -1, 0))
    # A first coordinate of zeros: there may be no other.
    return inside, (np.zeros(inside.sum(), dtype=int), *(axis[inside] for axis in axes))


def scatter_set(x, indices, updates, batch=0):
    """x with slices replaced; vectors out of bounds are dropped, the last of equals wins."""
    out = np.array(x)
    inside, at = places(indices, x.shape[batch : batch + indices.shape[-1]], batch)
    out[None][at] = updates[inside]
    return out


def scatter_add(x, indices, updates, batch=0):
    """x with slices added to; vectors out of bounds are dropped."""
    out = np.array(x)
    inside, at = places(indices, x.shape[batch : batch + indices.shape[-1]], batch)
    np.add.at(out[None], at, updates[inside])
    return out


def segments(combine, start, data, ids, count, batch):
    """Combines the rows whose id is s into row s; ids out of range are dropped."""
    shape = (*data.shape[:batch], count, *data.shape[batch + 1 :])
    out = np.full(shape, start, dtype=data.dtype)
    inside, at = places(ids[..., None], (count,), batch)
    combine.at(out[None], at, data[inside])
    return out


def segment_sum(data, ids, count, batch=0):
    """The sum of each segment's rows."""
    return segments(np.add, 0, data, ids, count, batch)


def segment_prod(data, ids, count, batch=0):
    """The product of each segment's rows."""
    return segments(np.multiply, 1, data, ids, count, batch)


def segment_max(data, ids, count, batch=0):
    """The largest of each segment's rows."""
    floating = np.issubdtype(data.dtype, np.floating)
    start = -np.inf if floating else np.iinfo(data.dtype).min
    return segments(np.maximum, start, data, ids, count, batch)


def segment_min(data, ids, count, batch=0):
    """The smallest of each segment's rows."""
    floating = np.issubdtype(data.dtype, np.floating)
    start = np.inf if floating else np.iinfo(data.dtype).max
    return segments(np.minimum, start, data, ids, count, batch)


def layer_norm(x, weight=None, bias=None, axis=-1, eps=1e-5):
    """x with mean 0 and variance 1 along the axis, times the weight, plus the bias."""
    x = x - x.mean(axis=axis, keepdims=True)
    x = x / np.sqrt((x * x).mean(axis=axis, keepdims=True) + eps)
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def rms_norm(x, weight=None, axis=-1, eps=1e-5):
    """x with mean square 1 along the axis, times the weight."""
    x = x / np.sqrt((x * x).mean(axis=axis, keepdims=True) + eps)
    return x if weight is None else x * weight
