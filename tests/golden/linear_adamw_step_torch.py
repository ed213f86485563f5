"""A training step for PyTorch, written by wootz: step(state, x, y).

`state` and the results are dicts of arrays by name; a step gives the next state and the losses.
"""

import torch
import torch.nn.functional as F


@torch.compile
@torch.no_grad()
def step(state, x, y):
    """x: f32[32, 784], y: i64[32] -> loss: f32[]"""
    h = F.linear(x, state["weight"], state["bias"])
    # loss
    loss = F.cross_entropy(h, y.clamp(0, 9))
    v = (y.clamp(0, 9)[:, None] == torch.arange(10)).to(torch.float32)
    t = (F.softmax(h, dim=1) - v) * 0.03125
    h1 = t.T @ x
    total = t.sum(dim=0)
    # optimizer
    step1 = state["optimizer.step"] + 1
    v1 = step1.to(torch.float32)
    t1 = 0.001 / -(v1 * -0.105360515).expm1()
    t2 = 1.0 / (-(v1 * -0.0010005003).expm1()).sqrt()
    # optimizer.weight
    state["weight"].mul_(0.99999)
    state["optimizer.exp_avg.weight"].add_(
        h1 - state["optimizer.exp_avg.weight"], alpha=0.1
    )
    state["optimizer.exp_avg_sq.weight"].mul_(0.999)
    state["optimizer.exp_avg_sq.weight"].add_(h1 * h1, alpha=0.001)
    t3 = state["optimizer.exp_avg.weight"] / (
        state["optimizer.exp_avg_sq.weight"].sqrt() * t2 + 1e-8
    )
    state["weight"].sub_(t3 * t1)
    # optimizer.bias
    state["bias"].mul_(0.99999)
    state["optimizer.exp_avg.bias"].add_(
        total - state["optimizer.exp_avg.bias"], alpha=0.1
    )
    state["optimizer.exp_avg_sq.bias"].mul_(0.999)
    state["optimizer.exp_avg_sq.bias"].add_(total * total, alpha=0.001)
    t4 = state["optimizer.exp_avg.bias"] / (
        state["optimizer.exp_avg_sq.bias"].sqrt() * t2 + 1e-8
    )
    state["bias"].sub_(t4 * t1)
    state = {
        "weight": state["weight"],
        "bias": state["bias"],
        "optimizer.step": step1,
        "optimizer.exp_avg.weight": state["optimizer.exp_avg.weight"],
        "optimizer.exp_avg.bias": state["optimizer.exp_avg.bias"],
        "optimizer.exp_avg_sq.weight": state["optimizer.exp_avg_sq.weight"],
        "optimizer.exp_avg_sq.bias": state["optimizer.exp_avg_sq.bias"],
    }
    return state, {"loss": loss}
