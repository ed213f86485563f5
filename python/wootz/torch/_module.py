"""Programs as PyTorch modules."""

import itertools
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wootz import backends
from wootz._bridge import Flat
from wootz._errors import BackendError, DTypeError, ModelError, ShapeError, UnknownNameError

_DTYPES = {
    "bool": torch.bool,
    "u8": torch.uint8,
    "u32": torch.uint32,
    "i32": torch.int32,
    "i64": torch.int64,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "f32": torch.float32,
    "f64": torch.float64,
}

# Custom ops take tensors and numbers: programs go by number.
_programs: weakref.WeakValueDictionary[int, Flat] = weakref.WeakValueDictionary()
_counter = itertools.count()


def as_module(program: Any, params: Mapping[str, Any] | None = None, *, seed: int = 0) -> nn.Module:
    """A program as an `nn.Module`, with parameters by their names and derivatives.

        module = wz.torch.as_module(wz.compile(model, {"x": wz.f32[32, 784]}))
        logits = module(images)
        optimizer = torch.optim.AdamW(module.parameters())

    `program`: a native one, which runs as a custom operator (`torch.compile` takes it as it is) whose derivative is a program as well,
    compiled when it is first needed; or one of `backend="torch"`, which PyTorch differentiates. A program that updates a state is
    an error: training is PyTorch's here.

    `params`: initial values by name; those of `program.init(seed)` unless given.

    The module is called on the program's inputs, in order or by name. It gives the output, or a dict of them by name if there are
    several. Tensors on other devices are moved to the CPU and back. Second derivatives through a native program are not there.
    """
    if isinstance(program, backends.GeneratedProgram):
        return _Generated(program, params, seed)
    return _Native(program, params, seed)


class _Program(nn.Module):
    """What both kinds of modules share: parameters by name, inputs in order."""

    def __init__(self, held: dict[str, Any], inputs: dict[str, Any], outputs: list[str], values: Mapping[str, Any]) -> None:
        super().__init__()
        # What `forward` reads is plain Python: `torch.compile` traces it.
        self._inputs = [(name, tuple(spec.shape), _dtype(spec)) for name, spec in inputs.items()]
        self._outputs = outputs
        self._names = list(held)
        self._places: list[tuple[nn.Module, str]] = []
        for name, spec in held.items():
            if name not in values:
                raise UnknownNameError(f"parameter `{name}` ({spec!r}) is missing")
            value = values[name]
            if isinstance(value, Tensor):
                value = value.detach()
            elif getattr(getattr(value, "dtype", None), "name", None) == "bfloat16":
                value = _tensor(np.array(value), torch.device("cpu"))
            else:
                value = torch.from_dlpack(value)
            if tuple(value.shape) != tuple(spec.shape):
                raise ShapeError(f"parameter `{name}` is {list(value.shape)}, expected {spec!r}")
            self._add(name, value.to(_dtype(spec), copy=True))

    def _add(self, name: str, value: Tensor) -> None:
        """A parameter `0.weight` is `weight` of a child called `0`: so the names of `state_dict` are the program's."""
        module: nn.Module = self
        *path, last = name.split(".")
        for part in path:
            if part not in module._modules:
                module.add_module(part, nn.Module())
            module = module._modules[part]  # type: ignore[assignment]
        if value.dtype.is_floating_point:
            module.register_parameter(last, nn.Parameter(value))
        else:
            module.register_buffer(last, value)
        self._places.append((module, last))

    def _held_tensors(self) -> list[Tensor]:
        return [getattr(module, name) for module, name in self._places]

    def _given(self, args: tuple, inputs: dict[str, Tensor]) -> list[Tensor]:
        names = [name for name, _, _ in self._inputs]
        if len(args) + len(inputs) != len(names) or any(name not in names[len(args) :] for name in inputs):
            raise UnknownNameError(
                f"the module takes {', '.join(names)}; got {len(args)} by position and {', '.join(inputs) or 'none'} by name"
            )
        given = [*args, *(inputs[name] for name in names[len(args) :])]
        for x, (name, shape, dtype) in zip(given, self._inputs, strict=True):
            if tuple(x.shape) != shape:
                raise ShapeError(f"`{name}`: expected shape {list(shape)}, got {list(x.shape)}")
            if x.dtype != dtype:
                raise DTypeError(f"`{name}`: expected {dtype}, got {x.dtype}; convert it first")
        return given

    def extra_repr(self) -> str:
        """For `print(module)`."""
        return ", ".join(f"{name}: {dtype}{list(shape)}" for name, shape, dtype in self._inputs)


class _Native(_Program):
    """A native program. While it trains its parameters are read at every call; in evaluation they are packed until they change."""

    def __init__(self, program: Any, params: Mapping[str, Any] | None, seed: int) -> None:
        flat = Flat(program)
        held = {name: spec for name, spec, held in zip(flat.names, flat.specs, flat.held, strict=True) if held}
        values = params if params is not None else program.init(seed) if held else {}
        super().__init__(held, dict(program.inputs), [name for name, _ in flat.outputs], values)
        self._flat = flat
        self._is_held = flat.held
        self._handle = next(_counter)
        _programs[self._handle] = flat

    def forward(self, *args: Tensor, **inputs: Tensor) -> Any:
        """Runs the program."""
        own, given = iter(self._held_tensors()), iter(self._given(args, inputs))
        tensors = [next(own) if held else next(given) for held in self._is_held]
        outputs = torch.ops.wootz.run(tensors, self._handle, self.training)
        return outputs[0] if len(outputs) == 1 else dict(zip(self._outputs, outputs, strict=True))

    def __deepcopy__(self, memo: dict) -> "_Native":
        values = {name: x.detach().clone() for name, x in zip(self._names, self._held_tensors(), strict=True)}
        return _Native(self._flat.program, values, 0).train(self.training)


class _Generated(_Program):
    """A program of `backend="torch"`: PyTorch runs and differentiates its source."""

    def __init__(self, program: Any, params: Mapping[str, Any] | None, seed: int) -> None:
        if program.framework.name != "torch":
            raise BackendError(f'as_module takes a program of backend "cpu" or "torch", not "{program.framework.name}"')
        if program.updates:
            raise ModelError("the program updates its state: as_module takes a model, and leaves training to PyTorch")
        held = program.held
        values = params if params is not None else program.init(seed) if held else {}
        super().__init__(held, program.inputs, list(program.outputs), values)
        self._function = program.function

    def forward(self, *args: Tensor, **inputs: Tensor) -> Any:
        """Runs the program."""
        given = self._given(args, inputs)
        if self._names:
            outputs = self._function(dict(zip(self._names, self._held_tensors(), strict=True)), *given)
        else:
            outputs = self._function(*given)
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs


def _dtype(spec: Any) -> torch.dtype:
    return _DTYPES[repr(spec.dtype).removeprefix("wootz.")]


def _arrays(tensors: list[Tensor]) -> list[Any]:
    """What a native program reads, without copies where tensors are on the CPU."""
    return [_array(x.detach().cpu()) for x in tensors]


def _array(tensor: Tensor) -> Any:
    if tensor.dtype != torch.bfloat16:
        return tensor
    # NumPy has no such type of its own, and DLPack hands it none.
    import ml_dtypes

    return tensor.contiguous().view(torch.uint16).numpy().view(ml_dtypes.bfloat16)


def _tensor(array: Any, like: torch.device) -> Tensor:
    if isinstance(array, np.ndarray) and array.dtype.name == "bfloat16":
        tensor = torch.from_numpy(array.view(np.uint16)).view(torch.bfloat16)
    else:
        tensor = torch.from_numpy(np.asarray(array))
    return tensor if like.type == "cpu" else tensor.to(like)


def _versions(flat: Flat, tensors: list[Tensor], training: bool) -> Any:
    """What tells whether parameters are as they were; nothing does in training, where they change anyway."""
    if training:
        return None
    return [(x.data_ptr(), x._version) for x, held in zip(tensors, flat.held, strict=True) if held]


@torch.library.custom_op("wootz::run", mutates_args=())
def _run(tensors: list[Tensor], program: int, training: bool) -> list[Tensor]:
    flat = _programs[program]
    outputs = flat.run(_arrays(tensors), _versions(flat, tensors, training))
    return [_tensor(x, tensors[0].device) for x in outputs]


@_run.register_fake
def _(tensors: list[Tensor], program: int, training: bool) -> list[Tensor]:
    outputs = _programs[program].outputs
    return [tensors[0].new_empty(tuple(spec.shape), dtype=_dtype(spec)) for _, spec in outputs]


@torch.library.custom_op("wootz::vjp", mutates_args=())
def _vjp(tensors: list[Tensor], cotangents: list[Tensor], wrt: list[int], program: int, training: bool) -> list[Tensor]:
    flat = _programs[program]
    gradients = flat.vjp(_arrays(tensors), _arrays(cotangents), wrt, _versions(flat, tensors, training))
    return [_tensor(x, tensors[0].device) for x in gradients]


@_vjp.register_fake
def _(tensors: list[Tensor], cotangents: list[Tensor], wrt: list[int], program: int, training: bool) -> list[Tensor]:
    return [torch.empty_like(tensors[i], memory_format=torch.contiguous_format) for i in wrt]


def _remember(ctx: Any, inputs: tuple, output: list[Tensor]) -> None:
    tensors, ctx.program, ctx.training = inputs
    ctx.wrt = [i for i, x in enumerate(tensors) if x.requires_grad]
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, cotangents: list[Tensor]) -> tuple:
    tensors = list(ctx.saved_tensors)
    outputs = _programs[ctx.program].outputs
    floats = [
        torch.zeros(tuple(spec.shape), dtype=_dtype(spec), device=tensors[0].device) if ct is None else ct.contiguous()
        for ct, (_, spec) in zip(cotangents, outputs, strict=True)
        if _dtype(spec).is_floating_point
    ]
    by_position = dict(zip(ctx.wrt, torch.ops.wootz.vjp(tensors, floats, ctx.wrt, ctx.program, ctx.training), strict=True))
    return [by_position.get(i) for i in range(len(tensors))], None, None


_run.register_autograd(_backward, setup_context=_remember)


def _no_backward(ctx: Any, cotangents: list[Tensor]) -> tuple:
    raise BackendError('a native program has no second derivatives: a program of backend="torch" has')


_vjp.register_autograd(_no_backward)
