"""A training step for PyTorch, written by wootz: step(state, x, y).

`state` and the results are dicts of arrays by name; a step gives the next state and the losses.
"""

import torch
import torch.nn.functional as F

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


def compute_loss(params, x, y):
    """The loss."""
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
    h3 = F.linear(h2, params["embedding.weight"])
    # loss
    h4 = F.cross_entropy(h3.flatten(0, -2), y.clamp(0, 99).flatten())
    return h4


@torch.no_grad()
def step(state, x, y):
    """x: i64[2, 16], y: i64[2, 16] -> loss: f32[]"""
    params = {name: state[name].detach().requires_grad_() for name in PARAMETERS}
    with torch.enable_grad():
        value = compute_loss(params, x, y)
    gradients = dict(
        zip(
            params,
            torch.autograd.grad(value, list(params.values()), materialize_grads=True),
        )
    )
    # optimizer
    step1 = state["optimizer.step"] + 1
    torch._fused_adamw_(
        [state[name] for name in PARAMETERS],
        [gradients[name] for name in PARAMETERS],
        [state[f"optimizer.exp_avg.{name}"] for name in PARAMETERS],
        [state[f"optimizer.exp_avg_sq.{name}"] for name in PARAMETERS],
        [],
        [step1.to(torch.float32)] * len(PARAMETERS),
        lr=0.001,
        beta1=0.9,
        beta2=0.999,
        weight_decay=0.1,
        eps=1e-8,
        amsgrad=False,
        maximize=False,
    )
    state = {**state, "optimizer.step": step1}
    return state, {"loss": value.detach()}
