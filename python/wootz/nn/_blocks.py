"""Blocks: the pieces that models are made of, and how Python's become native ones while a model is traced."""

from collections.abc import Callable
from typing import Any

from wootz import _native
from wootz._errors import ModelError, TraceError
from wootz._tensor import Tensor, dtype_from, tensor
from wootz._tracing import Frame, called, current, pop, push, site


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
        model = shared(self, frame.cache)
        inputs = model.inputs
        values = list(args)
        for name in inputs[len(args) :]:
            if name not in kwargs:
                raise ModelError(f"{model.kind} takes the inputs {', '.join(inputs)}; `{name}` is missing")
            values.append(kwargs.pop(name))
        if kwargs:
            raise ModelError(f"{model.kind} has no input `{next(iter(kwargs))}`; it takes {', '.join(inputs)}")
        values = [tensor(x)._value for x in values]
        outputs = [Tensor(v) for v in frame.trace.call(frame.names.of(self, model.kind), model, values, site())]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def define(self, inputs: dict[str, _native.Spec], training: bool = False) -> Any:
        """Traces the block on inputs of these types."""
        return shared(self, {}).trace(list(inputs.items()), training)

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
            from wootz._jit import jit

            known = self.__dict__.get("_applied")
            if known is None:
                known = self.__dict__["_applied"] = jit(self.apply)
            return known(dict(params.items()), *args, **kwargs)
        model = shared(self, {})
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
        outputs = [Tensor(v) for v in current().trace.inline(graph, values, site())][: len(model.outputs)]
        return outputs[0] if len(outputs) == 1 else dict(zip(model.outputs, outputs, strict=True))

    def dtype(self, dtype: Any) -> "Block":
        """The same block with parameters of another type (f32 unless said otherwise)."""
        return _Wrapped(self, dtype_from(dtype))


def shared(block: Block, cache: dict) -> _native.Model:
    """A block's native model within one trace. The block is kept, so that no other one gets its id."""
    found = cache.get(id(block))
    if found is None:
        found = cache[id(block)] = (block._build(cache), block)
    return found[0]


class _Wrapped(Block):
    def __init__(self, block: Block, dtype: _native.DType) -> None:
        self.block = block
        self._dtype = dtype

    def _build(self, cache: dict) -> _native.Model:
        return shared(self.block, cache).with_dtype(self._dtype)


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
    # Slow to import, and needed by models written in Python alone.
    import inspect

    parameters = list(inspect.signature(function).parameters.values())
    inputs = [p.name for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]

    def forward(trace: Any, values: list) -> tuple[list[str], list]:
        push(Frame(trace, _Names(names()), cache))
        try:
            return _names_and_values(called(function, *[Tensor(v) for v in values]))
        finally:
            pop()

    return _native.Model.python(kind, inputs, forward)


class Module(Block):
    """A block written in Python: children are attributes (or lists, tuples, dicts of blocks in attributes), and `forward` says what is
    computed. The names of its arguments are the names of the inputs; it returns a tensor, a tuple, or a dict of named outputs."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the block computes."""
        raise NotImplementedError

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
        if type(self).forward is Module.forward:
            raise NotImplementedError(f"{type(self).__name__} has no `forward`: it says what the block computes")

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
            import inspect

            variables = inspect.getclosurevars(self.function)
            for name, value in {**variables.globals, **variables.nonlocals}.items():
                _collect(name, value, found)
            return found

        return _python_model(getattr(self.function, "__name__", "function"), self.function, names, cache)


def as_block(model: Any) -> Any:
    """A block from a block or a function of symbolic tensors."""
    if isinstance(model, Block):
        return model
    if callable(model):
        return Function(model)
    raise ModelError(f"{model!r} is not a model: give a block of wz.nn, nn.training(...), or a function of tensors")
