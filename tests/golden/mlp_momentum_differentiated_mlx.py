"""A training step for MLX, written by wootz: step(state, x, y).

`state` and the results are dicts of arrays by name; a step gives the next state and the losses.
"""

import mlx.core as mx
from mlx import nn

PARAMETERS = ("0.weight", "0.bias", "2.weight", "2.bias")


def compute_loss(params, x, y):
    """The loss."""
    # 0
    h = x @ params["0.weight"].T + params["0.bias"]
    # 1
    h1 = nn.relu(h)
    # 2
    h2 = h1 @ params["2.weight"].T + params["2.bias"]
    # loss
    h3 = nn.losses.cross_entropy(h2, mx.clip(y, 0, 9), reduction="mean")
    return h3


def update(param, gradient, momentum_buffer):
    """What takes the places of a parameter and of what is kept for it."""
    new_momentum_buffer = gradient + param * 0.0001 + momentum_buffer * 0.9
    new_param = param - new_momentum_buffer * 0.1
    return new_param, new_momentum_buffer


@mx.compile
def step(state, x, y):
    """x: f32[32, 784], y: i64[32] -> loss: f32[]"""
    params = {name: state[name] for name in PARAMETERS}
    value, gradients = mx.value_and_grad(compute_loss)(params, x, y)
    # optimizer
    step1 = state["optimizer.step"] + 1
    state = {**state, "optimizer.step": step1}
    for name in PARAMETERS:
        momentum_buffer = f"optimizer.momentum_buffer.{name}"
        state[name], state[momentum_buffer] = update(
            state[name], gradients[name], state[momentum_buffer]
        )
    return state, {"loss": value}
