"""A model for JAX, written by wootz: forward(rows, bound).

Parameters and results are dicts of arrays by name.
"""

import jax
import jax.numpy as jnp
from jax import lax


def step(x, x1):
    t = x + x1
    return t, t


def goes_on(x, x1):
    return x > x1


def step1(x, x1):
    return x * 0.5


def then(x, x1):
    h = lax.while_loop(
        lambda carry: goes_on(carry, x1), lambda carry: step1(carry, x1), x
    )
    return h


def otherwise(x, x1):
    return -x


@jax.jit
def forward(rows, bound):
    """rows: f32[5, 4], bound: f32[] -> sums: f32[5, 4], size: f32[]"""
    v = jnp.zeros((4,), dtype=jnp.float32)
    carry, sums = lax.scan(step, v, rows)
    largest = carry.max(axis=0)
    size = lax.cond(bound < largest, then, otherwise, largest, bound)
    return {"sums": sums, "size": size}
