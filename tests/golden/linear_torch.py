"""A model for PyTorch, written by wootz: forward(params, x).

Parameters and results are dicts of arrays by name.
"""

import torch
import torch.nn.functional as F


@torch.compile
def forward(params, x):
    """x: f32[32, 1024] -> output: f32[32, 1024]"""
    output = F.linear(x, params["weight"], params["bias"])
    return {"output": output}
