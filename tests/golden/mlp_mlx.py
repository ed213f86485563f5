"""A model for MLX, written by wootz: forward(params, x).

Parameters and results are dicts of arrays by name.
"""

import mlx.core as mx
from mlx import nn


@mx.compile
def forward(params, x):
    """x: f32[32, 784] -> logits: f32[32, 10]"""
    # 0
    h = x @ params["0.weight"].T + params["0.bias"]
    # 1
    h1 = nn.relu(h)
    # 2
    h2 = h1 @ params["2.weight"].T + params["2.bias"]
    # 3
    h3 = nn.relu(h2)
    # 4
    h4 = h3 @ params["4.weight"].T + params["4.bias"]
    # 5
    h5 = nn.relu(h4)
    # 6
    logits = h5 @ params["6.weight"].T + params["6.bias"]
    return {"logits": logits}
