"""A training step for MLX, written by wootz: step(state, x, y).

`state` and the results are dicts of arrays by name; a step gives the next state and the losses.
"""

import mlx.core as mx
from mlx import nn

LAYERS = ("layers.0.", "layers.1.", "layers.2.")
PARAMETERS = (
    "embedding.weight",
    "position.weight",
    "layers.0.norm1.weight",
    "layers.0.norm1.bias",
    "layers.0.self_attn.in_proj_weight",
    "layers.0.self_attn.in_proj_bias",
    "layers.0.self_attn.out_proj.weight",
    "layers.0.self_attn.out_proj.bias",
    "layers.0.norm2.weight",
    "layers.0.norm2.bias",
    "layers.0.linear1.weight",
    "layers.0.linear1.bias",
    "layers.0.linear2.weight",
    "layers.0.linear2.bias",
    "layers.1.norm1.weight",
    "layers.1.norm1.bias",
    "layers.1.self_attn.in_proj_weight",
    "layers.1.self_attn.in_proj_bias",
    "layers.1.self_attn.out_proj.weight",
    "layers.1.self_attn.out_proj.bias",
    "layers.1.norm2.weight",
    "layers.1.norm2.bias",
    "layers.1.linear1.weight",
    "layers.1.linear1.bias",
    "layers.1.linear2.weight",
    "layers.1.linear2.bias",
    "layers.2.norm1.weight",
    "layers.2.norm1.bias",
    "layers.2.self_attn.in_proj_weight",
    "layers.2.self_attn.in_proj_bias",
    "layers.2.self_attn.out_proj.weight",
    "layers.2.self_attn.out_proj.bias",
    "layers.2.norm2.weight",
    "layers.2.norm2.bias",
    "layers.2.linear1.weight",
    "layers.2.linear1.bias",
    "layers.2.linear2.weight",
    "layers.2.linear2.bias",
    "norm.weight",
    "norm.bias",
)


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


def compute_loss(params, x, y):
    """The loss."""
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
    h2 = h1 @ params["embedding.weight"].T
    # loss
    h3 = nn.losses.cross_entropy(h2, mx.clip(y, 0, 99), reduction="mean")
    return h3


def update(param, gradient, exp_avg, exp_avg_sq, t1, t):
    """What takes the places of a parameter and of what is kept for it."""
    new_exp_avg = exp_avg + (gradient - exp_avg) * 0.1
    new_exp_avg_sq = exp_avg_sq * 0.999 + gradient * gradient * 0.001
    new_param = param * 0.9999 - new_exp_avg / (mx.sqrt(new_exp_avg_sq) * t1 + 1e-8) * t
    return new_param, new_exp_avg, new_exp_avg_sq


@mx.compile
def step(state, x, y):
    """x: i64[2, 16], y: i64[2, 16] -> loss: f32[]"""
    params = {name: state[name] for name in PARAMETERS}
    value, gradients = mx.value_and_grad(compute_loss)(params, x, y)
    # optimizer
    step1 = state["optimizer.step"] + 1
    v = step1.astype(mx.float32)
    t = 0.001 / -mx.expm1(v * -0.105360515)
    t1 = 1.0 / mx.sqrt(-mx.expm1(v * -0.0010005003))
    state = {**state, "optimizer.step": step1}
    for name in PARAMETERS:
        exp_avg = f"optimizer.exp_avg.{name}"
        exp_avg_sq = f"optimizer.exp_avg_sq.{name}"
        state[name], state[exp_avg], state[exp_avg_sq] = update(
            state[name], gradients[name], state[exp_avg], state[exp_avg_sq], t1, t
        )
    return state, {"loss": value}
