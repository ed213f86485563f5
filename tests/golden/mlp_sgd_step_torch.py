"""A training step for PyTorch, written by wootz: step(state, x, y).

`state` and the results are dicts of arrays by name; a step gives the next state and the losses.
"""

import torch
import torch.nn.functional as F

PARAMETERS = ("0.weight", "0.bias", "2.weight", "2.bias")


def update(param, gradient):
    """What takes the places of a parameter and of what is kept for it."""
    param.sub_(gradient, alpha=0.01)
    return param


@torch.compile
@torch.no_grad()
def step(state, x, y):
    """x: f32[32, 784], y: i64[32] -> loss: f32[]"""
    # 0
    h = F.linear(x, state["0.weight"], state["0.bias"])
    # 1
    h1 = F.relu(h)
    # 2
    h2 = F.linear(h1, state["2.weight"], state["2.bias"])
    # loss
    loss = F.cross_entropy(h2, y.clamp(0, 9))
    v = (y.clamp(0, 9)[:, None] == torch.arange(10)).to(torch.float32)
    t = (F.softmax(h2, dim=1) - v) * 0.03125
    # 2
    h3 = t @ state["2.weight"]
    # 1
    h4 = torch.where(h1 > 0, h3, 0.0)
    # optimizer
    step1 = state["optimizer.step"] + 1
    gradient_of = {
        "0.weight": h4.T @ x,
        "0.bias": h4.sum(dim=0),
        "2.weight": t.T @ h1,
        "2.bias": t.sum(dim=0),
    }
    state = {**state, "optimizer.step": step1}
    for name in PARAMETERS:
        state[name] = update(state[name], gradient_of[name])
    return state, {"loss": loss}
