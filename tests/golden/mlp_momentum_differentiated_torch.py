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


def update(param, gradient, momentum_buffer):
    """What takes the places of a parameter and of what is kept for it."""
    new_momentum_buffer = gradient + param * 0.0001 + momentum_buffer * 0.9
    param.sub_(new_momentum_buffer, alpha=0.1)
    return param, new_momentum_buffer


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
    state = {**state, "optimizer.step": step1}
    for name in PARAMETERS:
        momentum_buffer = f"optimizer.momentum_buffer.{name}"
        state[name], state[momentum_buffer] = update(
            state[name], gradients[name], state[momentum_buffer]
        )
    return state, {"loss": value.detach()}
