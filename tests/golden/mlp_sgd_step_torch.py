"""A training step for PyTorch, written by wootz: step(state, x, y).

`state` and the results are dicts of arrays by name; a step gives the next state and the losses.
"""

import torch
import torch.nn.functional as F


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
    h4 = t.T @ h1
    total = t.sum(dim=0)
    # 1
    h5 = torch.where(h1 > 0, h3, 0.0)
    # 0
    h6 = h5.T @ x
    total1 = h5.sum(dim=0)
    # optimizer.0.weight
    state["0.weight"].sub_(h6, alpha=0.01)
    # optimizer.0.bias
    state["0.bias"].sub_(total1, alpha=0.01)
    # optimizer.2.weight
    state["2.weight"].sub_(h4, alpha=0.01)
    # optimizer.2.bias
    state["2.bias"].sub_(total, alpha=0.01)
    # optimizer
    step1 = state["optimizer.step"] + 1
    state = {
        "0.weight": state["0.weight"],
        "0.bias": state["0.bias"],
        "2.weight": state["2.weight"],
        "2.bias": state["2.bias"],
        "optimizer.step": step1,
    }
    return state, {"loss": loss}
