"""A model for PyTorch, written by wootz: forward(params, x).

Parameters and results are dicts of arrays by name.
"""

import torch
import torch.nn.functional as F


@torch.compile
def forward(params, x):
    """x: f32[32, 784] -> logits: f32[32, 10]"""
    # 0
    h = F.linear(x, params["0.weight"], params["0.bias"])
    # 1
    h1 = F.relu(h)
    # 2
    h2 = F.linear(h1, params["2.weight"], params["2.bias"])
    # 3
    h3 = F.relu(h2)
    # 4
    h4 = F.linear(h3, params["4.weight"], params["4.bias"])
    # 5
    h5 = F.relu(h4)
    # 6
    logits = F.linear(h5, params["6.weight"], params["6.bias"])
    return {"logits": logits}
