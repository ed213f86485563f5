def threefry2x32(key, counter):
    """Two random words for a key and a counter, 20 rounds (Salmon et al., SC 2011)."""
    mask = 0xFFFFFFFF
    (k0, k1), (x, y) = key, counter
    schedule = [k0, k1, 0x1BD11BDA ^ k0 ^ k1]
    x, y = (x + k0) & mask, (y + k1) & mask
    for group in range(5):
        for rotation in [(13, 15, 26, 6), (17, 29, 16, 24)][group % 2]:
            x = (x + y) & mask
            y = ((y << rotation) & mask | (y >> (32 - rotation))) ^ x
        x = (x + schedule[(group + 1) % 3]) & mask
        y = (y + schedule[(group + 2) % 3] + (group + 1)) & mask
    return x, y


def random_bits(key, shape):
    """Random 32-bit words (as int64) of this shape for each key of two words."""
    count = math.prod(shape)
    blocks = torch.arange((count + 1) // 2, device=key.device)
    keys = key[..., 0, None], key[..., 1, None]
    words = torch.stack(threefry2x32(keys, (blocks * 0, blocks)), dim=-1)
    words = words.reshape((*key.shape[:-1], 2 * len(blocks)))[..., :count]
    return words.reshape((*key.shape[:-1], *shape))


def fold_in(key, data):
    """The key of the stream that belongs to `data`."""
    last = torch.full_like(data, 0xFFFFFFFF)
    return torch.stack(threefry2x32((key[..., 0], key[..., 1]), (data, last)), dim=-1)


def sign(x):
    """-1, 0 or 1; NaN stays."""
    return torch.where(x.isnan(), x, x.sign())


def to_int(x, low, high):
    """x toward zero as int64 in [low, high]; too large or small gives the nearest, NaN 0."""
    x = x.double()
    below, above = x <= float(low), x >= float(high)
    inside = torch.where(below | above | x.isnan(), 0.0, x).long()
    return torch.where(above, high, torch.where(below, low, inside))


def int_div(x, y):
    """x / y toward zero; 0 where y is 0."""
    safe = torch.where((y == 0) | (y + 1 == 0), 1, y)
    quotient = torch.div(x, safe, rounding_mode="trunc")
    if y.dtype != torch.uint8:
        quotient = torch.where(y == -1, -x, quotient)
    else:
        quotient = torch.where(y == 255, (x == 255).to(x.dtype), quotient)
    return torch.where(y == 0, 0, quotient)


def int_rem(x, y):
    """The remainder of division toward zero, 0 where y is 0."""
    return torch.where(y == 0, 0, x - int_div(x, y) * y)


def int_floor_div(x, y):
    """x / y toward minus infinity; 0 where y is 0."""
    quotient, remainder = int_div(x, y), int_rem(x, y)
    below = (remainder != 0) & ((remainder < 0) != (y < 0))
    return torch.where(below, quotient - 1, quotient)


def int_pow(x, y):
    """x to the power y by squaring; a negative y gives the integer part of the quotient."""
    result, square, rest = torch.ones_like(x), x, y.clamp(min=0)
    for _ in range(8 * x.itemsize):
        result = torch.where(rest & 1 == 1, result * square, result)
        square, rest = square * square, rest >> 1
    parity = torch.where(y & 1 == 1, -1, 1)
    inverse = torch.where(x == 1, 1, torch.where(x == -1, parity, 0))
    return torch.where(y < 0, inverse, result).to(x.dtype)


def shift_left(x, y, bits):
    """x shifted left by y bits; 0 where y is not in [0, bits)."""
    inside = (y >= 0) & (y < bits)
    return torch.where(inside, x << torch.where(inside, y, 0), 0)


def shift_right(x, y, bits):
    """x shifted right by y bits; only its sign stays where y is not in [0, bits)."""
    inside = (y >= 0) & (y < bits)
    sign = (
        torch.where(x < 0, -1, 0).to(x.dtype)
        if x.dtype.is_signed
        else torch.zeros_like(x)
    )
    return torch.where(inside, x >> torch.where(inside, y, 0), sign)


def pad(x, value, edges, interior):
    """Puts `interior` values between neighbours, then adds edges or removes negative ones."""
    shape = [n + max(n - 1, 0) * gap for n, gap in zip(x.shape, interior)]
    spread = torch.ones(shape, dtype=x.dtype, device=x.device) * value
    spread = spread.to(x.dtype)
    spread[tuple(slice(None, None, gap + 1) for gap in interior)] = x
    kept = spread[
        tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(edges, shape))
    ]
    sizes = [n + max(a, 0) + max(b, 0) for (a, b), n in zip(edges, kept.shape)]
    out = torch.ones(sizes, dtype=x.dtype, device=x.device) * value
    out = out.to(x.dtype)
    out[
        tuple(slice(max(a, 0), max(a, 0) + n) for (a, _), n in zip(edges, kept.shape))
    ] = kept
    return out


def places(indices, sizes, batch):
    """Row numbers that index vectors point at; those out of bounds get the number of rows."""
    inside, row = True, 0
    for axis, n in enumerate(indices.shape[:batch]):
        shape = [n if i == axis else 1 for i in range(indices.dim() - 1)]
        row = row * n + torch.arange(n, device=indices.device).reshape(shape)
    for i, n in enumerate(sizes):
        inside = inside & (indices[..., i] >= 0) & (indices[..., i] < n)
        row = row * n + indices[..., i]
    rows = math.prod(indices.shape[:batch]) * math.prod(sizes)
    row = torch.as_tensor(row, device=indices.device).expand(indices.shape[:-1])
    inside = torch.as_tensor(inside, device=indices.device).expand(indices.shape[:-1])
    # Derivatives of indexing read 64-bit positions.
    return torch.where(inside, row, rows).reshape(-1).long(), rows


def with_spare_row(x, rows, slices):
    """x as rows, with one more for what is dropped."""
    x = x.reshape(rows, *slices)
    return torch.cat([x, x.new_zeros((1, *slices))])


def scatter_set(x, indices, updates, batch=0):
    """x with slices replaced; vectors out of bounds are dropped, the last of equals wins."""
    k = indices.shape[-1]
    sizes, slices = x.shape[batch : batch + k], x.shape[batch + k :]
    at, rows = places(indices, sizes, batch)
    order = torch.arange(len(at), device=x.device)
    last = torch.full((rows + 1,), -1, device=x.device).scatter_reduce(
        0, at, order, "amax"
    )
    at = torch.where(last[at] == order, at, rows)
    out = with_spare_row(x, rows, slices)
    out[at] = updates.reshape(len(at), *slices)
    return out[:rows].reshape(x.shape)


def scatter_add(x, indices, updates, batch=0):
    """x with slices added to; vectors out of bounds are dropped."""
    k = indices.shape[-1]
    sizes, slices = x.shape[batch : batch + k], x.shape[batch + k :]
    at, rows = places(indices, sizes, batch)
    out = with_spare_row(x, rows, slices).index_add(
        0, at, updates.reshape(len(at), *slices)
    )
    return out[:rows].reshape(x.shape)


def segments(reduce, start, data, ids, count, batch):
    """Combines the rows whose id is s into row s; ids out of range are dropped."""
    slices = data.shape[batch + 1 :]
    at, rows = places(ids[..., None], (count,), batch)
    out = torch.full((rows + 1, *slices), start, dtype=data.dtype, device=data.device)
    at = at.reshape(-1, *[1] * len(slices)).expand(-1, *slices)
    out = out.scatter_reduce(0, at, data.reshape(at.shape), reduce)
    return out[:rows].reshape(*data.shape[:batch], count, *slices)


def segment_sum(data, ids, count, batch=0):
    """The sum of each segment's rows."""
    return segments("sum", 0, data, ids, count, batch)


def segment_prod(data, ids, count, batch=0):
    """The product of each segment's rows."""
    return segments("prod", 1, data, ids, count, batch)


def segment_max(data, ids, count, start, batch=0):
    """The largest of each segment's rows."""
    return segments("amax", start, data, ids, count, batch)


def segment_min(data, ids, count, start, batch=0):
    """The smallest of each segment's rows."""
    return segments("amin", start, data, ids, count, batch)


def digamma(x):
    """ψ(x); NaN at 0, -1, -2, …"""
    pole = (x <= 0) & (x == x.floor())
    return torch.where(pole, math.nan, torch.digamma(x))


def cholesky(a):
    """The lower Cholesky factor of each matrix; NaN where one is not positive definite."""
    factor, failed = torch.linalg.cholesky_ex(a)
    return torch.where((failed > 0)[..., None, None], math.nan, factor)


def cumsum(x, axis, reverse=False, exclusive=False):
    """Running sums along an axis: from its end if reversed, without the element itself if exclusive."""
    total = (x.flip(axis) if reverse else x).cumsum(axis, dtype=x.dtype)
    if exclusive:
        total = total.movedim(axis, 0)
        total = torch.cat([torch.zeros_like(total[:1]), total[:-1]]).movedim(0, axis)
    return total.flip(axis) if reverse else total
