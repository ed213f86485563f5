"""Models: blocks, layers, losses, optimizers, training steps.

A block holds its configuration and its children, and no arrays. `wz.compile` traces it; parameters are named as in PyTorch
(`layers.0.weight`), and come from `program.init(seed)` or from a file.

    class Residual(nn.Module):
        def __init__(self, width):
            self.project = nn.Linear(width, width)

        def forward(self, x):
            return x + self.project(x)
"""

from wootz import init
from wootz.nn._blocks import (
    Block,
    Function,
    Module,
)
from wootz.nn._layers import (
    Accuracy,
    CrossEntropy,
    Dropout,
    Flatten,
    GELU,
    Identity,
    LeakyReLU,
    Linear,
    LogSoftmax,
    MLP,
    MSE,
    ReLU,
    Sequential,
    SiLU,
    Sigmoid,
    Softmax,
    Softplus,
    Tanh,
    accuracy,
    cross_entropy,
    mlp,
    mse,
)
from wootz.nn._transformer import (
    Embedding,
    LayerNorm,
    MultiheadAttention,
    PositionalEmbedding,
    RMSNorm,
    TiedLinear,
    Transformer,
    TransformerEncoder,
    TransformerEncoderLayer,
    transformer,
)
from wootz.nn._training import (
    Training,
    adam,
    adamw,
    sgd,
    training,
)

__all__ = [
    "GELU",
    "MLP",
    "MSE",
    "Accuracy",
    "Block",
    "CrossEntropy",
    "Dropout",
    "Embedding",
    "Flatten",
    "Function",
    "Identity",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "Module",
    "MultiheadAttention",
    "PositionalEmbedding",
    "RMSNorm",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "TiedLinear",
    "Training",
    "Transformer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "accuracy",
    "adam",
    "adamw",
    "cross_entropy",
    "init",
    "mlp",
    "mse",
    "sgd",
    "training",
    "transformer",
]
