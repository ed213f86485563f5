"""A training step for NumPy, written by wootz: step(state, x, y).

`state` and the results are dicts of arrays by name; a step gives the next state and the losses.
"""

import numpy as np


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


def step(state, x, y):
    """x: f32[32, 784], y: i64[32] -> loss: f32[]"""
    h = x @ state["weight"].T + state["bias"]
    # loss
    rows = np.take_along_axis(
        log_softmax(h, axis=1), np.clip(y, 0, 9)[..., None], axis=1
    )[..., 0]
    loss = (-rows).mean(axis=0)
    v = (np.clip(y, 0, 9)[:, None] == np.arange(10)).astype(np.float32)
    t = (softmax(h, axis=1) - v) * 0.03125
    h1 = t.T @ x
    total = t.sum(axis=0)
    # optimizer
    step1 = state["optimizer.step"] + 1
    v1 = step1.astype(np.float32)
    t1 = 0.001 / -np.expm1(v1 * -0.105360515)
    t2 = 1.0 / np.sqrt(-np.expm1(v1 * -0.0010005003))
    # optimizer.weight
    exp_avg_weight = (
        state["optimizer.exp_avg.weight"]
        + (h1 - state["optimizer.exp_avg.weight"]) * 0.1
    )
    exp_avg_sq_weight = state["optimizer.exp_avg_sq.weight"] * 0.999 + h1 * h1 * 0.001
    t3 = exp_avg_weight / (np.sqrt(exp_avg_sq_weight) * t2 + 1e-8) * t1
    weight = state["weight"] * 0.99999 - t3
    # optimizer.bias
    exp_avg_bias = (
        state["optimizer.exp_avg.bias"]
        + (total - state["optimizer.exp_avg.bias"]) * 0.1
    )
    exp_avg_sq_bias = state["optimizer.exp_avg_sq.bias"] * 0.999 + total * total * 0.001
    bias = (
        state["bias"] * 0.99999
        - exp_avg_bias / (np.sqrt(exp_avg_sq_bias) * t2 + 1e-8) * t1
    )
    state = {
        "weight": weight,
        "bias": bias,
        "optimizer.step": step1,
        "optimizer.exp_avg.weight": exp_avg_weight,
        "optimizer.exp_avg.bias": exp_avg_bias,
        "optimizer.exp_avg_sq.weight": exp_avg_sq_weight,
        "optimizer.exp_avg_sq.bias": exp_avg_sq_bias,
    }
    return state, {"loss": loss}
