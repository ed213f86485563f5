"""A model for JAX, written by wootz: forward(params, x).

Parameters and results are dicts of arrays by name.
"""

import jax
import jax.numpy as jnp
from jax import lax

LAYERS = ("layers.0.", "layers.1.", "layers.2.")


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


@jax.jit
def forward(params, x):
    """x: i64[2, 16] -> logits: f32[2, 16, 100]"""
    # embedding
    rows = params["embedding.weight"][jnp.clip(x, 0, 99)]
    # position
    t = rows + params["position.weight"]
    # layers.0.self_attn
    mask = jnp.arange(16, dtype=jnp.int32)[:, None] >= jnp.arange(16, dtype=jnp.int32)
    h = t
    for prefix in LAYERS:
        h = layer(params, prefix, h, mask)
    # norm
    t1 = h - h.mean(axis=2)[:, :, None]
    t2 = (
        t1
        * lax.rsqrt((t1 * t1).mean(axis=2) + 1e-5)[:, :, None]
        * params["norm.weight"]
    )
    t3 = t2 + params["norm.bias"]
    # head
    logits = t3 @ params["embedding.weight"].T
    return {"logits": logits}
