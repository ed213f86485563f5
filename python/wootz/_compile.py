"""`wz.compile`: models to programs."""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from wootz import _native
from wootz._errors import BackendError, ModelError, UnknownNameError

# The most signatures that one model is compiled for at a time.
_LIMIT = 256


class CacheInfo(NamedTuple):
    """How a cache has been doing."""

    hits: int
    misses: int
    size: int
    limit: int


# The backends that run generated source; any other name is native.
GENERATED = ("numpy", "jax", "torch", "mlx")

# What `compile_definition` takes besides a definition and shapes.
OPTIONS = ("backend", "optimize", "threads", "nan_check", "jit", "device", "precision", "jit_options", "file", "cache")


def compile_definition(
    definition: Any,
    shapes: dict | None = None,
    *,
    backend: str = "cpu",
    optimize: str = "full",
    threads: int | None = None,
    nan_check: bool = False,
    **generated: Any,
) -> Any:
    """Compiles what was traced. `generated` is for backends that run generated source."""
    if backend in GENERATED:
        # Native programs do without what this imports.
        from wootz import backends

        for name, value in (("threads", threads), ("nan_check", nan_check)):
            if value:
                raise BackendError(f'backend "{backend}" has no `{name}`: leave it out')
        return backends.compile_generated(definition, shapes, backend=backend, optimize=optimize, **generated)
    for name, value in generated.items():
        if value is not None:
            raise BackendError(f'backend "{backend}" has no `{name}`: it is for {", ".join(GENERATED)}')
    return _native.compile(definition, shapes or {}, backend, optimize, threads, nan_check)


def compile(
    model: Any,
    inputs: dict[str, Any] | None = None,
    *,
    backend: str = "cpu",
    optimize: str = "full",
    threads: int | None = None,
    nan_check: bool = False,
    training: bool = False,
    jit: bool | None = None,
    device: Any = None,
    precision: str | None = None,
    jit_options: Mapping[str, Any] | None = None,
    file: str | os.PathLike | None = None,
    autodiff: str | None = None,
    stack_layers: bool | None = None,
    cache: str | os.PathLike | None = None,
) -> Any:
    """Compiles a model for inputs of these types: `wz.compile(model, {"x": wz.f32[32, 784]})`.

    `model` is a block of `wz.nn`, a training step (`nn.training(...)`), a function of symbolic tensors, or a `Graph`. Without `inputs`
    the result is called in the same way and compiles once for every new signature.

    * `backend`: `"cpu"`, which is native; `"numpy"`, `"jax"`, `"torch"`, `"mlx"`, which run generated source (`program.source()`).
    * `optimize`: how much the graph is rewritten: `"none"`, `"basic"`, `"full"`.
    * `threads`: the most threads a run may use; `None` is all there are.
    * `nan_check`: after every run, look for NaNs; an error names the block and the line where the first one arose.
    * `training`: trace a block as in training (Dropout drops).

    For backends that run generated source:

    * `jit`: whether the framework compiles it (`jax.jit`, `torch.compile`, `mx.compile`); only JAX does unless asked.
    * `device`: where it runs, by the framework's name for it. `precision`: of matrix products, by the framework's name for it.
    * `jit_options`: arguments of the framework's compiler: `{"mode": "max-autotune"}`.
    * `file`: where the source is written.
    * `autodiff`: who differentiates a training step: `"wootz"`, whose derivatives are then in the source, or the `"framework"`
      (`jax.value_and_grad`, `torch.autograd`, `mx.value_and_grad`). The faster one unless given: PyTorch's own, else wootz's.
    * `cache`: a folder where the framework keeps what it compiled (JAX, and PyTorch with `jit=True`), for this process and others;
      `program.report().cache` says what was found there.
    * `stack_layers`: equal layers in a row become one loop over their stacked parameters, JAX's `lax.scan`, which traces a layer
      once. The derivatives of a training step are then JAX's own. Parameters and state are read and given by their layers' names; what
      `program.params` gives has them stacked (`layers.*.norm1.weight`), as `program.function` takes them.
    """
    options = {
        "backend": backend,
        "optimize": optimize,
        "threads": threads,
        "nan_check": nan_check,
        "jit": jit,
        "device": device,
        "precision": precision,
        "jit_options": jit_options,
        "file": file,
        "autodiff": autodiff,
        "stack_layers": stack_layers,
        "cache": cache,
    }
    if inputs is None:
        return Specializing(model, options, training)
    return compile_definition(define(model, inputs, training), **options)


def define(model: Any, inputs: dict[str, Any], training: bool = False) -> Any:
    """Traces a model on inputs of these types."""
    from wootz import nn
    from wootz.nn._blocks import as_block

    if isinstance(model, _native.Graph):
        return _native.Definition(model)
    block = model if isinstance(model, nn.Training) else as_block(model)
    return block.define({name: spec_from(spec) for name, spec in inputs.items()}, training)


def spec_from(spec: Any) -> _native.Spec:
    """The type of a tensor from a spec, a dtype (a scalar's), or an array."""
    if isinstance(spec, _native.Spec):
        return spec
    if isinstance(spec, _native.DType):
        return spec[()]
    return _native.spec_of(spec)


class Specializing:
    """A model that is compiled once for every new signature of its inputs. Called like a program."""

    __module__ = "wootz"

    def __init__(self, model: Any, options: dict, training: bool) -> None:
        self._model = model
        self._options = options
        self._training = training
        self._programs: dict = {}
        self._hits = self._misses = 0

    def program(self, **inputs: Any) -> _native.Program:
        """The program for inputs like these (arrays or types)."""
        key = tuple([(name, spec_from(x)) for name, x in inputs.items()])
        found = self._programs.get(key)
        if found is not None:
            self._hits += 1
            return found
        self._misses += 1
        found = compile_definition(define(self._model, dict(key), self._training), **self._options)
        if len(self._programs) >= _LIMIT:
            del self._programs[next(iter(self._programs))]
        self._programs[key] = found
        return found

    def init(self, seed: int = 0, **inputs: Any) -> Any:
        """Initial parameters (or state); `inputs` are arrays or types like those it will be called with."""
        if not inputs and not self._programs:
            raise UnknownNameError("init needs inputs to know the model's sizes: init(seed, x=wz.f32[1, 784])")
        program = self.program(**inputs) if inputs else next(iter(self._programs.values()))
        return program.init(seed)

    def __call__(self, *args: Any, **inputs: Any) -> Any:
        if len(args) > 1:
            raise ModelError(f"a model takes its parameters and then its inputs by name, got {len(args)} arguments by position")
        return self.program(**inputs)(*args, **inputs)

    def cache_info(self) -> CacheInfo:
        """Hits, misses, and the signatures compiled for."""
        return CacheInfo(self._hits, self._misses, len(self._programs), _LIMIT)

    def clear_cache(self) -> None:
        """Forgets every signature (compiled graphs stay in the program cache; see `wz.clear_cache`)."""
        self._programs.clear()
        self._hits = self._misses = 0


def cache_info() -> CacheInfo:
    """How the cache of compiled graphs has been doing, which all programs share."""
    return CacheInfo(*_native.cache_info())


def clear_cache() -> None:
    """Forgets every compiled graph; programs in use live on."""
    _native.cache_clear()


def set_cache_limit(limit: int) -> None:
    """Sets how many compiled graphs are kept (256 unless set)."""
    _native.cache_limit(limit)


def save(path: str | os.PathLike, contents: Any) -> None:
    """Writes a training state, parameters, or a mapping of names to arrays as safetensors. A reader sees the old file or the new one."""
    _native.save(path, contents)


def load(path: str | os.PathLike) -> Any:
    """Reads a safetensors file: a `State` that `save` wrote resumes to the same bits; anything else is `Params`, by PyTorch's names."""
    return _native.load(path)
