"""Layers, activations, chains of blocks, losses and metrics."""

from collections.abc import Sequence
from typing import Any

from wootz import _native
from wootz._errors import ModelError
from wootz._tensor import Tensor, op, promote, value_of
from wootz.nn._blocks import Block, as_block, shared
from wootz.nn._sizes import size
from wootz.nn._sizes import sizes as check_sizes


class Builtin(Block):
    """A block of the native module."""

    def __init__(self, model: _native.Model) -> None:
        self._model = model

    def _build(self, cache: dict) -> _native.Model:
        return self._model

    def __repr__(self) -> str:
        return f"nn.{self._model.kind}"


class Sequential(Block):
    """Blocks one after another, named `0`, `1`, … as in PyTorch; `output` names the output."""

    def __init__(self, *blocks: Any, output: str | None = None) -> None:
        if len(blocks) == 1 and isinstance(blocks[0], (list, tuple)):
            blocks = tuple(blocks[0])
        self.blocks = tuple(as_block(b) for b in blocks)
        self.output = output

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, i: int) -> Block:
        return self.blocks[i]

    def _build(self, cache: dict) -> _native.Model:
        return _native.Model.sequential([shared(b, cache) for b in self.blocks], self.output)

    def __repr__(self) -> str:
        return f"nn.Sequential({', '.join(map(repr, self.blocks))})"


class Linear(Builtin):
    """`x [.., in]` → `output [.., out]` = x · weightᵀ + bias, with parameters `weight [out, in]` and `bias [out]`, initialised as PyTorch does
    unless said otherwise (see `wz.init`)."""

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, weight_init: Any = None, bias_init: Any = None
    ) -> None:
        self.in_features = size("Linear", "in_features", in_features)
        self.out_features = size("Linear", "out_features", out_features)
        super().__init__(_native.Model.linear(self.in_features, self.out_features, bias, weight_init, bias_init))

    def __repr__(self) -> str:
        return f"nn.Linear({self.in_features}, {self.out_features})"


class Dropout(Builtin):
    """In training, each element is zeroed with probability `p` and scaled by 1 / (1 - p) otherwise; in inference nothing happens."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(_native.Model.dropout(p))


class Flatten(Builtin):
    """Makes the axes from `start` to `end` (included) one."""

    def __init__(self, start: int = 1, end: int = -1) -> None:
        super().__init__(_native.Model.flatten(start, end))


class Identity(Builtin):
    """Gives its input."""

    def __init__(self) -> None:
        super().__init__(_native.Model.identity())


def _activation(kind: str, name: str, doc: str) -> type:
    class Activation(Builtin):
        def __init__(self) -> None:
            super().__init__(_native.Model.activation(name, 0, 0.0))

    Activation.__name__ = Activation.__qualname__ = kind
    Activation.__doc__ = doc
    return Activation


ReLU = _activation("ReLU", "relu", "max(x, 0).")
SiLU = _activation("SiLU", "silu", "x · sigmoid(x).")
Sigmoid = _activation("Sigmoid", "sigmoid", "1 / (1 + e⁻ˣ).")
Softplus = _activation("Softplus", "softplus", "log(1 + eˣ).")
Tanh = _activation("Tanh", "tanh", "The hyperbolic tangent.")


class GELU(Builtin):
    """x · Φ(x); `approximate="tanh"` for the tanh approximation."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__(_native.Model.activation("gelu_tanh" if approximate == "tanh" else "gelu", 0, 0.0))


class LeakyReLU(Builtin):
    """x where x > 0, slope · x elsewhere."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__(_native.Model.activation("leaky_relu", 0, negative_slope))


class Softmax(Builtin):
    """eˣ / Σ eˣ along an axis."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__(_native.Model.activation("softmax", dim, 0.0))


class LogSoftmax(Builtin):
    """x - log Σ eˣ along an axis."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__(_native.Model.activation("log_softmax", dim, 0.0))


class MLP(Builtin):
    """`Linear` layers between these sizes with `ReLU` between them: `x [.., sizes[0]]` → `logits [.., sizes[-1]]`."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__(_native.Model.mlp(check_sizes("MLP", "sizes", sizes)))
        self.sizes = tuple(sizes)

    def __repr__(self) -> str:
        return f"nn.mlp({list(self.sizes)})"


def mlp(sizes: Sequence[int]) -> MLP:
    """A multi-layer perceptron with ReLU; its output is `logits`."""
    return MLP(sizes)


class CrossEntropy(Builtin):
    """Scores `[.., C]` and labels `y [..]` → −log probability of the label. `scores`: `"logits"`, `"log_probabilities"` or
    `"probabilities"`; `reduction`: `"mean"`, `"sum"` or `"none"`; `class_weights`: one number a class."""

    def __init__(
        self, reduction: str = "mean", class_weights: Sequence[float] | None = None, scores: str = "logits"
    ) -> None:
        weights = None if class_weights is None else [float(w) for w in class_weights]
        super().__init__(_native.Model.class_loss(scores, reduction, weights))


class MSE(Builtin):
    """(output - y)²."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(_native.Model.mse(reduction))


class Accuracy(Builtin):
    """The share of examples whose highest score is the label's."""

    def __init__(self) -> None:
        super().__init__(_native.Model.accuracy())


def cross_entropy(logits: Any = None, labels: Any = None, **options: Any) -> Any:
    """The mean cross-entropy of logits and labels: on tensors at once, and without arguments (or itself given to `nn.training`) as a
    loss. Options are those of `CrossEntropy`."""
    if logits is None:
        return CrossEntropy(**options)
    reduction = options.pop("reduction", "mean")
    if options:
        raise ModelError(f"cross_entropy on tensors takes `reduction` only, not {', '.join(options)}; use nn.CrossEntropy")
    attrs = {"reduction": reduction, "weighted": False}
    return Tensor(op("cross_entropy", value_of(logits), value_of(labels), **attrs))


def mse(prediction: Any = None, target: Any = None, reduction: str = "mean") -> Any:
    """The mean squared error: on tensors at once, and without arguments (or itself given to `nn.training`) as a loss."""
    if prediction is None:
        return MSE(reduction)
    (prediction, target), _ = promote(prediction, target)
    return Tensor(op("mse", prediction, target, reduction=reduction))


def accuracy() -> Accuracy:
    """The accuracy as a metric for `nn.training`."""
    return Accuracy()


def loss_block(loss: Any) -> Block:
    if loss is cross_entropy or loss is mse or loss is accuracy:
        return loss()
    return as_block(loss)
