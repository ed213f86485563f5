def cot_pi(x):
    """cot(πx), the angle reduced exactly."""
    r = x - np.round(x)
    size = np.abs(r)
    small = 1 / np.tan(math.pi * np.where(size <= 0.25, size, 0.25))
    large = np.tan(math.pi * (0.5 - size))
    return np.where(size <= 0.25, small, large) * np.where(r < 0, -1, 1)


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
    # Elsewhere any number will do, but not a pole: its derivative would spoil theirs.
    cot, derivative = cot_pi(np.where(negative, wide, 0.25)), p[-1]
    for c in p[-2::-1]:
        derivative = derivative * cot + c
    reflected = -zeta - math.pi ** (n + 1) * derivative
    pole = math.inf if n % 2 else math.nan
    at_pole = negative & (wide == np.floor(wide))
    result = np.where(negative, reflected, zeta if n % 2 else -zeta)
    return np.where(at_pole, np.where(np.isinf(wide), math.nan, pole), result).astype(
        x.dtype
    )
