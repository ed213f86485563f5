"""A model for PyTorch, written by wootz: forward(params, x).

Parameters and results are dicts of arrays by name.
"""

import torch
import torch.nn.functional as F

LAYERS = ("layers.0.", "layers.1.", "layers.2.")


def layer(params, prefix, x):
    # norm1
    h = F.layer_norm(
        x, (32,), params[f"{prefix}norm1.weight"], params[f"{prefix}norm1.bias"]
    )
    # self_attn
    h1 = F.linear(
        h,
        params[f"{prefix}self_attn.in_proj_weight"],
        params[f"{prefix}self_attn.in_proj_bias"],
    )
    v = h1.reshape((2, 16, 3, 4, 8))
    v1, v2, v3 = v.unbind(2)
    h2 = F.scaled_dot_product_attention(
        v1.permute(0, 2, 1, 3),
        v2.permute(0, 2, 1, 3),
        v3.permute(0, 2, 1, 3),
        is_causal=True,
    )
    # self_attn.out_proj
    v4 = h2.permute(0, 2, 1, 3).reshape((2, 16, 32))
    h3 = F.linear(
        v4,
        params[f"{prefix}self_attn.out_proj.weight"],
        params[f"{prefix}self_attn.out_proj.bias"],
    )
    t = x + h3
    # norm2
    h4 = F.layer_norm(
        t, (32,), params[f"{prefix}norm2.weight"], params[f"{prefix}norm2.bias"]
    )
    # linear1
    h5 = F.linear(
        h4, params[f"{prefix}linear1.weight"], params[f"{prefix}linear1.bias"]
    )
    # activation
    h6 = F.gelu(h5)
    # linear2
    h7 = F.linear(
        h6, params[f"{prefix}linear2.weight"], params[f"{prefix}linear2.bias"]
    )
    return t + h7


@torch.compile
def forward(params, x):
    """x: i64[2, 16] -> logits: f32[2, 16, 100]"""
    # embedding
    h = F.embedding(x.clamp(0, 99), params["embedding.weight"])
    # position
    t = h + params["position.weight"]
    h1 = t
    for prefix in LAYERS:
        h1 = layer(params, prefix, h1)
    # norm
    h2 = F.layer_norm(h1, (32,), params["norm.weight"], params["norm.bias"])
    # head
    logits = F.linear(h2, params["embedding.weight"])
    return {"logits": logits}
