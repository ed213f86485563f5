"""Trains a small decoder-only transformer to write text, character by character, and lets it write some.

The text is Python's own language reference, which every Python brings along (it is what `help("if")` prints). Run it with
`python examples/characters.py [STEPS]`; it needs the package numpy. The default of 250 steps takes seconds and is enough for
words to take shape; a few thousand make sentences.
"""

import sys
from pydoc_data.topics import topics

import numpy as np
import wootz as wz
from wootz import nn

CONTEXT = 64
BATCH = 16


def progress(done: int, total: int, text: str) -> None:
    """A progress bar on a terminal; nothing in a pipe."""
    if sys.stderr.isatty():
        filled = 30 * done // total
        end = "\n" if done == total else ""
        print(f"\r[{'#' * filled}{'.' * (30 - filled)}] {done}/{total} {text}", end=end, file=sys.stderr, flush=True)


def sample(program, params, start: list[int], length: int, rng: np.random.Generator) -> list[int]:
    """`length` characters more, each drawn from what the model says follows the last ones (made bolder by a temperature of 0.7)."""
    text = list(start)
    for _ in range(length):
        window = text[-CONTEXT:]
        # What stands behind the last character does not change what the model says there.
        tokens = np.zeros((1, CONTEXT), np.int64)
        tokens[0, : len(window)] = window
        scores = program(params, x=tokens)["logits"][0, len(window) - 1] / 0.7
        weights = np.exp(scores - scores.max()).astype(np.float64)
        text.append(int(rng.choice(len(weights), p=weights / weights.sum())))
    return text


def main(steps: int) -> None:
    """Trains, judges, writes."""
    text = "".join(topics[name] for name in sorted(topics))
    characters = sorted(set(text))
    number = {c: i for i, c in enumerate(characters)}
    data = np.array([number[c] for c in text], np.int64)
    held_out, train = data[: len(data) // 10], data[len(data) // 10 :]
    rng = np.random.default_rng(0)

    def batch(source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        starts = rng.integers(0, len(source) - CONTEXT, BATCH)
        windows = np.stack([source[i : i + CONTEXT + 1] for i in starts])
        return windows[:, :-1], windows[:, 1:]

    model = nn.transformer(len(characters), CONTEXT, width=64, heads=4, layers=2)
    shapes = {"x": wz.i64[BATCH, CONTEXT], "y": wz.i64[BATCH, CONTEXT]}
    step = wz.compile(nn.training(model, loss=nn.cross_entropy, optimizer=nn.adamw(3e-3)), shapes)
    state = step.init(seed=0)
    for i in range(1, steps + 1):
        x, y = batch(train)
        state, out = step(state, x=x, y=y)
        progress(i, steps, f"loss {out['loss']:.3f}")

    params = state.params
    predict = wz.compile(model, {"x": wz.i64[BATCH, CONTEXT]})
    losses = []
    for _ in range(10):
        x, y = batch(held_out)
        scores = predict(params, x=x)["logits"].astype(np.float64)
        scores -= np.log(np.exp(scores).sum(-1, keepdims=True))
        losses.append(-np.take_along_axis(scores, y[..., None], -1).mean())
    shares = np.bincount(train, minlength=len(characters)) / len(train)
    blind = -np.log(np.maximum(shares, 1 / len(train)))[held_out].mean()
    print(f"nats a character on text that was held out: {np.mean(losses):.3f}; by frequency alone: {blind:.3f}")

    one = wz.compile(model, {"x": wz.i64[1, CONTEXT]})
    written = sample(one, params, [number[c] for c in "The statement "], 200, rng)
    print("".join(characters[i] for i in written))
    assert np.mean(losses) < 0.85 * blind, (np.mean(losses), blind)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 250)
