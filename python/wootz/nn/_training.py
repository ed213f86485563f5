"""Optimizers and training steps."""

from collections.abc import Sequence
from typing import Any

from wootz import _native
from wootz.nn._blocks import Block, as_block, shared
from wootz.nn._layers import loss_block


def sgd(
    lr: Any, momentum: float = 0.0, dampening: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0
) -> _native.Optimizer:
    """Stochastic gradient descent, as `torch.optim.SGD`. `lr` is a number, `"input"` (given at every step), or `("state", number)`."""
    return _native.Optimizer.sgd(lr, momentum, dampening, nesterov, weight_decay)


def adam(
    lr: Any, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0
) -> _native.Optimizer:
    """Adam, as `torch.optim.Adam`."""
    return _native.Optimizer.adam(lr, betas, eps, weight_decay, False)


def adamw(
    lr: Any, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.01
) -> _native.Optimizer:
    """AdamW, as `torch.optim.AdamW`."""
    return _native.Optimizer.adam(lr, betas, eps, weight_decay, True)


class Training:
    """A model, a loss and an optimizer: one training step as one program."""

    __module__ = "wootz.nn"

    def __init__(
        self, model: Any, loss: Any, optimizer: Any, metrics: Sequence[Any], outputs: bool, clip_norm: float | None
    ) -> None:
        self.model = as_block(model)
        self.loss = loss_block(loss)
        self.optimizer = optimizer
        self.metrics = [loss_block(m) for m in metrics]
        self.outputs = outputs
        self.clip_norm = clip_norm

    def define(self, inputs: dict[str, _native.Spec], training: bool = True) -> Any:
        """Traces the step on inputs of these types."""
        cache: dict = {}
        metrics = [shared(m, cache) for m in self.metrics]
        parts = (shared(self.model, cache), shared(self.loss, cache), self.optimizer, metrics, self.outputs, self.clip_norm)
        return _native.Training(*parts).trace(list(inputs.items()))

    summary = Block.summary
    graph = Block.graph


def training(
    model: Any,
    loss: Any,
    optimizer: _native.Optimizer,
    metrics: Sequence[Any] = (),
    outputs: bool = False,
    clip_norm: float | None = None,
) -> Training:
    """A training step: `step = wz.compile(nn.training(model, loss=nn.cross_entropy, optimizer=nn.adamw(1e-3)), {...})`.

    The loss is given the model's outputs and then inputs of its own (`y`), and gives a scalar. A step returns `loss`, the `metrics`,
    and with `outputs` the model's outputs as they were before the update. `clip_norm` limits the joint norm of the gradients.
    """
    return Training(model, loss, optimizer, metrics, outputs, clip_norm)
