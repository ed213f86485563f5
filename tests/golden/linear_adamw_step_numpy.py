"""A training step for NumPy, written by wootz: step(state, x, y).

`state` and the results are dicts of arrays by name; a step gives the next state and the losses.
"""

import numpy as np

PARAMETERS = ("weight", "bias")


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


def update(param, gradient, exp_avg, exp_avg_sq, t2, t1):
    """What takes the places of a parameter and of what is kept for it."""
    new_exp_avg = exp_avg + (gradient - exp_avg) * 0.1
    new_exp_avg_sq = exp_avg_sq * 0.999 + gradient * gradient * 0.001
    new_param = (
        param * 0.99999 - new_exp_avg / (np.sqrt(new_exp_avg_sq) * t2 + 1e-8) * t1
    )
    return new_param, new_exp_avg, new_exp_avg_sq


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
    # optimizer
    step1 = state["optimizer.step"] + 1
    v1 = step1.astype(np.float32)
    t1 = 0.001 / -np.expm1(v1 * -0.105360515)
    t2 = 1.0 / np.sqrt(-np.expm1(v1 * -0.0010005003))
    gradient_of = {"weight": t.T @ x, "bias": t.sum(axis=0)}
    state = {**state, "optimizer.step": step1}
    for name in PARAMETERS:
        exp_avg = f"optimizer.exp_avg.{name}"
        exp_avg_sq = f"optimizer.exp_avg_sq.{name}"
        state[name], state[exp_avg], state[exp_avg_sq] = update(
            state[name], gradient_of[name], state[exp_avg], state[exp_avg_sq], t2, t1
        )
    return state, {"loss": loss}
