"""A training step for PyTorch, written by wootz: step(state, x, y).

`state` and the results are dicts of arrays by name; a step gives the next state and the losses.
"""

import torch
import torch.nn.functional as F

PARAMETERS = ("weight", "bias")


def update(param, gradient, exp_avg, exp_avg_sq, t2, t1):
    """What takes the places of a parameter and of what is kept for it."""
    param.mul_(0.99999)
    new_exp_avg = exp_avg + (gradient - exp_avg) * 0.1
    exp_avg_sq.mul_(0.999)
    exp_avg_sq.add_(gradient * gradient, alpha=0.001)
    param.sub_(new_exp_avg / (exp_avg_sq.sqrt() * t2 + 1e-8) * t1)
    return param, new_exp_avg, exp_avg_sq


@torch.compile
@torch.no_grad()
def step(state, x, y):
    """x: f32[32, 784], y: i64[32] -> loss: f32[]"""
    h = F.linear(x, state["weight"], state["bias"])
    # loss
    loss = F.cross_entropy(h, y.clamp(0, 9))
    v = (y.clamp(0, 9)[:, None] == torch.arange(10)).to(torch.float32)
    t = (F.softmax(h, dim=1) - v) * 0.03125
    # optimizer
    step1 = state["optimizer.step"] + 1
    v1 = step1.to(torch.float32)
    t1 = 0.001 / -(v1 * -0.105360515).expm1()
    t2 = 1.0 / (-(v1 * -0.0010005003).expm1()).sqrt()
    gradient_of = {"weight": t.T @ x, "bias": t.sum(dim=0)}
    state = {**state, "optimizer.step": step1}
    for name in PARAMETERS:
        exp_avg = f"optimizer.exp_avg.{name}"
        exp_avg_sq = f"optimizer.exp_avg_sq.{name}"
        state[name], state[exp_avg], state[exp_avg_sq] = update(
            state[name], gradient_of[name], state[exp_avg], state[exp_avg_sq], t2, t1
        )
    return state, {"loss": loss}
