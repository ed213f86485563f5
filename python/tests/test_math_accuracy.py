"""Elementary and special functions of f64 against mpmath, on dense random operands and every instruction set.

The Rust tests hold the hard operands; `cargo xtask math-accuracy` every operand of f32.
"""

import json
import os
import subprocess
import sys

import mpmath
import numpy as np
import pytest
import wootz as wz

COUNT = 400
# Units in the last place.
BOUND = 2.0
# Two units of it are an error of 4.4e-16.
CANCELLING = 1.0


def between(low, high):
    return lambda random: random.uniform(low, high, COUNT)


def magnitudes(low, high, signs=(1, -1)):
    """Numbers of every magnitude from 10^low to 10^high."""
    return lambda random: 10 ** random.uniform(low, high, COUNT) * random.choice(signs, COUNT)


# name, the exact function, operands
UNARY = [
    ("exp", mpmath.exp, between(-700, 700)),
    ("exp", mpmath.exp, between(-1, 1)),
    ("expm1", mpmath.expm1, between(-40, 700)),
    ("expm1", mpmath.expm1, magnitudes(-12, 0)),
    ("log", mpmath.log, magnitudes(-300, 300, (1,))),
    ("log", mpmath.log, between(0.5, 2)),
    ("log1p", lambda x: mpmath.log(1 + x), magnitudes(-12, 300, (1,))),
    ("log1p", lambda x: mpmath.log(1 + x), between(-0.999, 1)),
    ("sqrt", mpmath.sqrt, magnitudes(-300, 300, (1,))),
    ("rsqrt", lambda x: 1 / mpmath.sqrt(x), magnitudes(-300, 300, (1,))),
    ("sin", mpmath.sin, between(-10, 10)),
    ("sin", mpmath.sin, magnitudes(-6, 300)),
    ("cos", mpmath.cos, between(-10, 10)),
    ("cos", mpmath.cos, magnitudes(-6, 300)),
    ("tan", mpmath.tan, between(-10, 10)),
    ("tan", mpmath.tan, magnitudes(-6, 300)),
    ("tanh", mpmath.tanh, between(-3, 3)),
    ("tanh", mpmath.tanh, magnitudes(-12, 1.2)),
    ("sigmoid", lambda x: 1 / (1 + mpmath.exp(-x)), between(-40, 40)),
    ("sigmoid", lambda x: 1 / (1 + mpmath.exp(-x)), between(-5, 1)),
    ("erf", mpmath.erf, between(-6, 6)),
    ("erfc", mpmath.erfc, between(-6, 26)),
    ("erfinv", mpmath.erfinv, between(-1, 1)),
    ("lgamma", mpmath.loggamma, between(0, 20)),
    ("lgamma", mpmath.loggamma, magnitudes(-12, 300, (1,))),
    ("lgamma", mpmath.loggamma, between(0.5, 3)),
    ("lgamma", lambda x: mpmath.re(mpmath.loggamma(x)), between(-20, 0)),
    ("lgamma", lambda x: mpmath.re(mpmath.loggamma(x)), between(-4, 0)),
    ("lgamma", lambda x: mpmath.re(mpmath.loggamma(x)), magnitudes(-12, 6, (-1,))),
    ("digamma", mpmath.digamma, between(0, 20)),
    ("digamma", mpmath.digamma, between(1, 3)),
    ("digamma", mpmath.digamma, magnitudes(-12, 300, (1,))),
    ("digamma", mpmath.digamma, between(-20, 0)),
    ("digamma", mpmath.digamma, between(-4, 0)),
    ("digamma", mpmath.digamma, magnitudes(-12, 6, (-1,))),
    ("trigamma", lambda x: mpmath.psi(1, x), between(0, 20)),
    ("trigamma", lambda x: mpmath.psi(1, x), between(1, 4)),
    ("trigamma", lambda x: mpmath.psi(1, x), between(-20, 0)),
]
BINARY = [
    ("pow", mpmath.power, magnitudes(-10, 10, (1,)), between(-28, 28)),
    ("arctan2", mpmath.atan2, magnitudes(-5, 5), magnitudes(-5, 5)),
]


def cases():
    """Name, the exact function, operands: the same in every process."""
    random = np.random.default_rng(7)
    for name, exact, *draws in UNARY + BINARY:
        yield name, exact, [draw(random) for draw in draws]


def function(name):
    return (lambda x: wz.polygamma(1, x)) if name == "trigamma" else getattr(wz, name)


def values():
    return [wz.jit(function(name))(*operands).tolist() for name, _, operands in cases()]


def units(got, exact, at_least=0.0):
    """The error in units of the last place of the exact value, or of another number if that is larger."""
    _, exponent = mpmath.frexp(max(abs(exact), at_least))
    return abs(mpmath.mpf(got) - exact) / mpmath.ldexp(1, max(exponent - 53, -1074))


def least(name, operands):
    """The value whose last place counts next to zeros: below 0 two terms cancel there."""
    return CANCELLING if name in ("lgamma", "digamma") and max(operands[0]) < 0 else 0.0


@pytest.fixture(scope="module")
def exact_values():
    def exactly(name, exact, operands):
        # Angles of 300 digits lose as many in the reduction.
        with mpmath.workdps(340 if name in ("sin", "cos", "tan") else 40):
            return [exact(*(mpmath.mpf(float(v)) for v in row)) for row in zip(*operands, strict=True)]

    return [exactly(*case) for case in cases()]


@pytest.mark.parametrize("isa", ["the widest", "avx2", "portable"])
def test_f64_is_within_two_units(isa, exact_values):
    environment = dict(os.environ) if isa == "the widest" else os.environ | {"WOOTZ_CPU": isa}
    # The backend reads its environment once.
    run = subprocess.run([sys.executable, __file__], capture_output=True, text=True, env=environment, check=False)
    if isa == "avx2" and "processor lacks" in run.stderr:
        pytest.skip("this processor has no AVX2")
    assert run.returncode == 0, run.stderr
    with mpmath.workdps(40):
        for (name, _, operands), got, expected in zip(cases(), json.loads(run.stdout), exact_values, strict=True):
            errors = [units(g, e, least(name, operands)) for g, e in zip(got, expected, strict=True)]
            worst = int(np.argmax(errors))
            at = [float(x[worst]) for x in operands]
            assert errors[worst] <= BOUND, f"{name}{at}: {float(errors[worst])} units"


if __name__ == "__main__":
    json.dump(values(), sys.stdout)
