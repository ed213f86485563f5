"""A training step for JAX, written by wootz: step(state, x, y).

`state` and the results are dicts of arrays by name; a step gives the next state and the losses.
"""

from functools import partial

import jax
import jax.numpy as jnp

PARAMETERS = ("weight", "bias")


def update(param, gradient, exp_avg, exp_avg_sq, t2, t1):
    """What takes the places of a parameter and of what is kept for it."""
    new_exp_avg = exp_avg + (gradient - exp_avg) * 0.1
    new_exp_avg_sq = exp_avg_sq * 0.999 + gradient * gradient * 0.001
    new_param = (
        param * 0.99999 - new_exp_avg / (jnp.sqrt(new_exp_avg_sq) * t2 + 1e-8) * t1
    )
    return new_param, new_exp_avg, new_exp_avg_sq


@partial(jax.jit, donate_argnums=0)
def step(state, x, y):
    """x: f32[32, 784], y: i64[32] -> loss: f32[]"""
    h = x @ state["weight"].T + state["bias"]
    # loss
    rows = jnp.take_along_axis(
        jax.nn.log_softmax(h), jnp.clip(y, 0, 9)[..., None], axis=1
    )[..., 0]
    loss = (-rows).mean(axis=0)
    v = (jnp.clip(y, 0, 9)[:, None] == jnp.arange(10)).astype(jnp.float32)
    t = (jax.nn.softmax(h) - v) * 0.03125
    # optimizer
    step1 = state["optimizer.step"] + 1
    v1 = step1.astype(jnp.float32)
    t1 = 0.001 / -jnp.expm1(v1 * -0.105360515)
    t2 = 1.0 / jnp.sqrt(-jnp.expm1(v1 * -0.0010005003))
    gradient_of = {"weight": t.T @ x, "bias": t.sum(axis=0)}
    state = {**state, "optimizer.step": step1}
    for name in PARAMETERS:
        exp_avg = f"optimizer.exp_avg.{name}"
        exp_avg_sq = f"optimizer.exp_avg_sq.{name}"
        state[name], state[exp_avg], state[exp_avg_sq] = update(
            state[name], gradient_of[name], state[exp_avg], state[exp_avg_sq], t2, t1
        )
    return state, {"loss": loss}
