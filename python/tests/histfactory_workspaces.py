"""Random workspaces, and the density of a workspace in mpmath: what the tests of HistFactory models share."""

import copy
import random
from types import SimpleNamespace

import mpmath as mp
import numpy as np
import pyhf
import pytest
import wootz as wz

# Of tests that compare with pyhf's fits.
AGAINST_PYHF = [
    pytest.mark.usefixtures("tight_pyhf"),
    pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pyhf"),
]

LUMI = {"name": "lumi", "auxdata": [1.0], "sigmas": [0.02], "inits": [1.0], "bounds": [[0.5, 1.5]]}


def both(spec):
    """The workspace in wootz; pyhf's model of it and its data."""
    theirs = pyhf.Workspace(spec)
    model = theirs.model()
    return wz.histfactory.load(spec), model, np.asarray(theirs.data(model))


def random_workspace(seed: int) -> dict:
    """A valid workspace with all modifiers, parameters shared between types, samples and channels, and zeros."""
    rng = random.Random(seed)
    names = [f"channel_{i}" for i in range(rng.randint(1, 3))]
    rng.shuffle(names)
    channels, observations, unique = [], [], 0
    for name in names:
        bins = rng.randint(1, 4)
        samples = []
        for sample in rng.sample(["bkg", "fakes", "sig"], rng.randint(1, 3)):
            yields = [rng.uniform(1, 60) if rng.random() < 0.9 else 0.0 for _ in range(bins)]

            def errors(yields=yields):
                return [n * rng.uniform(0.01, 0.2) if rng.random() < 0.8 else 0.0 for n in yields]

            modifiers = []
            for alpha in ("a0", "a1", "a2", "a3"):
                if rng.random() < 0.5:
                    data = {"lo": rng.uniform(0.6, 1.1), "hi": rng.uniform(0.9, 1.5)}
                    modifiers.append({"name": alpha, "type": "normsys", "data": data})
                if rng.random() < 0.5:
                    low = [n * rng.uniform(0.8, 1.1) for n in yields]
                    high = [n * rng.uniform(0.9, 1.2) for n in yields]
                    data = {"lo_data": low, "hi_data": high}
                    modifiers.append({"name": alpha, "type": "histosys", "data": data})
            for factor in ("mu", "k1", "k2"):
                if rng.random() < 0.4:
                    modifiers.append({"name": factor, "type": "normfactor", "data": None})
            if rng.random() < 0.5:
                modifiers.append({"name": "lumi", "type": "lumi", "data": None})
            if rng.random() < 0.6:
                modifiers.append({"name": f"stat_{name}", "type": "staterror", "data": errors()})
            if rng.random() < 0.3:
                modifiers.append({"name": f"shape_{unique}", "type": "shapesys", "data": errors()})
                unique += 1
            if rng.random() < 0.2:
                modifiers.append({"name": f"free_{name}", "type": "shapefactor", "data": None})
            rng.shuffle(modifiers)
            samples.append({"name": sample, "data": yields, "modifiers": modifiers})
        channels.append({"name": name, "samples": samples})
        observations.append({"name": name, "data": [float(rng.randint(0, 100)) for _ in range(bins)]})
    first = channels[0]["samples"][0]["modifiers"]
    if not any(m["name"] == "mu" for m in first):
        first.append({"name": "mu", "type": "normfactor", "data": None})
    parameters = [dict(LUMI)]
    if rng.random() < 0.5:
        parameters.append({"name": "mu", "inits": [2.0], "bounds": [[-5.0, 20]], "fixed": rng.random() < 0.3})
    if rng.random() < 0.3:
        parameters.append({"name": "a0", "auxdata": [0.5], "fixed": True})
    return {
        "channels": channels,
        "observations": observations,
        "measurements": [{"name": "measurement", "config": {"poi": "mu", "parameters": parameters}}],
        "version": "1.0.0",
    }


def physical(spec: dict, model, seed: int) -> dict:
    """The workspace with variations whose sides move yields in opposite directions, and with counts drawn at a random point of pyhf's `model`."""
    spec = copy.deepcopy(spec)
    for channel in spec["channels"]:
        for sample in channel["samples"]:
            for modifier in sample["modifiers"]:
                data, yields = modifier["data"], sample["data"]
                if modifier["type"] == "normsys":
                    data["lo"], data["hi"] = min(data["lo"], 0.98), max(data["hi"], 1.02)
                elif modifier["type"] == "histosys":
                    data["lo_data"] = [min(x, 0.98 * n) for x, n in zip(data["lo_data"], yields, strict=True)]
                    data["hi_data"] = [max(x, 1.02 * n) for x, n in zip(data["hi_data"], yields, strict=True)]
    config = SimpleNamespace(
        suggested_init=model.config.suggested_init(), suggested_bounds=model.config.suggested_bounds()
    )
    point = np.array(random_points(config, 2, seed)[1])
    rates = np.asarray(model.expected_data(point, include_auxdata=False))
    counts = np.random.default_rng(seed).poisson(np.maximum(rates, 0.0))
    for observation in spec["observations"]:
        observation["data"] = [float(n) for n in counts[model.config.channel_slices[observation["name"]]]]
    return spec


def with_background(spec: dict, seed: int) -> dict:
    """The workspace with one more sample in each channel, so that something is expected without a signal, too."""
    spec, rng = copy.deepcopy(spec), random.Random(seed)
    for channel in spec["channels"]:
        yields = [rng.uniform(20, 60) for _ in channel["samples"][0]["data"]]
        modifier = {"name": "a0", "type": "normsys", "data": {"lo": 0.9, "hi": 1.1}}
        channel["samples"].append({"name": "flat", "data": yields, "modifiers": [modifier]})
    return spec


def random_points(config, count: int, seed: int) -> list[list[float]]:
    """The initial values, and points around them within bounds."""
    rng = random.Random(seed)
    points = [list(map(float, config.suggested_init))]
    for _ in range(count - 1):
        point = []
        for init, (low, high) in zip(config.suggested_init, config.suggested_bounds, strict=True):
            width = 1.2 if low < -1 else 0.2
            point.append(min(max(float(init) + rng.gauss(0, width), float(low)), float(high)))
        points.append(point)
    return points


def mp_logpdf(spec: dict, config, pars, data):
    """The log-density from its definition, in mpmath numbers; codes 4 and 4p, no measurement overrides but lumi's."""
    theta = {name: [mp.mpf(p) for p in pars[config.par_slice(name)]] for name in config.par_order}
    data = [mp.mpf(x) for x in data]
    channels = sorted(spec["channels"], key=lambda c: c["name"])
    total = mp.mpf(0)
    position = 0
    for channel in channels:
        for b in range(len(channel["samples"][0]["data"])):
            rate = sum(_mp_rate(sample, b, theta) for sample in channel["samples"])
            total += _mp_poisson(data[position], rate)
            position += 1
    for name in config.par_order:
        kinds = [(c, s, m) for c in channels for s in c["samples"] for m in s["modifiers"] if m["name"] == name]
        for b, value in enumerate(theta[name]):
            kind = kinds[0][2]["type"]
            if kind in ("normfactor", "shapefactor"):
                continue
            if kind == "shapesys":
                _, sample, modifier = kinds[0]
                tau = (mp.mpf(sample["data"][b]) / mp.mpf(modifier["data"][b])) ** 2
                total += _mp_poisson(data[position], tau * value)
            else:
                width = mp.mpf(1)
                if kind == "staterror":
                    squares = sum(mp.mpf(m["data"][b]) ** 2 for _, _, m in kinds)
                    width = mp.sqrt(squares) / sum(mp.mpf(s["data"][b]) for _, s, _ in kinds)
                elif kind == "lumi":
                    lumi = next(p for p in spec["measurements"][0]["config"]["parameters"] if p["name"] == "lumi")
                    width = mp.mpf(lumi["sigmas"][0])
                pull = (data[position] - value) / width
                total += -pull * pull / 2 - mp.log(width) - mp.log(2 * mp.pi) / 2
            position += 1
    return total


def _mp_rate(sample: dict, b: int, theta: dict):
    shift, factor = mp.mpf(0), mp.mpf(1)
    for modifier in sample["modifiers"]:
        values, data, kind = theta[modifier["name"]], modifier["data"], modifier["type"]
        if kind == "histosys":
            nominal = mp.mpf(sample["data"][b])
            up, down = mp.mpf(data["hi_data"][b]) - nominal, nominal - mp.mpf(data["lo_data"][b])
            shift += _mp_code4p(values[0], up, down)
        elif kind == "normsys":
            factor *= _mp_code4(values[0], mp.mpf(data["hi"]), mp.mpf(data["lo"]))
        elif kind in ("normfactor", "lumi"):
            factor *= values[0]
        else:
            factor *= values[b]
    return (mp.mpf(sample["data"][b]) + shift) * factor


def _mp_code4p(alpha, up, down):
    if alpha > 1:
        return alpha * up
    if alpha < -1:
        return alpha * down
    even = alpha**2 * (15 + alpha**2 * (3 * alpha**2 - 10)) / 16
    return alpha * (up + down) / 2 + even * (up - down)


def _mp_code4(alpha, hi, lo):
    if alpha >= 1:
        return hi**alpha
    if alpha <= -1:
        return lo**-alpha
    # Value, slope and curvature are those of the exponentials at ±1: six equations for six coefficients.
    rows, right = mp.matrix(6, 6), mp.matrix(6, 1)
    for i, (x, base, sign) in enumerate(((1, hi, 1), (-1, lo, -1))):
        for power in range(1, 7):
            rows[3 * i, power - 1] = mp.mpf(x) ** power
            rows[3 * i + 1, power - 1] = power * mp.mpf(x) ** (power - 1)
            rows[3 * i + 2, power - 1] = power * (power - 1) * mp.mpf(x) ** (power - 2) if power > 1 else 0
        right[3 * i] = base - 1
        right[3 * i + 1] = sign * mp.log(base) * base
        right[3 * i + 2] = mp.log(base) ** 2 * base
    coefficients = mp.lu_solve(rows, right)
    return 1 + sum(coefficients[p - 1] * alpha**p for p in range(1, 7))


def _mp_poisson(n, rate):
    return (n * mp.log(rate) if n else 0) - rate - mp.loggamma(n + 1)


# Which entries of a workspace each template is made of.
TEMPLATES = {
    "nominal": (None, None),
    "histosys_lo": ("histosys", "lo_data"),
    "histosys_hi": ("histosys", "hi_data"),
    "normsys_lo": ("normsys", "lo"),
    "normsys_hi": ("normsys", "hi"),
    "staterror": ("staterror", None),
    "shapesys": ("shapesys", None),
}


def template_places(spec: dict, name: str) -> list[tuple]:
    """(container, key) of every element of a template, in the template's order."""
    kind, field = TEMPLATES[name]
    places = []
    for channel in sorted(spec["channels"], key=lambda c: c["name"]):
        for sample in sorted(channel["samples"], key=lambda s: s["name"]):
            if kind is None:
                places += [(sample["data"], b) for b in range(len(sample["data"]))]
                continue
            for modifier in sorted(sample["modifiers"], key=lambda m: (m["name"], m["type"])):
                if modifier["type"] != kind:
                    continue
                data = modifier["data"]
                if kind == "normsys":
                    places.append((data, field))
                else:
                    values = data if field is None else data[field]
                    places += [(values, b) for b in range(len(values))]
    return places
