def erfinv(x):
    """The inverse of erf, by Halley's method."""
    y = np.abs(x.astype(np.float64))
    log = np.log1p(-y * y)
    t = 2 / (math.pi * 0.147) + log / 2
    z = np.sqrt(np.sqrt(t * t - log / 0.147) - t)
    for _ in range(4):
        residual = np.where(y < 0.5, erf(z) - y, (1 - y) - erfc(z))
        step = residual / (2 / math.sqrt(math.pi) * np.exp(-z * z))
        z = z - step / (1 + z * step)
    z = np.where(y < 1e-9, y * math.sqrt(math.pi) / 2, z)
    z = np.where(y == 1, math.inf, np.where(y <= 1, z, math.nan))
    return np.where(x < 0, -z, z).astype(x.dtype)


def digamma(x):
    """ψ(x); NaN at 0, -1, -2, …"""
    wide = x.astype(np.float64)
    z = np.where(wide <= 0, 1 - wide, wide)
    total = np.zeros_like(z)
    for _ in range(10):
        total = total - np.where(z < 10, 1 / z, 0)
        z = np.where(z < 10, z + 1, z)
    series = np.zeros_like(z)
    for c in [1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12][::-1]:
        series = (series + c) / (z * z)
    total = total + np.log(z) - 0.5 / z - series
    # Elsewhere any number will do, but not a pole: its derivative would spoil theirs.
    cot = cot_pi(np.where(wide <= 0, wide, 0.25))
    total = np.where(wide <= 0, total - math.pi * cot, total)
    return np.where((wide <= 0) & (wide == np.floor(wide)), math.nan, total).astype(
        x.dtype
    )
