"""A training step for JAX, written by wootz: step(state, x, y).

`state` and the results are dicts of arrays by name; a step gives the next state and the losses.

What equal layers hold comes in stacked along a new first axis:
`layers.*.norm1.weight` is
`layers.0.norm1.weight`, `layers.1.norm1.weight`,
and so on.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

LAYER_PARAMETERS = (
    "norm1.weight",
    "norm1.bias",
    "self_attn.in_proj_weight",
    "self_attn.in_proj_bias",
    "self_attn.out_proj.weight",
    "self_attn.out_proj.bias",
    "norm2.weight",
    "norm2.bias",
    "linear1.weight",
    "linear1.bias",
    "linear2.weight",
    "linear2.bias",
)
PARAMETERS = (
    "embedding.weight",
    "position.weight",
    "layers.*.norm1.weight",
    "layers.*.norm1.bias",
    "layers.*.self_attn.in_proj_weight",
    "layers.*.self_attn.in_proj_bias",
    "layers.*.self_attn.out_proj.weight",
    "layers.*.self_attn.out_proj.bias",
    "layers.*.norm2.weight",
    "layers.*.norm2.bias",
    "layers.*.linear1.weight",
    "layers.*.linear1.bias",
    "layers.*.linear2.weight",
    "layers.*.linear2.bias",
    "norm.weight",
    "norm.bias",
)


def layer(params, prefix, x, x1):
    # norm1
    t = x - x.mean(axis=2)[:, :, None]
    t1 = (
        t
        * lax.rsqrt((t * t).mean(axis=2) + 1e-5)[:, :, None]
        * params[f"{prefix}norm1.weight"]
    )
    t2 = t1 + params[f"{prefix}norm1.bias"]
    # self_attn
    h = (
        t2 @ params[f"{prefix}self_attn.in_proj_weight"].T
        + params[f"{prefix}self_attn.in_proj_bias"]
    )
    v = h.reshape((2, 16, 3, 4, 8))
    h1 = jnp.einsum(
        "abcd,aecd->acbe",
        v[:, :, :1].reshape((2, 16, 4, 8)),
        v[:, :, 1:2].reshape((2, 16, 4, 8)),
    )
    t3 = jnp.where(x1, h1 * 0.35355338, -jnp.inf)
    largest = lax.stop_gradient(t3).max(axis=3)
    v1 = jnp.where(jnp.isfinite(largest), largest, 0.0)[:, :, :, None]
    exp = jnp.exp(t3 - v1)
    total = exp.sum(axis=3)
    h2 = jnp.einsum("abcd,adbe->abce", exp, v[:, :, 2:].reshape((2, 16, 4, 8)))
    v2 = (h2 / jnp.where(total == 0.0, 1.0, total)[:, :, :, None]).transpose(0, 2, 1, 3)
    # self_attn.out_proj
    h3 = (
        v2.reshape((2, 16, 32)) @ params[f"{prefix}self_attn.out_proj.weight"].T
        + params[f"{prefix}self_attn.out_proj.bias"]
    )
    t4 = x + h3
    # norm2
    t5 = t4 - t4.mean(axis=2)[:, :, None]
    t6 = (
        t5
        * lax.rsqrt((t5 * t5).mean(axis=2) + 1e-5)[:, :, None]
        * params[f"{prefix}norm2.weight"]
    )
    t7 = t6 + params[f"{prefix}norm2.bias"]
    # linear1
    h4 = t7 @ params[f"{prefix}linear1.weight"].T + params[f"{prefix}linear1.bias"]
    # activation
    h5 = jax.nn.gelu(h4, approximate=False)
    # linear2
    h6 = h5 @ params[f"{prefix}linear2.weight"].T + params[f"{prefix}linear2.bias"]
    return t4 + h6


def compute_loss(params, x, y):
    """The loss."""
    # embedding
    rows = params["embedding.weight"][jnp.clip(x, 0, 99)]
    # position
    t = rows + params["position.weight"]
    # layers.0.self_attn
    mask = jnp.arange(16, dtype=jnp.int32)[:, None] >= jnp.arange(16, dtype=jnp.int32)
    stacked = {name: params[f"layers.*.{name}"] for name in LAYER_PARAMETERS}
    h, _ = lax.scan(lambda h, own: (layer(own, "", h, mask), None), t, stacked)
    # norm
    t1 = h - h.mean(axis=2)[:, :, None]
    t2 = (
        t1
        * lax.rsqrt((t1 * t1).mean(axis=2) + 1e-5)[:, :, None]
        * params["norm.weight"]
    )
    t3 = t2 + params["norm.bias"]
    # head
    h1 = t3 @ params["embedding.weight"].T
    # loss
    rows1 = jnp.take_along_axis(
        jax.nn.log_softmax(h1), jnp.clip(y, 0, 99)[..., None], axis=2
    )[..., 0]
    return (-rows1).mean(axis=(0, 1))


def update(param, gradient, exp_avg, exp_avg_sq, t1, t):
    """What takes the places of a parameter and of what is kept for it."""
    new_exp_avg = exp_avg + (gradient - exp_avg) * 0.1
    new_exp_avg_sq = exp_avg_sq * 0.999 + gradient * gradient * 0.001
    new_param = (
        param * 0.9999 - new_exp_avg / (jnp.sqrt(new_exp_avg_sq) * t1 + 1e-8) * t
    )
    return new_param, new_exp_avg, new_exp_avg_sq


@partial(jax.jit, donate_argnums=0)
def step(state, x, y):
    """x: i64[2, 16], y: i64[2, 16] -> loss: f32[]"""
    params = {name: state[name] for name in PARAMETERS}
    value, gradients = jax.value_and_grad(compute_loss)(params, x, y)
    # optimizer
    step1 = state["optimizer.step"] + 1
    v = step1.astype(jnp.float32)
    t = 0.001 / -jnp.expm1(v * -0.105360515)
    t1 = 1.0 / jnp.sqrt(-jnp.expm1(v * -0.0010005003))
    state = {**state, "optimizer.step": step1}
    for name in PARAMETERS:
        exp_avg = f"optimizer.exp_avg.{name}"
        exp_avg_sq = f"optimizer.exp_avg_sq.{name}"
        state[name], state[exp_avg], state[exp_avg_sq] = update(
            state[name], gradients[name], state[exp_avg], state[exp_avg_sq], t1, t
        )
    return state, {"loss": value}
