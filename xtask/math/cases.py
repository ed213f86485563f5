"""Prints `crates/cpu/tests/ops/math_cases.txt`: f64 operands of functions and their values (needs mpmath).

A line is `function operand… value rest`: the nearest f64 to the value, and what it lacks. Operands are random ones of every magnitude, and the hard ones: next to
zeros, poles, overflow, and multiples of π/2.
"""

import math
import random

from mpmath import mp, mpf

mp.dps = 60
# Large angles need the bits of π behind their point.
WIDE = 1200
LIMIT = mpf(2) ** 1024 * (1 - mpf(2) ** -54)
HARD = {
    "exp": [709.782712893384, 709.7827128933841, -708.3964185322641, -745.1332191019411, -745.1332191019412, 5e-324, 1e-17, 0.34657359027997264],
    "expm1": [709.782712893384, 709.7827128933841, -37.42994775023705, 1e-17, -1e-300, 5e-324, 0.34657359027997264, -0.34657359027997264],
    "log": [5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 0.9999999999999999, 1.0000000000000002, 0.7071067811865475, 1.4142135623730951],
    "log1p": [-0.9999999999999999, 5e-324, -1e-300, 1e-17, 1.7976931348623157e308, 0.41421356237309515, -0.2928932188134524],
    "sin": [6381956970095103.0 * 2.0**797, math.pi, 1e22, 1.7976931348623157e308, 5e-324, 2.0**-27, 0.7853981633974483, 11 * math.pi / 2],
    "cos": [6381956970095103.0 * 2.0**797, math.pi / 2, 1e22, 1.7976931348623157e308, 5e-324, 0.7853981633974484, 3.0 * math.pi / 2],
    "tan": [6381956970095103.0 * 2.0**797, math.pi / 2, 1e22, 1.7976931348623157e308, 5e-324, 0.7853981633974483, 2.356194490192345],
    "tanh": [0.55, 0.5500000000000002, 19.5, 5e-324, 1e-9],
    "erf": [1.1875, 1.1874999999999998, 5.9, 5e-324, 1e-300],
    "erfc": [26.5, 27.2, -5.8, 1e-20, -1e-20, 0.5],
    "erfinv": [0.9999999999999999, -0.9999999999999999, 1e-300, 0.9090, 0.99903, 0.9999999437],
    "lgamma": [1.0000000000000002, 1.9999999999999998, 2.0000000000000004, 0.7, 1.375, 2.5, 6.0, 5e-324, 1e-300, 2.5e305, 3.0, 11.0],
    "digamma": [2.014275156568793, 2.0029591587974513, 1.4616321449683622, 1.4616321449683625, 1.0, 2.0, 3.0, 1e-300, 1e300, 0.5],
    "trigamma": [2.4683382757176777, 1.0, 4.0, 1e-150, 1e300, 0.5, 3.9999999999999996],
}
RANGES = {
    "exp": (-745, 709), "expm1": (-40, 709), "tanh": (-20, 20), "erf": (-6, 6), "erfc": (-6, 27), "erfinv": (-1, 1),
    "lgamma": (0, 30), "digamma": (0, 30), "trigamma": (0, 30),
}
POWERS = [
    (3.0, 2.0), (10.0, 22.0), (10.0, -5.0), (2.0, 0.5), (1.0000000000000002, 1e16), (0.9999999999999999, -1e16), (-3.0, 3.0),
    (1.5, 1747.0), (2.0, -1074.0), (2.0, 1023.9999999999999), (5e-324, 0.5), (9007199254740993.0, 19.0), (0.1, 323.0),
]
POINTS = [
    (1.0, 1.0), (-1.0, -1.0), (1e-300, 1e300), (1e300, -1e-300), (5e-324, 5e-324), (1.0, 1.0000000000000002), (-0.5, -1e-10),
    (3.0, -1e17),
]


def exact(x, name):
    """The value, or None where it is not a finite f64 other than 0."""
    mp.dps = 60 + (400 if name in ("sin", "cos", "tan") else 0)
    x = [mpf(v) for v in x]
    functions = {
        "lgamma": lambda v: mp.loggamma(v).real, "digamma": lambda v: mp.psi(0, v),
        "trigamma": lambda v: mp.psi(1, v), "pow": lambda a, b: mp.power(a, b).real, "atan2": mp.atan2,
    }
    value = functions.get(name, getattr(mp, name, None))(*x)
    mp.dps = 60
    return value if mpf(2) ** -1074 <= abs(value) <= LIMIT else None


def operands(name):
    generator = random.Random(name)
    yield from ((x,) for x in HARD[name])
    for _ in range(30 if name in ("lgamma", "digamma") else 0):
        yield (-30 * generator.random(),)
    for _ in range(30):
        if name in RANGES:
            low, high = RANGES[name]
            yield (low + (high - low) * generator.random(),)
        else:
            yield (math.ldexp(generator.random() + 0.5, generator.randrange(-60, 1000 if name in ("sin", "cos", "tan") else 60)),)
        sign = generator.choice([1, -1]) if name not in ("log", "lgamma", "digamma", "trigamma") else 1
        small = math.ldexp(generator.random() + 0.5, generator.randrange(-30, 3))
        yield (sign * (min(small, 0.9999) if name in ("log1p", "erfinv") else small),)


def pairs(name):
    generator = random.Random(name)
    yield from POWERS if name == "pow" else POINTS
    for _ in range(60):
        if name == "pow":
            yield (math.ldexp(generator.random() + 0.5, generator.randrange(-40, 40)), generator.uniform(-25, 25))
        else:
            yield tuple(
                generator.choice([1, -1]) * math.ldexp(generator.random() + 0.5, generator.randrange(-10, 10)) for _ in "yx"
            )


def main():
    print("# Written by xtask/math/cases.py: function, operands, the value's nearest f64 and its rest.")
    for name in [*HARD, "pow", "atan2"]:
        for x in pairs(name) if name in ("pow", "atan2") else operands(name):
            value = exact(x, name)
            if value is not None:
                near = float(value)
                print(name, *(repr(float(v)) for v in x), repr(near), repr(float(value - mpf(near))))


main()
