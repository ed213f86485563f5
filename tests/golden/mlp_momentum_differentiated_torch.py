"""A training step for PyTorch, written by wootz: step(state, x, y).

`state` and the results are dicts of arrays by name; a step gives the next state and the losses.
"""

import torch
import torch.nn.functional as F

PARAMETERS = ("0.weight", "0.bias", "2.weight", "2.bias")


def compute_loss(params, x, y):
    """The loss."""
    # 0
    h = F.linear(x, params["0.weight"], params["0.bias"])
    # 1
    h1 = F.relu(h)
    # 2
    h2 = F.linear(h1, params["2.weight"], params["2.bias"])
    # loss
    h3 = F.cross_entropy(h2, y.clamp(0, 9))
    return h3


@torch.no_grad()
def step(state, x, y):
    """x: f32[32, 784], y: i64[32] -> loss: f32[]"""
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
    torch._fused_sgd_(
        [state[name] for name in PARAMETERS],
        [gradients[name] for name in PARAMETERS],
        [state[f"optimizer.momentum_buffer.{name}"] for name in PARAMETERS],
        weight_decay=0.0001,
        momentum=0.9,
        lr=0.1,
        dampening=0.0,
        nesterov=False,
        maximize=False,
        is_first_step=False,
    )
    state = {**state, "optimizer.step": step1}
    return state, {"loss": value.detach()}
