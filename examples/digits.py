"""Trains a multi-layer perceptron on scikit-learn's handwritten digits, saves it, loads it and predicts.

Run it with `python examples/digits.py`; it needs the packages numpy and scikit-learn.
"""

import sys

import numpy as np
import wootz as wz
from sklearn.datasets import load_digits
from wootz import nn

EPOCHS = 30
BATCH = 64


def progress(done: int, total: int, text: str) -> None:
    """A progress bar on a terminal; nothing in a pipe."""
    if sys.stderr.isatty():
        filled = 30 * done // total
        end = "\n" if done == total else ""
        print(f"\r[{'#' * filled}{'.' * (30 - filled)}] {done}/{total} {text}", end=end, file=sys.stderr, flush=True)


def main() -> None:
    """Trains, saves, loads, predicts."""
    digits = load_digits()
    images = (digits.data / 16).astype(np.float32)
    labels = digits.target.astype(np.int64)
    order = np.random.default_rng(0).permutation(len(images))
    held_out, train = order[: len(order) // 5], order[len(order) // 5 :]

    model = nn.mlp([64, 128, 64, 10])
    print(model.summary(x=wz.f32["B", 64]))
    step = wz.compile(
        nn.training(model, loss=nn.cross_entropy, optimizer=nn.adamw(3e-3)),
        {"x": wz.f32[BATCH, 64], "y": wz.i64[BATCH]},
    )
    state = step.init(seed=0)
    rng = np.random.default_rng(1)
    for epoch in range(1, EPOCHS + 1):
        shuffled = rng.permutation(train)
        losses = []
        for start in range(0, len(shuffled) - BATCH + 1, BATCH):
            batch = shuffled[start : start + BATCH]
            state, out = step(state, x=images[batch], y=labels[batch])
            losses.append(out["loss"])
        progress(epoch, EPOCHS, f"loss {np.mean(losses):.4f}")

    wz.save("digits-mlp.safetensors", state.params)
    params = wz.load("digits-mlp.safetensors")
    # Without shapes: compiled for whatever batch comes.
    predict = wz.compile(model)
    predicted = predict(params, x=images[held_out])["logits"].argmax(axis=1)
    accuracy = (predicted == labels[held_out]).mean()
    print(f"accuracy on {len(held_out)} digits that were held out: {accuracy:.1%}")
    assert accuracy >= 0.97, accuracy


if __name__ == "__main__":
    main()
