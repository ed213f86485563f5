"""The statistical model of the comparison: one channel, a signal and two backgrounds, with every kind of systematic that has shapes."""

from dataclasses import dataclass

import numpy as np

BINS = 40
NORMALISATIONS = {"signal": ["lumi_n"], "top": ["lumi_n", "top_n"], "jets": ["lumi_n", "jets_n"]}
SHAPES = {"signal": ["scale"], "top": ["scale", "resolution"], "jets": ["scale", "fakes"]}


def workspace():
    """As JSON, the format of pyhf."""
    rng = np.random.default_rng(0)
    x = np.linspace(0, 1, BINS)
    yields = {
        "signal": 8 * np.exp(-(((x - 0.6) / 0.1) ** 2)) + 0.1,
        "top": 60 * np.exp(-2 * x) + 5,
        "jets": 40 * np.exp(-4 * x) + 2,
    }
    samples = []
    for name, nominal in yields.items():
        modifiers = [{"name": "mu", "type": "normfactor", "data": None}] * (name == "signal")
        for parameter in NORMALISATIONS[name]:
            data = {"hi": 1 + rng.uniform(0.02, 0.1), "lo": 1 - rng.uniform(0.02, 0.1)}
            modifiers.append({"name": parameter, "type": "normsys", "data": data})
        for parameter in SHAPES[name]:
            tilt = rng.uniform(0.05, 0.15) * (x - 0.5)
            data = {"hi_data": list(nominal * (1 + tilt)), "lo_data": list(nominal * (1 - 0.8 * tilt))}
            modifiers.append({"name": parameter, "type": "histosys", "data": data})
        errors = list(nominal * rng.uniform(0.02, 0.08, BINS))
        modifiers.append({"name": "mc", "type": "staterror", "data": errors})
        samples.append({"name": name, "data": list(nominal), "modifiers": modifiers})
    observed = [float(round(n)) for n in sum(yields.values())]
    return {
        "channels": [{"name": "region", "samples": samples}],
        "observations": [{"name": "region", "data": observed}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }


@dataclass
class Arrays:
    """The workspace as an engineer lays it out for a density written by hand. Shapes: samples S, bins B, parameters P."""

    nominal: np.ndarray  # [S, B]
    scales: np.ndarray  # [S] whether mu scales the sample
    high: np.ndarray  # [S, N] factors at +1, 1 where a parameter does not act
    low: np.ndarray  # [S, N]
    coefficients: np.ndarray  # [6, S, N] of the polynomial between -1 and 1
    linear: np.ndarray  # [S, H, B]
    bent: np.ndarray  # [S, H, B]
    centres: np.ndarray  # [C] the parameters that Gaussians constrain, in the order of the auxiliary data
    widths: np.ndarray  # [C]
    # Where the parameters are.
    mu: int
    normalisations: np.ndarray  # [N]
    shapes: np.ndarray  # [H]
    mc: np.ndarray  # [B]


def polynomial(high, low):
    """The polynomial of degree 6 that meets high**a at 1 and low**-a at -1 with two derivatives, and 1 at 0."""
    at = np.array([1.0, -1.0])
    powers = np.arange(1, 7)
    rows, wanted = [], []
    for a, base, sign in zip(at, (high, low), (1, -1)):
        rate = sign * np.log(base)
        rows += [a**powers, powers * a ** (powers - 1), powers * (powers - 1) * a ** (powers - 2.0)]
        wanted += [base - 1, rate * base, rate**2 * base]
    return np.linalg.solve(np.array(rows), np.array(wanted).reshape(6, -1)).reshape(6, *high.shape)


def arrays(spec, order):
    """`order`: the name of every parameter, one for each of its elements."""
    samples = spec["channels"][0]["samples"]
    norms = sorted({p for names in NORMALISATIONS.values() for p in names})
    shapes = sorted({p for names in SHAPES.values() for p in names})
    nominal = np.array([s["data"] for s in samples])
    high, low = np.ones((len(samples), len(norms))), np.ones((len(samples), len(norms)))
    linear = np.zeros((len(samples), len(shapes), BINS))
    bent, variance = np.zeros_like(linear), np.zeros(BINS)
    for i, sample in enumerate(samples):
        for modifier in sample["modifiers"]:
            name, data = modifier["name"], modifier["data"]
            if modifier["type"] == "normsys":
                high[i, norms.index(name)], low[i, norms.index(name)] = data["hi"], data["lo"]
            elif modifier["type"] == "histosys":
                up, down = np.array(data["hi_data"]) - nominal[i], nominal[i] - np.array(data["lo_data"])
                linear[i, shapes.index(name)], bent[i, shapes.index(name)] = (up + down) / 2, (up - down) / 16
            elif modifier["type"] == "staterror":
                variance += np.array(data) ** 2

    def where(name):
        return np.array([i for i, other in enumerate(order) if other == name])

    mc, mu = where("mc"), int(where("mu")[0])
    alphas = [i for i, name in enumerate(order) if name not in ("mu", "mc")]
    return Arrays(
        nominal=nominal,
        scales=np.array([s["name"] == "signal" for s in samples]),
        high=high,
        low=low,
        coefficients=polynomial(high, low),
        linear=linear,
        bent=bent,
        centres=np.concatenate([alphas, mc]),
        widths=np.concatenate([np.ones(len(alphas)), np.sqrt(variance) / nominal.sum(0)]),
        mu=mu,
        normalisations=np.array([where(n)[0] for n in norms]),
        shapes=np.array([where(n)[0] for n in shapes]),
        mc=mc,
    )
