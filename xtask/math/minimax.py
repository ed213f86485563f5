"""Minimax polynomials by Remez' exchange algorithm, with coefficients rounded to a float format."""

from mpmath import lu_solve, matrix, mp, mpf

mp.dps = 45


def rounded(value, bits):
    """The nearest number with so many digits."""
    mantissa, exponent = mp.frexp(mpf(value))
    return mp.ldexp(mp.nint(mp.ldexp(mantissa, bits)), exponent - bits)


def remez(f, weight, exponents, a, b):
    """Coefficients c that minimize the largest |weight · (f − Σ cᵢ x^exponentᵢ)| on [a, b], and that maximum."""
    n = len(exponents)
    count = 40 * (n + 1)
    xs = [(a + b) / 2 - (b - a) / 2 * mp.cos(mp.pi * (i + mpf(1) / 2) / count) for i in range(count)]
    values, weights = [f(x) for x in xs], [weight(x) for x in xs]
    powers = [[x**e for e in exponents] for x in xs]
    reference = [round((i + 0.5) * count / (n + 1) - 0.5) for i in range(n + 1)]
    best = None
    for _ in range(30):
        system, right = matrix(n + 1, n + 1), matrix(n + 1, 1)
        for row, i in enumerate(reference):
            for column in range(n):
                system[row, column] = powers[i][column]
            system[row, n] = (-1) ** row / weights[i]
            right[row] = values[i]
        solution = lu_solve(system, right)
        found = [solution[i] for i in range(n)]
        errors = [
            weights[i] * (values[i] - sum(c * p for c, p in zip(found, powers[i]))) for i in range(count)
        ]
        worst = max(abs(e) for e in errors)
        if best is None or worst < best[1]:
            best = (found, worst)
        if worst <= abs(solution[n]) * mpf("1.001"):
            break
        reference = alternating(errors, n + 1)
        if reference is None:
            break
    return best


def alternating(errors, wanted):
    """The positions of `wanted` large errors of alternating signs."""
    extrema = []
    for i, error in enumerate(errors):
        if extrema and (errors[extrema[-1]] > 0) == (error > 0):
            if abs(error) > abs(errors[extrema[-1]]):
                extrema[-1] = i
        else:
            extrema.append(i)
    while len(extrema) > wanted:
        last = len(extrema) - 1
        least = min(range(last + 1), key=lambda j: abs(errors[extrema[j]]))
        if len(extrema) == wanted + 1:
            extrema.pop(0 if abs(errors[extrema[0]]) < abs(errors[extrema[-1]]) else last)
        elif least in (0, last):
            extrema.pop(least)
        else:
            left, right = least - 1, least + 1
            other = left if abs(errors[extrema[left]]) < abs(errors[extrema[right]]) else right
            for j in sorted((least, other), reverse=True):
                extrema.pop(j)
    return extrema if len(extrema) == wanted else None


def fit(f, weight, degree, a, b, bits, first=0, fixed=None, keep=None):
    """Rounded coefficients of x^first … x^degree, without the `fixed` ones, which come first.

    They are rounded one after the other, the lowest first, and the rest is fitted again each time, `keep` times; what is left
    then is rounded as it is. Returns all coefficients in order and the largest weighted error.
    """
    known = dict(enumerate(fixed or [], first))
    free = [e for e in range(first, degree + 1) if e not in known]
    while free:

        def rest(x, known=dict(known)):
            return f(x) - sum(c * x**e for e, c in known.items())

        found, _ = remez(rest, weight, free, mpf(a), mpf(b))
        if keep is not None and keep <= 0:
            known.update((e, rounded(c, bits)) for e, c in zip(free, found))
            break
        known[free[0]] = rounded(found[0], bits)
        free = free[1:]
        keep = None if keep is None else keep - 1
    points = [mpf(a) + (mpf(b) - mpf(a)) * i / 1000 for i in range(1001)]
    error = max(
        abs(weight(x) * (f(x) - sum(c * x**e for e, c in known.items()))) for x in points if x != 0
    )
    return [known[e] for e in sorted(known)], error
