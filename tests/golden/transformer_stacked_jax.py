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


def layer_norm(x, weight=None, bias=None, axis=-1, eps=1e-5):
    """x with mean 0 and variance 1 along the axis, times the weight, plus the bias."""
    x = x - x.mean(axis=axis, keepdims=True)
    x = x * lax.rsqrt((x * x).mean(axis=axis, keepdims=True) + eps)
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def layer(params, prefix, x):
    # norm1
    h = layer_norm(x, params[f"{prefix}norm1.weight"], params[f"{prefix}norm1.bias"])
    # self_attn
    h1 = (
        h @ params[f"{prefix}self_attn.in_proj_weight"].T
        + params[f"{prefix}self_attn.in_proj_bias"]
    )
    v = h1.reshape((2, 16, 3, 4, 8))
    h2 = jax.nn.dot_product_attention(
        v[:, :, 0], v[:, :, 1], v[:, :, 2], is_causal=True
    )
    # self_attn.out_proj
    h3 = (
        h2.reshape((2, 16, 32)) @ params[f"{prefix}self_attn.out_proj.weight"].T
        + params[f"{prefix}self_attn.out_proj.bias"]
    )
    t = x + h3
    # norm2
    h4 = layer_norm(t, params[f"{prefix}norm2.weight"], params[f"{prefix}norm2.bias"])
    # linear1
    h5 = h4 @ params[f"{prefix}linear1.weight"].T + params[f"{prefix}linear1.bias"]
    # activation
    h6 = jax.nn.gelu(h5, approximate=False)
    # linear2
    h7 = h6 @ params[f"{prefix}linear2.weight"].T + params[f"{prefix}linear2.bias"]
    return t + h7


def compute_loss(params, x, y):
    """The loss."""
    # embedding
    rows = params["embedding.weight"][jnp.clip(x, 0, 99)]
    # position
    t = rows + params["position.weight"]
    stacked = {name: params[f"layers.*.{name}"] for name in LAYER_PARAMETERS}
    h, _ = lax.scan(lambda h, own: (layer(own, "", h), None), t, stacked)
    # norm
    h1 = layer_norm(h, params["norm.weight"], params["norm.bias"])
    # head
    h2 = h1 @ params["embedding.weight"].T
    # loss
    rows1 = jnp.take_along_axis(
        jax.nn.log_softmax(h2), jnp.clip(y, 0, 99)[..., None], axis=2
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
