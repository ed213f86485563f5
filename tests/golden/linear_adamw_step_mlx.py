"""A training step for MLX, written by wootz: step(state, x, y).

`state` and the results are dicts of arrays by name; a step gives the next state and the losses.
"""

import mlx.core as mx
from mlx import nn

PARAMETERS = ("weight", "bias")


def update(param, gradient, exp_avg, exp_avg_sq, t2, t1):
    """What takes the places of a parameter and of what is kept for it."""
    new_exp_avg = exp_avg + (gradient - exp_avg) * 0.1
    new_exp_avg_sq = exp_avg_sq * 0.999 + gradient * gradient * 0.001
    new_param = (
        param * 0.99999 - new_exp_avg / (mx.sqrt(new_exp_avg_sq) * t2 + 1e-8) * t1
    )
    return new_param, new_exp_avg, new_exp_avg_sq


@mx.compile
def step(state, x, y):
    """x: f32[32, 784], y: i64[32] -> loss: f32[]"""
    h = x @ state["weight"].T + state["bias"]
    # loss
    loss = nn.losses.cross_entropy(h, mx.clip(y, 0, 9), reduction="mean")
    v = (mx.clip(y, 0, 9)[:, None] == mx.arange(10, dtype=mx.int64)).astype(mx.float32)
    t = (mx.softmax(h, axis=1) - v) * 0.03125
    # optimizer
    step1 = state["optimizer.step"] + 1
    v1 = step1.astype(mx.float32)
    t1 = 0.001 / -mx.expm1(v1 * -0.105360515)
    t2 = 1.0 / mx.sqrt(-mx.expm1(v1 * -0.0010005003))
    gradient_of = {"weight": t.T @ x, "bias": t.sum(axis=0)}
    state = {**state, "optimizer.step": step1}
    for name in PARAMETERS:
        exp_avg = f"optimizer.exp_avg.{name}"
        exp_avg_sq = f"optimizer.exp_avg_sq.{name}"
        state[name], state[exp_avg], state[exp_avg_sq] = update(
            state[name], gradient_of[name], state[exp_avg], state[exp_avg_sq], t2, t1
        )
    return state, {"loss": loss}
