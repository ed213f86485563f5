"""A training step for PyTorch, written by wootz: step(state, x, y).

`state` and the results are dicts of arrays by name; a step gives the next state and the losses.
"""

import torch
import torch.nn.functional as F

PARAMETERS = ("weight", "bias")


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
    torch._fused_adamw_(
        [state[name] for name in PARAMETERS],
        [t.T @ x, t.sum(dim=0)],
        [state[f"optimizer.exp_avg.{name}"] for name in PARAMETERS],
        [state[f"optimizer.exp_avg_sq.{name}"] for name in PARAMETERS],
        [],
        [step1.to(torch.float32)] * len(PARAMETERS),
        lr=0.001,
        beta1=0.9,
        beta2=0.999,
        weight_decay=0.01,
        eps=1e-8,
        amsgrad=False,
        maximize=False,
    )
    state = {**state, "optimizer.step": step1}
    return state, {"loss": loss}
