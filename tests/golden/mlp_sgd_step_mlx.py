"""A training step for MLX, written by wootz: step(state, x, y).

`state` and the results are dicts of arrays by name; a step gives the next state and the losses.
"""

import mlx.core as mx
from mlx import nn

PARAMETERS = ("0.weight", "0.bias", "2.weight", "2.bias")


def update(param, gradient):
    """What takes the places of a parameter and of what is kept for it."""
    return param - gradient * 0.01


@mx.compile
def step(state, x, y):
    """x: f32[32, 784], y: i64[32] -> loss: f32[]"""
    # 0
    h = x @ state["0.weight"].T + state["0.bias"]
    # 1
    h1 = nn.relu(h)
    # 2
    h2 = h1 @ state["2.weight"].T + state["2.bias"]
    # loss
    loss = nn.losses.cross_entropy(h2, mx.clip(y, 0, 9), reduction="mean")
    v = (mx.clip(y, 0, 9)[:, None] == mx.arange(10, dtype=mx.int64)).astype(mx.float32)
    t = (mx.softmax(h2, axis=1) - v) * 0.03125
    # 2
    h3 = t @ state["2.weight"]
    # 1
    h4 = mx.where(h1 > 0, h3, 0.0)
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
