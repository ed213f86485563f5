"""A model for NumPy, written by wootz: forward(params, x).

Parameters and results are dicts of arrays by name.
"""


def forward(params, x):
    """x: f32[32, 1024] -> output: f32[32, 1024]"""
    output = x @ params["weight"].T + params["bias"]
    return {"output": output}
