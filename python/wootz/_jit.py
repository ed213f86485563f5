"""Tracing plain functions, and `jit`: the one place that compiles them."""

import functools
from collections.abc import Callable
from typing import Any

from wootz import _native, _tree
from wootz._errors import DTypeError, TraceError
from wootz._promotion import BY_NAME, DEFAULT
from wootz._tensor import Tensor, tensor
from wootz._tracing import Frame, called, current, pop, push

_CACHE_LIMIT = 256


class Traced:
    """A function as a graph."""

    __slots__ = ("captures", "graph", "structure", "weak")

    def __init__(self, graph: Any, captures: list, structure: Any, weak: list) -> None:
        self.graph = graph
        # Values of enclosing traces that follow the arguments as inputs.
        self.captures = captures
        # Of the result.
        self.structure = structure
        self.weak = weak


def trace_region(function: Callable, specs: list) -> tuple[Any, list, Any, list]:
    """Calls `function` on a list of new tensors of these (spec, weak); gives the trace, result values, their structure and
    which are weak."""
    around = current()
    trace = _native.Trace(around.trace if around else None)
    params = [Tensor(trace.param(spec), weak) for spec, weak in specs]
    push(Frame(trace))
    try:
        leaves, structure = _tree.flatten(called(function, params))
        tensors = []
        for leaf in leaves:
            if isinstance(leaf, str) or callable(leaf):
                raise TraceError(f"the function returned {leaf!r}, which is not an array: return arrays, or trees of arrays")
            tensors.append(tensor(leaf))
        results = [trace.adopt(x._value) for x in tensors]
    finally:
        pop()
    return trace, results, structure, [x._weak for x in tensors]


def trace_function(function: Callable, specs: list, names: list[str]) -> Traced:
    """The graph of `function`, which takes a list of tensors of these (spec, weak)."""
    trace, results, structure, weak = trace_region(function, specs)
    captures = trace.captures()
    region = trace.finish(results, captures)
    inputs = names + [f"capture.{i}" for i in range(len(captures))]
    outputs = _tree.names(structure, "output")
    return Traced(region.graph(_unique(inputs), _unique(outputs)), captures, structure, weak)


def _unique(names: list[str]) -> list[str]:
    if len(set(names)) == len(names):
        return names
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name}.{seen[name]}")
    return out


def argument_names(function: Callable, structure: Any) -> list[str]:
    """Names of the leaves of (args, kwargs): those of the function's parameters where they are known."""
    args, kwargs = structure[2]
    code = getattr(function, "__code__", None)
    known = code.co_varnames[: code.co_argcount] if code else ()
    names = []
    for i, child in enumerate(args[2]):
        names += _tree.names(child, known[i] if i < len(known) else f"arg{i}")
    for key, child in zip(kwargs[1], kwargs[2], strict=True):
        names += _tree.names(child, key)
    return names


def unwrapped(function: Any) -> Any:
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


class jit:
    """A function that is compiled for each new signature of its arguments, and cached.

    Arguments are arrays, numbers, and trees of these (dicts, lists, tuples, named tuples, dataclasses). `static_argnums` and
    `static_argnames` name arguments that are not arrays: they are passed as they are, must be hashable, and a new value is a
    new signature. Options are those of `wz.compile`. Results are NumPy arrays in the structure that the function returned.
    """

    def __init__(
        self,
        function: Callable | None = None,
        *,
        static_argnums: int | tuple[int, ...] = (),
        static_argnames: str | tuple[str, ...] = (),
        **options: Any,
    ) -> None:
        self._static_argnums = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
        self._static_argnames = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
        if options:
            from wootz._compile import OPTIONS

            for name in options:
                if name not in OPTIONS:
                    raise TypeError(
                        f"jit has no option `{name}`; its options are static_argnums, static_argnames, {', '.join(OPTIONS)}"
                    )
        self._options = options
        self._cache: dict = {}
        self._hits = self._misses = 0
        if function is not None:
            self._bind(function)

    def _bind(self, function: Callable) -> None:
        self._function = function
        functools.update_wrapper(self, function)
        code = getattr(unwrapped(function), "__code__", None)
        names = code.co_varnames[: code.co_argcount] if code else ()
        positions = {i % len(names) if names and i < 0 else i for i in self._static_argnums}
        positions |= {names.index(name) for name in self._static_argnames if name in names}
        self._positions = frozenset(positions)
        self._names = frozenset(self._static_argnames) | {names[i] for i in positions if i < len(names)}

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not hasattr(self, "_function"):
            # `@wz.jit(static_argnums=1)`: called with the function.
            self._bind(args[0])
            return self
        if current() is not None:
            return self._function(*args, **kwargs)
        leaves, program = self._prepare(args, kwargs)
        return _tree.unflatten(program[1], program[0].positional(leaves))

    def _prepare(self, args: tuple, kwargs: dict) -> tuple[list, Any]:
        static: tuple = ()
        if self._names or self._positions:
            static = tuple((i, args[i]) for i in self._positions if i < len(args))
            static += tuple((name, kwargs[name]) for name in self._names if name in kwargs)
            dynamic = tuple(None if i in self._positions else x for i, x in enumerate(args))
            leaves, structure = _tree.flatten((dynamic, {k: v for k, v in kwargs.items() if k not in self._names}))
        else:
            leaves, structure = _tree.flatten((args, kwargs))
        try:
            leaves = [x if type(x) in (int, float) else _native.as_array(x) for x in leaves]
        except TypeError as error:
            raise _named(error, leaves, argument_names(unwrapped(self._function), structure)) from None
        signature = tuple([type(x) if type(x) in (int, float) else (x.dtype, x.shape) for x in leaves])
        key = (signature, structure, static)
        found = self._cache.get(key)
        if found is not None:
            self._hits += 1
            return leaves, found
        self._misses += 1
        try:
            found = self._compile(leaves, structure, static)
        except DTypeError as error:
            if "the array" not in str(error):
                raise
            raise _named(error, leaves, argument_names(unwrapped(self._function), structure)) from None
        if len(self._cache) >= _CACHE_LIMIT:
            del self._cache[next(iter(self._cache))]
        self._cache[key] = found
        return leaves, found

    def _trace(self, leaves: list, structure: Any, static: tuple) -> Traced:
        def call(tensors: list) -> Any:
            args, kwargs = _tree.unflatten(structure, tensors)
            args = list(args)
            for place, value in static:
                if isinstance(place, int):
                    args[place] = value
                else:
                    kwargs[place] = value
            return self._function(*args, **kwargs)

        return trace_function(call, [_spec(x) for x in leaves], argument_names(unwrapped(self._function), structure))

    def _compile(self, leaves: list, structure: Any, static: tuple) -> Any:
        from wootz._compile import compile_definition

        traced = self._trace(leaves, structure, static)
        return compile_definition(_native.Definition(traced.graph), **self._options), traced.structure

    def program(self, *args: Any, **kwargs: Any) -> Any:
        """The compiled program for arguments like these."""
        return self._prepare(args, kwargs)[1][0]

    def cache_info(self) -> Any:
        """Hits, misses, and the signatures compiled for."""
        from wootz._compile import CacheInfo

        return CacheInfo(self._hits, self._misses, len(self._cache), _CACHE_LIMIT)

    def clear_cache(self) -> None:
        """Forgets every signature."""
        self._cache.clear()
        self._hits = self._misses = 0


def _named(error: TypeError, leaves: list, names: list[str]) -> TypeError:
    """The error about an argument that is no array, with the argument's name."""
    for x, name in zip(leaves, names, strict=True):
        try:
            _native.spec_of(x)
        except TypeError as found:
            return type(found)(str(found).replace("the array", f"`{name}`"))
    return error


def _spec(x: Any) -> tuple:
    if type(x) in (int, float):
        return _native.Spec(BY_NAME[DEFAULT[type(x).__name__]], ()), True
    return _native.spec_of(x), False
