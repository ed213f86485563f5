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


def cot_pi(x):
    """cot(πx), the angle reduced exactly."""
    r = x - np.round(x)
    size = np.abs(r)
    small = 1 / np.tan(math.pi * np.where(size <= 0.25, size, 0.25))
    large = np.tan(math.pi * (0.5 - size))
    return np.where(size <= 0.25, small, large) * np.where(r < 0, -1, 1)


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
    total = np.where(wide <= 0, total - math.pi * cot_pi(wide), total)
    return np.where((wide <= 0) & (wide == np.floor(wide)), math.nan, total).astype(
        x.dtype
    )


def polygamma(n, x):
    """The n-th derivative of ψ (n > 0); at 0, -1, -2, … infinite or, for even n, NaN."""
    wide = x.astype(np.float64)
    negative = wide <= 0
    z, s = np.where(negative, 1 - wide, wide), n + 1
    steps = 20 + 2 * s
    total = np.zeros_like(z)
    for k in range(steps):
        total = total + (z / (z + k)) ** s
    a = z + steps
    # Euler–Maclaurin: the integral, half the first term, corrections.
    tail, factor = a / n + 0.5, s / a / 2
    bernoulli = [1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6]
    for j, b in enumerate(bernoulli, start=1):
        tail = tail + b * factor
        factor = (
            factor
            * (s + 2 * j - 1)
            * (s + 2 * j)
            / (a * a)
            / ((2 * j + 1) * (2 * j + 2))
        )
    zeta = (total + (z / a) ** s * tail) * math.factorial(n) * z ** float(-s)
    zeta = np.where(np.isinf(z), 0, zeta)
    # Reflection, with the derivatives of the cotangent as polynomials in it.
    p = [0, 1]
    for _ in range(n):
        slope = [k * c for k, c in enumerate(p)][1:]
        p = [-a - b for a, b in zip([*slope, 0, 0], [0, 0, *slope])]
    cot, derivative = cot_pi(wide), np.zeros_like(z)
    for c in p[::-1]:
        derivative = derivative * cot + c
    reflected = -zeta - math.pi ** (n + 1) * derivative
    pole = math.inf if n % 2 else math.nan
    at_pole = negative & (wide == np.floor(wide))
    result = np.where(negative, reflected, zeta if n % 2 else -zeta)
    return np.where(at_pole, np.where(np.isinf(wide), math.nan, pole), result).astype(
        x.dtype
    )
