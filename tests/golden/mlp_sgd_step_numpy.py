"""A training step for NumPy, written by wootz: step(state, x, y).

`state` and the results are dicts of arrays by name; a step gives the next state and the losses.
"""

import numpy as np

PARAMETERS = ("0.weight", "0.bias", "2.weight", "2.bias")


def softmax(x, axis):
    """exp(x) / sum(exp(x)) along the axis."""
    exp = np.exp(x - shift(x, axis))
    return exp / exp.sum(axis=axis, keepdims=True)


def log_softmax(x, axis):
    """x - log(sum(exp(x))) along the axis."""
    centred = x - shift(x, axis)
    return centred - np.log(np.exp(centred).sum(axis=axis, keepdims=True))


def shift(x, axis):
    """The maximum along the axis, 0 where it is not finite."""
    largest = x.max(axis=axis, keepdims=True, initial=-np.inf)
    return np.where(np.isfinite(largest), largest, x.dtype.type(0))


def update(param, gradient):
    """What takes the places of a parameter and of what is kept for it."""
    return param - gradient * 0.01


def step(state, x, y):
    """x: f32[32, 784], y: i64[32] -> loss: f32[]"""
    # 0
    h = x @ state["0.weight"].T + state["0.bias"]
    # 1
    h1 = np.maximum(h, 0.0)
    # 2
    h2 = h1 @ state["2.weight"].T + state["2.bias"]
    # loss
    rows = np.take_along_axis(
        log_softmax(h2, axis=1), np.clip(y, 0, 9)[..., None], axis=1
    )[..., 0]
    loss = (-rows).mean(axis=0)
    v = (np.clip(y, 0, 9)[:, None] == np.arange(10)).astype(np.float32)
    t = (softmax(h2, axis=1) - v) * 0.03125
    # 2
    h3 = t @ state["2.weight"]
    # 1
    h4 = np.where(h1 > 0, h3, 0.0)
    # optimizer
    step1 = state["optimizer.step"] + 1
    gradient_of = {
        "0.weight": h4.T @ x,
        "0.bias": h4.sum(axis=0),
        "2.weight": t.T @ h1,
        "2.bias": t.sum(axis=0),
    }
    state = {**state, "optimizer.step": step1}
    for name in PARAMETERS:
        state[name] = update(state[name], gradient_of[name])
    return state, {"loss": loss}
