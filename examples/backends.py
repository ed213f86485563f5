"""Trains on one backend, saves a checkpoint and goes on on another: which of two spirals a point lies on.

Run it with `python examples/backends.py` or, where JAX is installed, `python examples/backends.py jax cpu`; it needs NumPy.
"""

import argparse

import numpy as np
import wootz as wz
from wootz import nn

BATCH = 64


def spirals(rng, points):
    """Points on two spirals, and which one each is on."""
    turns, which = rng.uniform(0.5, 3.0, points), rng.integers(0, 2, points)
    angles = np.pi * (turns + which)
    places = np.stack([turns * np.cos(angles), turns * np.sin(angles)], axis=1) / 3 + rng.normal(0, 0.02, (points, 2))
    return places.astype(np.float32), which


def epochs(step, state, places, which, count):
    """Trains for some epochs; gives the state and the losses of the last one."""
    losses: list[float] = []
    for _ in range(count):
        losses = []
        for start in range(0, len(places) - BATCH + 1, BATCH):
            batch = slice(start, start + BATCH)
            state, out = step(state, x=places[batch], y=which[batch])
            losses.append(float(out["loss"]))
    return state, losses


def main() -> None:
    """Trains here, goes on there, predicts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("backends", nargs="*", default=["cpu", "numpy"], help="those that take turns: cpu, numpy, jax, torch, mlx")
    parser.add_argument("--epochs", type=int, default=15, help="on each")
    args = parser.parse_args()

    rng = np.random.default_rng(0)
    places, which = spirals(rng, 64 * BATCH)
    model = nn.mlp([2, 64, 64, 2])
    training = nn.training(model, loss=nn.cross_entropy, optimizer=nn.adamw(1e-2))

    checkpoint = ""
    for backend in args.backends:
        step = wz.compile(training, {"x": wz.f32[BATCH, 2], "y": wz.i64[BATCH]}, backend=backend)
        state = step.state(wz.load(checkpoint)) if checkpoint else step.init(seed=0)
        state, losses = epochs(step, state, places, which, args.epochs)
        print(f"{backend}: loss {np.mean(losses):.4f} after {args.epochs} epochs")
        # Names with arrays, whoever holds them.
        checkpoint = f"spirals-{backend}.safetensors"
        wz.save(checkpoint, {name: np.asarray(value) for name, value in state.items()})

    places, which = spirals(rng, 1000)
    predict = wz.compile(model, {"x": places})
    params = {name: value for name, value in wz.load(checkpoint).items() if name in predict.init()}
    accuracy = (predict(params, x=places)["logits"].argmax(axis=1) == which).mean()
    print(f"accuracy on {len(which)} other points: {accuracy:.1%}")
    assert accuracy >= 0.95, accuracy


if __name__ == "__main__":
    main()
