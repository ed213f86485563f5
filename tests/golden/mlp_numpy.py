"""A model for NumPy, written by wootz: forward(params, x).

Parameters and results are dicts of arrays by name.
"""

import numpy as np


def forward(params, x):
    """x: f32[32, 784] -> logits: f32[32, 10]"""
    # 0
    h = x @ params["0.weight"].T + params["0.bias"]
    # 1
    h1 = np.maximum(h, 0.0)
    # 2
    h2 = h1 @ params["2.weight"].T + params["2.bias"]
    # 3
    h3 = np.maximum(h2, 0.0)
    # 4
    h4 = h3 @ params["4.weight"].T + params["4.bias"]
    # 5
    h5 = np.maximum(h4, 0.0)
    # 6
    logits = h5 @ params["6.weight"].T + params["6.bias"]
    return {"logits": logits}
