"""Prints the coefficients of `crates/plan/src/math`: `python coefficients.py [NAME…]` (needs mpmath).

Each is followed by log₂ of the largest error: relative to the function, unless the weight says otherwise.
"""

import sys

from minimax import fit, mp, mpf, rounded

LN2 = mp.log(2) * mpf("1.0001")
LOW, HIGH = mp.sqrt(mpf(1) / 2) - 1 - mpf("1e-6"), mp.sqrt(2) - 1 + mpf("1e-6")
S_MAX = (mp.sqrt(2) - 1) / (mp.sqrt(2) + 1) * mpf("1.0001")
QUARTER = mp.pi / 4 * mpf("1.0001")
ROOT = mp.findroot(lambda x: mp.psi(0, x), mpf("1.46"))


def odd(f, slope):
    """f(√z)/√z, which is `slope` at 0."""
    return lambda z: f(mp.sqrt(z)) / mp.sqrt(z) if z > 0 else mpf(slope)


def relative(f):
    return lambda x: 1 / f(x)


def one(_):
    return mpf(1)


def erfc_root(x):
    return mp.erfc(x) ** (mpf(1) / 4)


def erfc_weight(x):
    return 4 * erfc_root(x) ** 3 / mp.erf(x)


def lgamma(x):
    return mp.loggamma(x).real


def inverse_erf(w, memo={}):
    """erfinv x / x with w = −log(1 − x²), by Halley's method on erfc."""
    if w not in memo:
        x = mp.sqrt(-mp.expm1(-w))
        below = mp.exp(-w) / (1 + x)
        y = mp.sqrt(w) * mpf("0.9") if w > 1 else x * mpf("0.886")
        for _ in range(60):
            step = (mp.erfc(y) - below) * mp.sqrt(mp.pi) / 2 * mp.exp(y * y)
            step /= 1 + y * step
            y += step
            if abs(step) < mpf(10) ** -36 * y:
                break
        memo[w] = y / x
    return memo[w]


def log_scaled(t):
    a = (1 / t - 1) * 2
    return mp.log(mp.erfc(a) * mp.exp(a * a) / t) / (1 - t)


def scaled(u):
    a = (1 / u - 1) * 4
    return (mp.erfc(a) * mp.exp(a * a) * (1 + 2 * a) - 1) / (1 - u)


def stirling(u):
    x = 1 / mp.sqrt(u)
    return (lgamma(x) - (x - mpf("0.5")) * mp.log(x) + x - mp.log(2 * mp.pi) / 2) * x


def digamma_series(u):
    x = 1 / mp.sqrt(u)
    return (mp.log(x) - 1 / (2 * x) - mp.psi(0, x)) / u


def trigamma_series(u):
    x = 1 / mp.sqrt(u)
    return (mp.psi(1, x) - 1 / x - u / 2) * x / u


def shifted(f, middle):
    return lambda t: f(t + mpf(middle))


def between(f, a, b, middle, degree, weight=None, **options):
    """A fit in x − middle."""
    weight = shifted(weight or relative(f), middle)
    a, b = mpf(a) - mpf(middle), mpf(b) - mpf(middle)
    return fit(shifted(f, middle), weight, degree, a, b, 53, **options)


def even(f, slope, degree, top, bits, weight=None, **options):
    """A fit of f(√z)/√z on 0 ≤ z ≤ top²."""
    g = odd(f, slope)
    return fit(g, weight or relative(g), degree, mpf(0), mpf(top) ** 2, bits, **options)


def minus_one(f):
    return lambda x: f(x) - 1


sin = odd(mp.sin, 1)
sqrt_cos = lambda z: mp.cos(mp.sqrt(z))
erf_z = odd(mp.erf, 2 / mp.sqrt(mp.pi))
tanh_rest = lambda z: (mp.tanh(mp.sqrt(z)) / mp.sqrt(z) - 1) / z
sin_pi = odd(lambda r: mp.sin(mp.pi * r) / mp.pi, 1)
artanh5 = lambda z: (2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 2 - z * 2 / 3) / z**2
root_w = lambda s: inverse_erf(s * s)
at_one = lambda d: lgamma(1 + d) / d
at_two = lambda d: lgamma(2 + d) / d
digamma = lambda x: mp.psi(0, x) / (x - ROOT)
twelfth, sixth = [rounded(mpf(1) / 12, 53)], [rounded(mpf(1) / 6, 53)]

# Leading coefficients that are fixed stand in the code, not in the tables.
FITS = {
    "EXP f32": lambda: fit(mp.exp, lambda x: mp.exp(-x), 7, -LN2, LN2, 24, fixed=[1, 1]),
    "EXP f64": lambda: fit(mp.exp, lambda x: mp.exp(-x), 13, -LN2, LN2, 53, fixed=[1, 1], keep=3),
    "EXP_SHORT": lambda: fit(mp.exp, lambda x: mp.exp(-x), 8, -LN2, LN2, 53, fixed=[1], keep=0),
    "EXPM1 f32": lambda: fit(mp.expm1, relative(mp.expm1), 7, -LN2 / 2, LN2 / 2, 24, first=1, fixed=[1]),
    "EXPM1 f64": lambda: fit(mp.expm1, relative(mp.expm1), 12, -LN2 / 2, LN2 / 2, 53, first=1, fixed=[1], keep=3),
    "TANH": lambda: fit(tanh_rest, lambda z: z, 10, mpf("1e-8"), mpf("0.5501") ** 2, 53, keep=1),
    "SINGLE": lambda: fit(mp.log1p, relative(mp.log1p), 10, LOW, HIGH, 24, first=1, fixed=[1, mpf("-0.5")]),
    "DOUBLE": lambda: even(lambda s: 2 * mp.atanh(s), 2, 7, S_MAX, 53, fixed=[2], keep=2),
    "SHORT": lambda: even(lambda s: 2 * mp.atanh(s), 2, 5, S_MAX, 53, fixed=[2], keep=0),
    "SERIES": lambda: fit(
        artanh5, lambda z: z**2 / 2, 7, mpf("1e-9"), S_MAX**2, 53, fixed=[rounded(mpf(2) / 5, 53)], keep=0
    ),
    "SMALL f32": lambda: fit(minus_one(erf_z), relative(erf_z), 5, mpf(0), mpf("0.9375") ** 2, 24),
    "SMALL f64": lambda: fit(minus_one(erf_z), relative(erf_z), 13, mpf(0), mpf("1.1875") ** 2, 53, keep=3),
    "TAIL f32": lambda: fit(erfc_root, erfc_weight, 8, mpf("0.9375"), mpf(4), 24),
    "TAIL f64": lambda: between(erfc_root, 1, 6, "3.5", 20, erfc_weight, keep=0),
    "LOG_SCALED": lambda: between(
        log_scaled, 1 / (1 + mpf("10.3") / 2), "0.9999999", "0.5810546875", 11, lambda t: 1 - t, keep=0
    ),
    "SCALED": lambda: between(scaled, mpf(1) / 8, "0.9999999", "0.5625", 22, lambda u: 1 - u, keep=0),
    "INVERSE_SHORT[0]": lambda: between(inverse_erf, "1e-9", "6.26", "3.125", 10, keep=0),
    "INVERSE_SHORT[1]": lambda: between(root_w, "2.5", "4.01", "3.25", 7, keep=0),
    "INVERSE_SMALL": lambda: between(
        minus_one(inverse_erf), "1e-9", "1.76", "0.875", 14, relative(inverse_erf), keep=0
    ),
    "INVERSE_NEAR": lambda: between(inverse_erf, "1.75", "6.26", "4", 18, keep=0),
    "INVERSE_MIDDLE": lambda: between(root_w, "2.5", "4.01", "3.25", 20, keep=0),
    "INVERSE_FAR": lambda: between(root_w, "4", "6.11", "5.0625", 18, keep=0),
    "SIN f32": lambda: even(mp.sin, 1, 3, QUARTER, 24, fixed=[1]),
    "SIN f64": lambda: even(mp.sin, 1, 7, QUARTER, 53, fixed=[1], keep=2),
    "COS f32": lambda: fit(sqrt_cos, relative(sqrt_cos), 4, mpf(0), QUARTER**2, 24, fixed=[1, mpf("-0.5")]),
    "COS f64": lambda: fit(sqrt_cos, relative(sqrt_cos), 7, mpf(0), QUARTER**2, 53, fixed=[1, mpf("-0.5")], keep=2),
    "TAN_SIN": lambda: even(mp.sin, 1, 4, QUARTER, 53, fixed=[1], keep=0),
    "TAN_COS": lambda: fit(sqrt_cos, relative(sqrt_cos), 5, mpf(0), QUARTER**2, 53, fixed=[1], keep=0),
    "ATAN f32": lambda: even(mp.atan, 1, 9, 1, 24, fixed=[1]),
    "ATAN f64": lambda: even(mp.atan, 1, 20, 1, 53, fixed=[1], keep=2),
    "AT_ONE": lambda: fit(at_one, relative(at_one), 20, "-0.3001", "0.3751", 53, keep=1),
    "AT_TWO": lambda: fit(at_two, relative(at_two), 20, "-0.6251", "0.5001", 53, keep=1),
    "STIRLING": lambda: fit(
        stirling, lambda u: mp.sqrt(u) / lgamma(1 / mp.sqrt(u)), 7, mpf(10) ** -6, mpf(1) / 36, 53, fixed=twelfth, keep=1
    ),
    "SLOPE": lambda: fit(lambda z: mp.psi(0, z), one, 4, "1.375", "6", 53, keep=0),
    "DIGAMMA": lambda: between(digamma, "0.9999", "2.0001", "1.5", 22, keep=0),
    "DIGAMMA_SERIES": lambda: fit(
        digamma_series, lambda u: u / mp.psi(0, 1 / mp.sqrt(u)), 11, mpf(10) ** -5, mpf("1.0001") / 9, 53,
        fixed=twelfth, keep=0,
    ),
    "TRIGAMMA_SERIES": lambda: fit(
        trigamma_series, lambda u: u ** mpf("1.5") / mp.psi(1, 1 / mp.sqrt(u)), 11, mpf(10) ** -5, mpf("1.0001") / 16, 53,
        fixed=sixth, keep=0,
    ),
    "SIN_PI": lambda: fit(sin_pi, relative(sin_pi), 9, mpf(0), mpf("0.2501"), 53, fixed=[1], keep=1),
    "COS_PI": lambda: fit(lambda z: mp.cos(mp.pi * mp.sqrt(z)), one, 9, mpf(0), mpf("0.2501"), 53, fixed=[1], keep=1),
}


def main():
    for name, make in FITS.items():
        if len(sys.argv) == 1 or name.split()[0] in sys.argv[1:]:
            coefficients, error = make()
            print(f"{name}: 2^{float(mp.log(error, 2)):.1f}")
            print("    " + ", ".join(repr(float(c)) for c in coefficients), flush=True)


main()
