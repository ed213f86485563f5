"""The frameworks that are here, and a small model for programs that run on them."""

import importlib.util

import numpy as np
import wootz as wz
from wootz import nn

MODULES = {"numpy": "numpy", "jax": "jax", "torch": "torch", "mlx": "mlx.core"}
INSTALLED = [name for name, module in MODULES.items() if importlib.util.find_spec(module.split(".")[0])]

MODEL = nn.mlp([6, 8, 3])
INPUTS = {"x": wz.f32[4, 6]}
IMAGES = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
LABELS = np.array([0, 2, 1, 1])
