"""Trains a classifier on what an analysis will quote, and by cross-entropy, and compares what the analysis then quotes.

A search with two measured quantities: a signal beside a background whose position is known with a systematic uncertainty along the first of
them, the one that separates better. Cross-entropy knows nothing of that; `SignificanceLoss` profiles it. Both classifiers are judged
alike: on held-out events, in hard bins whose edges are chosen on the training events, by the significance expected with everything profiled.

    python examples/significance.py [--seeds 5] [--steps 150] [--events 4000]

Needs PyTorch.
"""

import argparse
import sys

import numpy as np
import wootz as wz

try:
    import torch
    from torch import nn
except ImportError:
    print("skipped: PyTorch is not installed (pip install torch)")
    sys.exit(0)

SIGNAL, BACKGROUND = 60.0, 1000.0  # expected events
SHIFT = 0.5  # of the background along the first axis, at one standard deviation
LEAST = 2.0  # the least background of a bin that is fitted


def events(count, seed):
    """Signal, background, and the background shifted down and up: `[count, 2]` each."""
    rng = np.random.default_rng(seed)
    background = rng.normal([0.0, 0.0], 1.0, (count, 2))
    samples = {
        "signal": rng.normal([1.6, 1.2], [0.6, 0.6], (count, 2)),
        "nominal": background,
        "down": background - [SHIFT, 0.0],
        "up": background + [SHIFT, 0.0],
    }
    return {name: torch.tensor(x, dtype=torch.float32) for name, x in samples.items()}


def workspace(bins):
    """One channel of so many bins; its templates are placeholders that each step replaces."""
    flat = [BACKGROUND / bins] * bins
    shape = {"hi_data": [1.01 * b for b in flat], "lo_data": [0.99 * b for b in flat]}
    samples = [
        {"name": "signal", "data": [1.0] * bins, "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
        {
            "name": "background",
            "data": flat,
            "modifiers": [
                {"name": "shift", "type": "histosys", "data": shape},
                {"name": "scale", "type": "normsys", "data": {"hi": 1.05, "lo": 0.95}},
            ],
        },
    ]
    return wz.histfactory.load(
        {
            "version": "1.0.0",
            "channels": [{"name": "SR", "samples": samples}],
            "observations": [{"name": "SR", "data": flat}],
            "measurements": [{"name": "search", "config": {"poi": "mu", "parameters": []}}],
        }
    )


def templates(histogram, network, sample, picked=slice(None)):
    """The channel's templates from scored events."""
    filled = {}
    for name, x in sample.items():
        scores = network(x[picked])[:, 0]
        expected = SIGNAL if name == "signal" else BACKGROUND
        filled[name] = histogram(scores, scale=expected / len(scores))
    nominal, down, up = (filled[name].clamp(min=LEAST) for name in ("nominal", "down", "up"))
    return {"SR": {"signal": filled["signal"], "background": {"nominal": nominal, "shift": (down, up)}}}


def classifier():
    return nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1), nn.Sigmoid())


def train(network, loss_of, steps, count, seed, rate=5e-3, batch=1024):
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(torch.tensor(rng.choice(count, min(batch, count), replace=False))).backward()
        optimizer.step()
    return network


def judged(network, train_sample, test_sample):
    """The expected significance on held-out events, in bins that do best on the training events."""
    with torch.no_grad():
        scores = {name: network(x)[:, 0] for name, x in train_sample.items()}
        best, best_edges = -1.0, None
        for bins in (2, 3, 4, 6, 8):
            for of in ("signal", "nominal"):
                inner = torch.quantile(scores[of].double(), torch.linspace(0, 1, bins + 1).double()[1:-1])
                edges = torch.unique(torch.cat([torch.tensor([0.0]), inner, torch.tensor([1.0])]))
                z = hard(network, edges, train_sample)
                best, best_edges = max((best, best_edges), (z, edges), key=lambda pair: pair[0])
        return hard(network, best_edges, test_sample)


def hard(network, edges, sample):
    histogram = wz.torch.SoftHistogram(edges, overflow="clip", hard_forward=True)
    loss = wz.torch.SignificanceLoss(workspace(len(edges) - 1), {"SR": "signal"}, convention="recomputed")
    loss(templates(histogram, network, sample))
    return loss.z0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--events", type=int, default=4000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    names = ("cross-entropy", "SignificanceLoss")
    found: dict[str, list[float]] = {name: [] for name in names}
    for seed in range(args.seeds):
        sample, held_out = events(args.events, seed), events(5 * args.events, 1000 + seed)

        torch.manual_seed(seed)
        network = classifier()

        def cross_entropy(picked, network=network, sample=sample):
            scores = torch.cat([network(sample[name][picked])[:, 0] for name in ("signal", "nominal")])
            labels = torch.cat([torch.ones(len(picked)), torch.zeros(len(picked))])
            return nn.functional.binary_cross_entropy(scores, labels)

        train(network, cross_entropy, args.steps, args.events, seed)
        found["cross-entropy"].append(judged(network, sample, held_out))

        torch.manual_seed(seed)
        network = classifier()
        bins = 6
        histogram = wz.torch.SoftHistogram(np.linspace(0, 1, bins + 1), overflow="clip")
        loss = wz.torch.SignificanceLoss(workspace(bins), {"SR": "signal"})

        def significance(picked, network=network, sample=sample, histogram=histogram, loss=loss):
            return loss(templates(histogram, network, sample, picked))

        train(network, significance, args.steps, args.events, seed)
        found["SignificanceLoss"].append(judged(network, sample, held_out))
        print(f"seed {seed}: " + ", ".join(f"{name} {values[-1]:.3f}" for name, values in found.items()))
    means = {}
    for name, values in found.items():
        means[name] = np.mean(values)
        spread = np.std(values, ddof=1) if len(values) > 1 else float("nan")
        print(f"{name}: expected significance {means[name]:.3f} ± {spread:.3f} (spread of {len(values)} seeds)")
    differences = np.subtract(found["SignificanceLoss"], found["cross-entropy"])
    ahead = int((differences > 0).sum())
    print(f"{max(means, key=means.__getitem__)} wins by {abs(differences.mean()):.3f} in the mean; SignificanceLoss is ahead in {ahead} of {len(differences)} seeds")


if __name__ == "__main__":
    main()
