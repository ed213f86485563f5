"""Models: blocks, layers, losses, optimizers, training steps.

A block holds its configuration and its children, and no arrays. `wz.compile` traces it; parameters are named as in PyTorch
(`layers.0.weight`), and come from `program.init(seed)` or from a file.

    class Residual(nn.Module):
        def __init__(self, width):
            self.project = nn.Linear(width, width)

        def forward(self, x):
            return x + self.project(x)
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from wootz import _native, init
from wootz._errors import ModelError, TraceError

from wootz._tensor import Tensor, dtype_from, tensor
from wootz._tracing import Frame, current, pop, push


class Block:
    """A piece of a model. Calling it on tensors adds it to the model being traced; using one block twice shares its
    parameters."""

    __module__ = "wootz.nn"

    def _build(self, cache: dict) -> _native.Model:
        """The native model; the same one for every use within one trace."""
        raise NotImplementedError

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        frame = current()
        if frame is None:
            raise TraceError(
                "a block holds no parameters, so it is not called on arrays: compile it with wz.compile(model, {...}), or "
                "use model.apply(params, x)"
            )
        if frame.names is None:
            raise TraceError(
                "a block was called in a plain function: it has parameters, so use model.apply(params, x) there, or compile "
                "a model that contains it"
            )
        model = _shared(self, frame.cache)
        inputs = model.inputs
        values = list(args)
        for name in inputs[len(args) :]:
            if name not in kwargs:
                raise ModelError(f"{model.kind} takes the inputs {', '.join(inputs)}; `{name}` is missing")
            values.append(kwargs.pop(name))
        if kwargs:
            raise ModelError(f"{model.kind} has no input `{next(iter(kwargs))}`; it takes {', '.join(inputs)}")
        values = [tensor(x)._value for x in values]
        outputs = [Tensor(v) for v in frame.trace.call(frame.names.of(self, model.kind), model, values)]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def define(self, inputs: dict[str, _native.Spec], training: bool = False) -> Any:
        """Traces the block on inputs of these types."""
        return _shared(self, {}).trace(list(inputs.items()), training)

    def summary(self, **inputs: Any) -> str:
        """A table of the blocks, their outputs and parameters: `print(model.summary(x=wz.f32["B", 784]))`."""
        from wootz._compile import spec_from

        return self.define({name: spec_from(x) for name, x in inputs.items()}).summary

    def graph(self, training: bool = False, **inputs: Any) -> _native.Graph:
        """The graph on inputs of these types, before any pass."""
        from wootz._compile import spec_from

        return self.define({name: spec_from(x) for name, x in inputs.items()}, training).graph

    def apply(self, params: Any, *args: Any, **kwargs: Any) -> Any:
        """The block as a function of its parameters (a mapping of names to arrays) and inputs, in inference: for `wz.grad` and the
        other transformations."""
        if current() is None:
            from wootz._transforms import jit

            known = self.__dict__.get("_applied")
            if known is None:
                known = self.__dict__["_applied"] = jit(self.apply)
            return known(dict(params.items()), *args, **kwargs)
        model = _shared(self, {})
        given = {**dict(zip(model.inputs, args, strict=False)), **kwargs}
        given = {name: tensor(x) for name, x in given.items()}
        graph = model.trace([(name, x.spec) for name, x in given.items()], False).graph
        values = []
        for name, role, spec in graph.inputs:
            if role == "input":
                values.append(given[name]._value)
                continue
            if name not in params:
                raise ModelError(f"apply: parameter `{name}` ({spec}) is missing")
            x = tensor(params[name])
            if x.spec != spec:
                raise ModelError(f"apply: parameter `{name}` is {x.spec}, the model takes {spec}")
            values.append(x._value)
        outputs = [Tensor(v) for v in current().trace.inline(graph, values)][: len(model.outputs)]
        return outputs[0] if len(outputs) == 1 else dict(zip(model.outputs, outputs, strict=True))

    def dtype(self, dtype: Any) -> "Block":
        """The same block with parameters of another type (f32 unless said otherwise)."""
        return _Wrapped(self, dtype_from(dtype))


def _shared(block: Block, cache: dict) -> _native.Model:
    """A block's native model within one trace. The block is kept, so that no other one gets its id."""
    found = cache.get(id(block))
    if found is None:
        found = cache[id(block)] = (block._build(cache), block)
    return found[0]


class _Builtin(Block):
    """A block of the native module."""

    def __init__(self, model: _native.Model) -> None:
        self._model = model

    def _build(self, cache: dict) -> _native.Model:
        return self._model

    def __repr__(self) -> str:
        return f"nn.{self._model.kind}"


class _Wrapped(Block):
    def __init__(self, block: Block, dtype: _native.DType) -> None:
        self.block = block
        self._dtype = dtype

    def _build(self, cache: dict) -> _native.Model:
        return _shared(self.block, cache).with_dtype(self._dtype)


class _Names:
    """How a block being built calls its children: by the attributes (or variables) that hold them, numbered where nothing does."""

    __slots__ = ("_by_id", "_counts")

    def __init__(self, named: dict[int, str]) -> None:
        self._by_id = named
        self._counts: dict[str, int] = {}

    def of(self, block: Block, kind: str) -> str:
        name = self._by_id.get(id(block))
        if name is None:
            count = self._counts.get(kind, 0)
            self._counts[kind] = count + 1
            name = self._by_id[id(block)] = f"{kind.lower()}_{count}"
        return name


def _collect(name: str, value: Any, found: dict[int, str]) -> None:
    if isinstance(value, Block):
        found.setdefault(id(value), name)
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            _collect(f"{name}.{i}", item, found)
    elif isinstance(value, dict):
        for key, item in value.items():
            _collect(f"{name}.{key}", item, found)


def _names_and_values(result: Any) -> tuple[list[str], list]:
    """The outputs of a forward function: a tensor, a tuple of tensors, or a dict."""
    if isinstance(result, dict):
        names, values = list(result), list(result.values())
    elif isinstance(result, (tuple, list)):
        names, values = [f"output{i}" for i in range(len(result))], list(result)
    else:
        names, values = ["output"], [result]
    return names, [tensor(x)._value for x in values]


def _python_model(kind: str, function: Callable, names: Callable[[], dict[int, str]], cache: dict) -> _native.Model:
    parameters = list(inspect.signature(function).parameters.values())
    inputs = [p.name for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]

    def forward(trace: Any, values: list) -> tuple[list[str], list]:
        push(Frame(trace, _Names(names()), cache))
        try:
            return _names_and_values(function(*[Tensor(v) for v in values]))
        finally:
            pop()

    return _native.Model.python(kind, inputs, forward)


class Module(Block):
    """A block written in Python: children are attributes (or lists, tuples, dicts of blocks in attributes), and `forward` says what is
    computed. The names of its arguments are the names of the inputs; it returns a tensor, a tuple, or a dict of named outputs."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the block computes."""
        raise NotImplementedError(f"{type(self).__name__} has no `forward`")

    def param(self, name: str, shape: Any, init: Any = "zeros") -> Tensor:
        """In `forward`: a parameter of this block; see `wz.init` for initial values."""
        return Tensor(_model_frame("param").trace.parameter(name, shape, init))

    def state(self, name: str, spec: Any, init: Any = "zeros") -> Tensor:
        """In `forward`: the present value of a state of this block."""
        return Tensor(_model_frame("state").trace.state_value(name, spec, init))

    def set_state(self, name: str, value: Any) -> None:
        """In `forward`: the value that a state has from here on."""
        _model_frame("set_state").trace.set_state(name, tensor(value)._value)

    @property
    def training(self) -> bool:
        """In `forward`: whether the model is traced for training."""
        return _model_frame("training").trace.training()

    def random_key(self) -> Tensor:
        """In `forward`: a key for `wz.random`, different at every call and every step."""
        return Tensor(_model_frame("random_key").trace.random_key())

    def _build(self, cache: dict) -> _native.Model:
        def names() -> dict[int, str]:
            found: dict[int, str] = {}
            for name, value in vars(self).items():
                if not name.startswith("_"):
                    _collect(name, value, found)
            return found

        return _python_model(type(self).__name__, self.forward, names, cache)


def _model_frame(what: str) -> Frame:
    frame = current()
    if frame is None or frame.names is None:
        raise TraceError(f"{what} is for `forward`, while the model is traced")
    return frame


class Function(Block):
    """A function of symbolic tensors as a block. Blocks that it calls are named by the variables that hold them."""

    def __init__(self, function: Callable) -> None:
        self.function = function

    def _build(self, cache: dict) -> _native.Model:
        def names() -> dict[int, str]:
            found: dict[int, str] = {}
            variables = inspect.getclosurevars(self.function)
            for name, value in {**variables.globals, **variables.nonlocals}.items():
                _collect(name, value, found)
            return found

        return _python_model(getattr(self.function, "__name__", "function"), self.function, names, cache)


def as_block(model: Any) -> Any:
    """A block from a block or a function of symbolic tensors."""
    if isinstance(model, (Block, Training)):
        return model
    if callable(model):
        return Function(model)
    raise ModelError(f"{model!r} is not a model: give a block of wz.nn, nn.training(...), or a function of tensors")


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
        return _native.Model.sequential([_shared(b, cache) for b in self.blocks], self.output)

    def __repr__(self) -> str:
        return f"nn.Sequential({', '.join(map(repr, self.blocks))})"


class Linear(_Builtin):
    """`x [.., in]` → `output [.., out]` = x · weightᵀ + bias, with parameters `weight [out, in]` and `bias [out]`, initialised as PyTorch does
    unless said otherwise (see `wz.init`)."""

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, weight_init: Any = None, bias_init: Any = None
    ) -> None:
        super().__init__(_native.Model.linear(in_features, out_features, bias, weight_init, bias_init))
        self.in_features = in_features
        self.out_features = out_features

    def __repr__(self) -> str:
        return f"nn.Linear({self.in_features}, {self.out_features})"


class Dropout(_Builtin):
    """In training, each element is zeroed with probability `p` and scaled by 1 / (1 - p) otherwise; in inference nothing happens."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(_native.Model.dropout(p))


class Flatten(_Builtin):
    """Makes the axes from `start` to `end` (included) one."""

    def __init__(self, start: int = 1, end: int = -1) -> None:
        super().__init__(_native.Model.flatten(start, end))


class Identity(_Builtin):
    """Gives its input."""

    def __init__(self) -> None:
        super().__init__(_native.Model.identity())


def _activation(kind: str, name: str, doc: str) -> type:
    class Activation(_Builtin):
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


class GELU(_Builtin):
    """x · Φ(x); `approximate="tanh"` for the tanh approximation."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__(_native.Model.activation("gelu_tanh" if approximate == "tanh" else "gelu", 0, 0.0))


class LeakyReLU(_Builtin):
    """x where x > 0, slope · x elsewhere."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__(_native.Model.activation("leaky_relu", 0, negative_slope))


class Softmax(_Builtin):
    """eˣ / Σ eˣ along an axis."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__(_native.Model.activation("softmax", dim, 0.0))


class LogSoftmax(_Builtin):
    """x - log Σ eˣ along an axis."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__(_native.Model.activation("log_softmax", dim, 0.0))


class MLP(_Builtin):
    """`Linear` layers between these sizes with `ReLU` between them: `x [.., sizes[0]]` → `logits [.., sizes[-1]]`."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__(_native.Model.mlp(list(sizes)))
        self.sizes = tuple(sizes)

    def __repr__(self) -> str:
        return f"nn.mlp({list(self.sizes)})"


def mlp(sizes: Sequence[int]) -> MLP:
    """A multi-layer perceptron with ReLU; its output is `logits`."""
    return MLP(sizes)


class CrossEntropy(_Builtin):
    """Scores `[.., C]` and labels `y [..]` → −log probability of the label. `scores`: `"logits"`, `"log_probabilities"` or
    `"probabilities"`; `reduction`: `"mean"`, `"sum"` or `"none"`; `class_weights`: one number a class."""

    def __init__(
        self, reduction: str = "mean", class_weights: Sequence[float] | None = None, scores: str = "logits"
    ) -> None:
        weights = None if class_weights is None else [float(w) for w in class_weights]
        super().__init__(_native.Model.class_loss(scores, reduction, weights))


class MSE(_Builtin):
    """(output - y)²."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(_native.Model.mse(reduction))


class Accuracy(_Builtin):
    """The share of examples whose highest score is the label's."""

    def __init__(self) -> None:
        super().__init__(_native.Model.accuracy())


def cross_entropy(logits: Any = None, labels: Any = None, **options: Any) -> Any:
    """The mean cross-entropy of logits and labels: on tensors at once, and without arguments (or itself given to `nn.training`) as a
    loss. Options are those of `CrossEntropy`."""
    if logits is None:
        return CrossEntropy(**options)
    from wootz._tensor import op, value_of

    reduction = options.pop("reduction", "mean")
    if options:
        raise ModelError(f"cross_entropy on tensors takes `reduction` only, not {', '.join(options)}; use nn.CrossEntropy")
    attrs = {"reduction": reduction, "weighted": False}
    return Tensor(op("cross_entropy", value_of(logits), value_of(labels), **attrs))


def mse(prediction: Any = None, target: Any = None, reduction: str = "mean") -> Any:
    """The mean squared error: on tensors at once, and without arguments (or itself given to `nn.training`) as a loss."""
    if prediction is None:
        return MSE(reduction)
    from wootz._tensor import op, promote

    (prediction, target), _ = promote(prediction, target)
    return Tensor(op("mse", prediction, target, reduction=reduction))


def accuracy() -> Accuracy:
    """The accuracy as a metric for `nn.training`."""
    return Accuracy()


def _loss_block(loss: Any) -> Block:
    if loss is cross_entropy or loss is mse or loss is accuracy:
        return loss()
    return as_block(loss)


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
        self.loss = _loss_block(loss)
        self.optimizer = optimizer
        self.metrics = [_loss_block(m) for m in metrics]
        self.outputs = outputs
        self.clip_norm = clip_norm

    def define(self, inputs: dict[str, _native.Spec], training: bool = True) -> Any:
        """Traces the step on inputs of these types."""
        cache: dict = {}
        metrics = [_shared(m, cache) for m in self.metrics]
        parts = (_shared(self.model, cache), _shared(self.loss, cache), self.optimizer, metrics, self.outputs, self.clip_norm)
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


__all__ = [
    "GELU",
    "MLP",
    "MSE",
    "Accuracy",
    "Block",
    "CrossEntropy",
    "Dropout",
    "Flatten",
    "Function",
    "Identity",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "Module",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "Training",
    "accuracy",
    "adam",
    "adamw",
    "cross_entropy",
    "init",
    "mlp",
    "mse",
    "sgd",
    "training",
]
