"""A model for NumPy, written by wootz: forward(rows, bound).

Parameters and results are dicts of arrays by name.
"""

import numpy as np


def step(x, x1):
    t = x + x1
    return t, t


def goes_on(x, x1):
    return x > x1


def step1(x, x1):
    return x * 0.5


def then(x, x1):
    carry = x
    while goes_on(carry, x1):
        carry = step1(carry, x1)
    return carry


def otherwise(x, x1):
    return -x


def forward(rows, bound):
    """rows: f32[5, 4], bound: f32[] -> sums: f32[5, 4], size: f32[]"""
    v = np.zeros((4,), dtype=np.float32)
    carry = v
    sums = np.zeros((5, 4), dtype=np.float32)
    for t in range(5):
        carry, sums[t] = step(carry, rows[t])
    largest = carry.max(axis=0)
    size = then(largest, bound) if bound < largest else otherwise(largest, bound)
    return {"sums": sums, "size": size}
