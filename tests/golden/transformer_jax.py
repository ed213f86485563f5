"""A model for JAX, written by wootz: forward(params, x).

Parameters and results are dicts of arrays by name.
"""

import jax
import jax.numpy as jnp
from jax import lax

LAYERS = ("layers.0.", "layers.1.", "layers.2.")


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


@jax.jit
def forward(params, x):
    """x: i64[2, 16] -> logits: f32[2, 16, 100]"""
    # embedding
    rows = params["embedding.weight"][jnp.clip(x, 0, 99)]
    # position
    t = rows + params["position.weight"]
    h = t
    for prefix in LAYERS:
        h = layer(params, prefix, h)
    # norm
    h1 = layer_norm(h, params["norm.weight"], params["norm.bias"])
    # head
    logits = h1 @ params["embedding.weight"].T
    return {"logits": logits}
