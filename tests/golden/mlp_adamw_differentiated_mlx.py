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


def update(param, gradient, exp_avg, exp_avg_sq, t1, t):
    """What takes the places of a parameter and of what is kept for it."""
    new_exp_avg = exp_avg + (gradient - exp_avg) * 0.1
    new_exp_avg_sq = exp_avg_sq * 0.999 + gradient * gradient * 0.001
    new_param = (
        param * 0.99999 - new_exp_avg / (mx.sqrt(new_exp_avg_sq) * t1 + 1e-8) * t
    )
    return new_param, new_exp_avg, new_exp_avg_sq


@mx.compile
def step(state, x, y):
    """x: f32[32, 784], y: i64[32] -> loss: f32[]"""
    params = {name: state[name] for name in PARAMETERS}
    value, gradients = mx.value_and_grad(compute_loss)(params, x, y)
    # optimizer
    step1 = state["optimizer.step"] + 1
    v = step1.astype(mx.float32)
    t = 0.001 / -mx.expm1(v * -0.105360515)
    t1 = 1.0 / mx.sqrt(-mx.expm1(v * -0.0010005003))
    state = {**state, "optimizer.step": step1}
    for name in PARAMETERS:
        exp_avg = f"optimizer.exp_avg.{name}"
        exp_avg_sq = f"optimizer.exp_avg_sq.{name}"
        state[name], state[exp_avg], state[exp_avg_sq] = update(
            state[name], gradients[name], state[exp_avg], state[exp_avg_sq], t1, t
        )
    return state, {"loss": value}
