"""Programs that run as generated source on another framework: NumPy, JAX, PyTorch, MLX.

Each framework is one module that says how its arrays are made, checked and compiled; `GeneratedProgram` is what they share.
"""

import contextlib
import importlib
import itertools
import json
import linecache
import os
import time
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from wootz import _native
from wootz._errors import BackendError, DTypeError, FileError, ModelError, ShapeError, UnknownNameError
from wootz.backends import _cache
from wootz.backends._cache import CompilationCache, Report
from wootz.backends._held import Layout, State

_counter = itertools.count()


class Framework:
    """How a framework is used. Subclasses say what differs."""

    name: str
    # The package to import, the oldest version that the generated source runs on, and what installs it.
    package: str
    oldest: tuple[int, ...]
    install: str
    # Whether it can compile programs, and does unless asked otherwise.
    compiles: bool = True
    jit: bool = False
    # Whether its compiler can keep programs on disk.
    caches: bool = False

    def __init__(self, device: Any, precision: str | None, options: Mapping[str, Any] | None) -> None:
        self.module = self.load(f'backend "{self.name}"')
        self.device = device
        self.precision = precision
        self.options = dict(options or {})
        self.check()

    @classmethod
    def load(cls, what: str) -> types.ModuleType:
        """The framework's package, for `what`; an error says what to install."""
        oldest = ".".join(map(str, cls.oldest))
        needed, installed = f"{what} needs {cls.package} {oldest} or newer", f'pip install "{cls.install}>={oldest}"'
        try:
            module = importlib.import_module(cls.package)
        except ImportError as error:
            raise BackendError(f"{needed}: {installed}") from error
        version = getattr(module, "__version__", None) or importlib.import_module("importlib.metadata").version(cls.install)
        found = tuple(int(part) for part in version.split("+")[0].split(".")[:2] if part.isdigit())
        if found < cls.oldest:
            raise BackendError(f"{needed}, found {version}: {installed}")
        return module

    def check(self) -> None:
        """Raises for arguments that the framework cannot honour."""
        if self.device is not None:
            raise BackendError(f'backend "{self.name}" has one device: leave `device` out, not {self.device!r}')
        if self.precision is not None:
            raise BackendError(f'backend "{self.name}" has no `precision`: leave it out')
        if self.options:
            raise BackendError(f'backend "{self.name}" has no `jit_options`: leave them out')

    def jit_arguments(self) -> str:
        """Arguments of the framework's compiler, as source."""
        return ", ".join(f"{name}={_literal(value)}" for name, value in self.options.items())

    def device_source(self) -> str | None:
        """The device as the source names it."""
        return None

    def array(self, value: Any) -> Any:
        """An array of the framework, on its device."""
        raise NotImplementedError(self.name)

    def placed(self, array: Any) -> Any:
        """An array of the framework on the program's device, itself if it is there. Called where there is a device."""
        return array

    def own(self, value: Any) -> Any:
        """An array that nobody else holds, for a state that steps overwrite."""
        return self.array(value)

    def stack(self, arrays: list[Any]) -> Any:
        """Arrays of one shape as one array, along a new first axis."""
        raise NotImplementedError(self.name)

    def dtype(self, name: str) -> Any:
        """The framework's dtype of this name, as in `float32`: what an array's `dtype` is compared with."""
        return getattr(self.module, name)

    def differentiates(self, jit: bool) -> bool:
        """Whether a training step's derivatives are better left to the framework."""
        return False

    def around(self, wide: bool) -> contextlib.AbstractContextManager:
        """What is around loading and calling: `wide` says whether the program has 64-bit types."""
        return contextlib.nullcontext()

    def cached(self, cache: CompilationCache) -> contextlib.AbstractContextManager:
        """What is around calls that compile, for the compiler to look into the cache and to fill it."""
        raise NotImplementedError(self.name)

    def wrap(self, function: Any, wide: bool, updates: bool, placed: bool = False) -> Any:
        """The function with what it needs around every call; `placed`: its arrays are on the device, and it is compiled."""
        return function

    def stablehlo(self, function: Any, held: Any, types: list[tuple[tuple, Any]], wide: bool) -> str:
        """The function on arrays of these shapes and dtypes as StableHLO."""
        raise BackendError(f'StableHLO is written through JAX: compile with backend="jax", not "{self.name}"')


# Names of dtypes outside wootz.
_NAMES = {
    "bool": "bool",
    "u8": "uint8",
    "u32": "uint32",
    "i32": "int32",
    "i64": "int64",
    "f16": "float16",
    "bf16": "bfloat16",
    "f32": "float32",
    "f64": "float64",
}


class GeneratedProgram(_native.Caller):
    """A program of another framework. Called as a native one: `program(params, x=...)`, `step(state, x=..., y=...)`."""

    __module__ = "wootz"

    def __init__(
        self,
        definition: Any,
        shapes: dict,
        framework: Framework,
        optimize: str,
        jit: bool,
        file: Any,
        autodiff: str | None = None,
        stack_layers: bool = False,
        cache: CompilationCache | None = None,
    ) -> None:
        if autodiff not in (None, "wootz", "framework"):
            raise BackendError(f'autodiff must be "wootz" or "framework", not {autodiff!r}')
        # A scan's derivative is the framework's to take: wootz's would be written layer by layer.
        default = "framework" if definition.is_step and (stack_layers or framework.differentiates(jit)) else "wootz"
        differentiate = (autodiff or default) == "framework"
        self._definition = definition
        self._shapes = shapes
        self.framework = framework
        self._generated = _native.generate(
            definition,
            shapes,
            framework.name,
            optimize,
            jit,
            framework.jit_arguments(),
            framework.device_source(),
            differentiate,
            stack_layers,
        )
        generated = self._generated
        self._given = [(name, spec) for name, role, spec in generated.inputs if role == "input"]
        self._held = {name: spec for name, role, spec in generated.inputs if role != "input"}
        params = tuple(name for name, role, _ in generated.inputs if role == "param")
        self._layout = Layout(self._held, params, generated.stacks)
        self._updates = any(updates for _, updates, _ in generated.outputs)
        self._results = [name for name, updates, _ in generated.outputs if not updates]
        # What a right input looks like, so that checking one is two comparisons.
        self._expected = [(name, tuple(spec.shape), self._dtype(spec)) for name, spec in self._given]
        # The type of the last input that needed no conversion, where there is no device that it may be missing from.
        self._kept: type = object
        start = time.perf_counter()
        if file is not None:
            self.save_source(file)
        # The module makes its constants.
        try:
            with framework.around(generated.wide):
                self.module = _load(generated.source, framework.name)
        except (TypeError, ValueError, RuntimeError) as error:
            if not framework.options:
                raise
            raise BackendError(f'backend "{framework.name}" refuses `jit_options` {framework.options!r}: {error}') from error
        function = getattr(self.module, generated.function)
        self._cache = cache
        # Calls of the program bring their arrays to the device; others bring what they have.
        placed = jit and framework.device is not None and bool(generated.inputs)
        self._function = self._through_cache(framework.wrap(function, generated.wide, self._updates, placed))
        self._public = self._through_cache(framework.wrap(function, generated.wide, self._updates)) if placed else None
        self._stages = [*generated.stages, ("load", time.perf_counter() - start)]

    def _through_cache(self, function: Any) -> Any:
        """The function, which looks into the cache until it has been compiled."""
        cache = self._cache
        if cache is None:
            return function

        def call(*args: Any) -> Any:
            if cache.used:
                return function(*args)
            with self.framework.cached(cache):
                out = function(*args)
            if cache.used and self._function is call:
                self._function = function
            return out

        return call

    def source(self) -> str:
        """The generated module."""
        return self._generated.source

    @property
    def function(self) -> Callable[..., Any]:
        """The function that runs: `function(params, x)` or `function(state, x, y)` of the framework's arrays, nothing checked."""
        return self._public or self._function

    def save_source(self, path: str | os.PathLike) -> None:
        """Writes the generated module: a file that runs with only the framework installed."""
        try:
            Path(path).write_text(self._generated.source, encoding="utf-8")
        except OSError as error:
            raise FileError(f"cannot write `{os.fspath(path)}`: {error.strerror}") from error

    @property
    def inputs(self) -> dict[str, Any]:
        """The types of the inputs given at every run, by name."""
        return dict(self._given)

    @property
    def outputs(self) -> dict[str, Any]:
        """The types of the outputs, by name."""
        return {name: spec for name, updates, spec in self._generated.outputs if not updates}

    @property
    def held(self) -> dict[str, Any]:
        """The types of parameters and state, by name."""
        return dict(self._held)

    @property
    def updates(self) -> bool:
        """Whether the program is a step that updates its state."""
        return self._updates

    def stablehlo(self) -> str:
        """The program as StableHLO text, through `jax.export`: what XLA's other front ends and compilers read."""
        types = [(tuple(spec.shape), self._dtype(spec)) for _, spec in self._given]
        held = {name: self._type(members) for name, members in self._layout.held.items()} if self._generated.held else None
        return self.framework.stablehlo(getattr(self.module, self._generated.function), held, types, self._generated.wide)

    @property
    def stages(self) -> list[tuple[str, float]]:
        """Seconds of each stage from the definition to the loaded source, in order."""
        return list(self._stages)

    def report(self) -> Report:
        """What it cost to come from the definition to the loaded source, and how the compilation cache is doing."""
        return Report(self.stages, self._cache)

    def init(self, seed: int = 0) -> Any:
        """Initial parameters or state, the same numbers as the native backend's."""
        native = _native.compile(self._definition, self._shapes, "cpu", "none", None, False)
        return self.state(native.init(seed)) if self._updates else self.params(native.init(seed))

    def params(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters as arrays of the framework, from any mapping of names to arrays. With `stack_layers` those of equal layers are one
        array, `layers.*.norm1.weight`, as the program takes them."""
        return self._converted(tensors, "parameter", self.framework.array)

    def state(self, tensors: Mapping[str, Any]) -> State:
        """A state as arrays of the framework, from any mapping of names to arrays: a checkpoint of any backend."""
        return State(self._converted(tensors, "state", self.framework.own), self._layout)

    def _converted(self, tensors: Mapping[str, Any], what: str, convert: Callable[[Any], Any]) -> dict[str, Any]:
        out = {}
        for held, members in self._layout.held.items():
            if held in tensors:
                out[held] = convert(tensors[held])
                self._check(held, out[held], *self._type(members))
                continue
            arrays = []
            for name in members:
                if name not in tensors:
                    raise UnknownNameError(f"{what} `{name}` ({self._held[name]!r}) is missing")
                arrays.append(self.framework.array(tensors[name]))
                self._check(name, arrays[-1], *self._type((name,)))
            out[held] = self.framework.stack(arrays)
        return out

    def _type(self, members: tuple[str, ...]) -> tuple[tuple, Any]:
        """Shape and dtype of something held, or of a stack of several."""
        spec = self._held[members[0]]
        shape = tuple(spec.shape)
        return (len(members), *shape) if len(members) > 1 else shape, self._dtype(spec)

    def _dtype(self, spec: Any) -> Any:
        return self.framework.dtype(_NAMES[repr(spec.dtype).removeprefix("wootz.")])

    def _check(self, name: str, array: Any, shape: tuple, dtype: Any) -> None:
        if tuple(array.shape) != shape:
            raise ShapeError(f"`{name}`: expected shape {list(shape)}, got {list(array.shape)}")
        if array.dtype != dtype:
            raise DTypeError(f"`{name}`: expected {dtype}, got {array.dtype}; convert it first")

    def _array(self, value: Any) -> Any:
        array = self.framework.array(value)
        if array is value and self.framework.device is None:
            self._kept = type(array)
        return array

    def _arguments(self, inputs: dict[str, Any]) -> list[Any]:
        arguments, kept = [], self._kept
        for name, shape, dtype in self._expected:
            array = inputs.get(name)
            if type(array) is not kept:
                if array is None:
                    raise self._wrong_names(inputs)
                array = self._array(array)
            if array.shape != shape or array.dtype != dtype:
                self._check(name, array, shape, dtype)
            arguments.append(array)
        if len(inputs) != len(arguments):
            raise self._wrong_names(inputs)
        return arguments

    def _wrong_names(self, inputs: dict[str, Any]) -> UnknownNameError:
        known = [name for name, _ in self._given]
        for name in inputs:
            if name not in known:
                there = ", ".join(f"`{k}`" for k in known) or "none"
                return UnknownNameError(f"the program has no input `{name}` (there are {there})")
        name, spec = next((name, spec) for name, spec in self._given if name not in inputs)
        return UnknownNameError(f"input `{name}` ({spec!r}) is missing")

    def _call(self, *args: Any, **inputs: Any) -> Any:
        """A call of which nothing is known."""
        if len(args) > 1:
            what = "the state" if self._updates else "the parameters"
            raise TypeError(f"a program takes {what} and then its inputs by name, got {len(args)} arguments by position")
        arguments = self._arguments(inputs)
        if not self._updates:
            if not self._held:
                self._remember(None, inputs, arguments)
                return self._function(*arguments)
            if not args:
                raise UnknownNameError(f"the program has parameters ({', '.join(self._held)}): pass them first")
            params = self.params(args[0])
            if type(args[0]) is dict and len(args[0]) == len(params) and all(params[name] is array for name, array in args[0].items()):
                self._remember(args[0], inputs, arguments)
            return self._function(params, *arguments)
        state = args[0] if args else None
        if type(state) is not State:
            if not isinstance(state, (Mapping, _native.State, _native.Params)):
                raise ModelError("the program updates its state: call it as `state, out = step(state, ...)`")
            state = self.state(state)
        tensors = state._taken()
        new, outputs = self._function(tensors, *arguments)
        return State(new, self._layout), outputs

    def _remember(self, params: dict[str, Any] | None, inputs: dict[str, Any], arguments: list[Any]) -> None:
        """Calls like one that converted nothing need not be looked at."""
        if self._cache is not None and not self._cache.used:
            return
        kinds = {type(array) for array in arguments} or {object}
        if len(kinds) == 1 and all(inputs[name] is array for (name, _), array in zip(self._given, arguments)):
            function = self._function
            if self.framework.device is not None:
                function = _placing(function, self.framework.placed, params is not None)
            self._recognise(function, params, self._expected, kinds.pop())

    def positional(self, inputs: list[Any]) -> list[Any]:
        """Runs on the inputs in order, without parameters; gives the outputs in order."""
        given = {name: array for (name, _), array in zip(self._given, inputs, strict=True)}
        # By name: JAX gives its dicts sorted.
        results = self(**given)
        return [results[name] for name in self._results]

    def __repr__(self) -> str:
        def listed(specs: Mapping[str, Any]) -> str:
            return ", ".join(f"{name}: {spec!r}" for name, spec in specs.items())

        return f"<wootz.Program on {self.framework.name} ({listed(self.inputs)}) -> ({listed(self.outputs)})>"


def compile_generated(
    definition: Any,
    shapes: dict | None = None,
    *,
    backend: str,
    optimize: str = "full",
    jit: bool | None = None,
    device: Any = None,
    precision: str | None = None,
    jit_options: Mapping[str, Any] | None = None,
    file: Any = None,
    autodiff: str | None = None,
    stack_layers: bool | None = None,
    cache: str | os.PathLike | None = None,
) -> GeneratedProgram:
    """Writes a definition as source of a framework and loads it."""
    module = importlib.import_module(f"wootz.backends._{backend}")
    framework = module.FRAMEWORK(device, precision, jit_options)
    if jit and not framework.compiles:
        raise BackendError(f'backend "{backend}" compiles nothing: leave `jit` out')
    jit = framework.jit if jit is None else jit
    if framework.options and not jit:
        instead = "leave `jit` out" if framework.jit else "add `jit=True`"
        raise BackendError(f'backend "{backend}" has no use for `jit_options` unless it compiles: {instead}')
    if cache is not None and not framework.caches:
        raise BackendError(f'backend "{backend}" keeps no compiled programs on disk: leave `cache` out')
    if cache is not None and not jit:
        raise BackendError(f'backend "{backend}" compiles nothing to keep in `cache` unless asked to: add `jit=True`')
    opened = None if cache is None else _cache.opened(cache)
    return GeneratedProgram(definition, shapes or {}, framework, optimize, jit, file, autodiff, bool(stack_layers), opened)


def _placing(function: Any, placed: Callable[[Any], Any], held: bool) -> Any:
    """The function with inputs brought to the device; parameters, if the function takes any, are there."""
    if held:
        return lambda first, *arrays: function(first, *map(placed, arrays))
    return lambda *arrays: function(*map(placed, arrays))


def _literal(value: Any) -> str:
    """A value as source, strings in double quotes."""
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _load(source: str, name: str) -> types.ModuleType:
    """The module of a source, whose lines tracebacks and debuggers can show."""
    file = f"<wootz {name} {next(_counter)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    module = types.ModuleType(f"wootz_generated_{name}")
    module.__file__ = file
    exec(compile(source, file, "exec"), module.__dict__)
    return module
