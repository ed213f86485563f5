"""A training step for JAX, written by wootz: step(state, x, y).

`state` and the results are dicts of arrays by name; a step gives the next state and the losses.
"""

from functools import partial

import jax
import jax.numpy as jnp


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
    h1 = t.T @ x
    total = t.sum(axis=0)
    # optimizer
    step1 = state["optimizer.step"] + 1
    v1 = step1.astype(jnp.float32)
    t1 = 0.001 / -jnp.expm1(v1 * -0.105360515)
    t2 = 1.0 / jnp.sqrt(-jnp.expm1(v1 * -0.0010005003))
    # optimizer.weight
    exp_avg_weight = (
        state["optimizer.exp_avg.weight"]
        + (h1 - state["optimizer.exp_avg.weight"]) * 0.1
    )
    exp_avg_sq_weight = state["optimizer.exp_avg_sq.weight"] * 0.999 + h1 * h1 * 0.001
    t3 = exp_avg_weight / (jnp.sqrt(exp_avg_sq_weight) * t2 + 1e-8) * t1
    weight = state["weight"] * 0.99999 - t3
    # optimizer.bias
    exp_avg_bias = (
        state["optimizer.exp_avg.bias"]
        + (total - state["optimizer.exp_avg.bias"]) * 0.1
    )
    exp_avg_sq_bias = state["optimizer.exp_avg_sq.bias"] * 0.999 + total * total * 0.001
    bias = (
        state["bias"] * 0.99999
        - exp_avg_bias / (jnp.sqrt(exp_avg_sq_bias) * t2 + 1e-8) * t1
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
