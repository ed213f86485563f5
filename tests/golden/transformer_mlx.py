"""A model for MLX, written by wootz: forward(params, x).

Parameters and results are dicts of arrays by name.
"""

import mlx.core as mx
from mlx import nn

LAYERS = ("layers.0.", "layers.1.", "layers.2.")


def layer(params, prefix, x):
    # norm1
    h = mx.fast.layer_norm(
        x, params[f"{prefix}norm1.weight"], params[f"{prefix}norm1.bias"], 1e-5
    )
    # self_attn
    h1 = (
        h @ params[f"{prefix}self_attn.in_proj_weight"].T
        + params[f"{prefix}self_attn.in_proj_bias"]
    )
    v = h1.reshape((2, 16, 3, 4, 8))
    h2 = mx.fast.scaled_dot_product_attention(
        v[:, :, 0].transpose(0, 2, 1, 3),
        v[:, :, 1].transpose(0, 2, 1, 3),
        v[:, :, 2].transpose(0, 2, 1, 3),
        scale=0.35355339059327373,
        mask="causal",
    )
    # self_attn.out_proj
    v1 = h2.transpose(0, 2, 1, 3).reshape((2, 16, 32))
    h3 = (
        v1 @ params[f"{prefix}self_attn.out_proj.weight"].T
        + params[f"{prefix}self_attn.out_proj.bias"]
    )
    t = x + h3
    # norm2
    h4 = mx.fast.layer_norm(
        t, params[f"{prefix}norm2.weight"], params[f"{prefix}norm2.bias"], 1e-5
    )
    # linear1
    h5 = h4 @ params[f"{prefix}linear1.weight"].T + params[f"{prefix}linear1.bias"]
    # activation
    h6 = nn.gelu(h5)
    # linear2
    h7 = h6 @ params[f"{prefix}linear2.weight"].T + params[f"{prefix}linear2.bias"]
    return t + h7


@mx.compile
def forward(params, x):
    """x: i64[2, 16] -> logits: f32[2, 16, 100]"""
    # embedding
    rows = params["embedding.weight"][mx.clip(x, 0, 99)]
    # position
    t = rows + params["position.weight"]
    h = t
    for prefix in LAYERS:
        h = layer(params, prefix, h)
    # norm
    h1 = mx.fast.layer_norm(h, params["norm.weight"], params["norm.bias"], 1e-5)
    # head
    logits = h1 @ params["embedding.weight"].T
    return {"logits": logits}
