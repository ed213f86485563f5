"""The transformations of functions: `grad`, `vjp`, `jvp`, `vmap`, `hessian`, `jacfwd`, `jacrev`.

Each traces its function into a graph, transforms that, and adds the result to the graph around it. Outside of any trace, `jit`
is what is around: so transformations compose in any order.
"""

import functools
import weakref
from collections.abc import Callable
from typing import Any

from wootz import _native, _tree
from wootz._errors import DTypeError, ShapeError, TraceError
from wootz._jit import Traced, argument_names, jit, trace_function, unwrapped
from wootz._tensor import Tensor, tensor
from wootz._tracing import current, site, trace_of


class _Arguments:
    """The arguments of a call inside a trace, flat."""

    __slots__ = ("function", "leaves", "names", "structure")

    def __init__(self, function: Callable, args: tuple, kwargs: dict) -> None:
        leaves, self.structure = _tree.flatten((args, kwargs))
        self.leaves = [tensor(leaf) for leaf in leaves]
        self.names = argument_names(unwrapped(function), self.structure)
        self.function = function

    def specs(self) -> list:
        return [(x.spec, x._weak) for x in self.leaves]

    def call(self, leaves: list) -> Any:
        args, kwargs = _tree.unflatten(self.structure, leaves)
        return self.function(*args, **kwargs)

    def trace(self) -> Traced:
        return trace_function(self.call, self.specs(), self.names)

    def selected(self, argnums: Any, what: str) -> tuple[list[int], list]:
        """The positions of the leaves of the arguments `argnums`, and those arguments' structures."""
        args = self.structure[2][0][2]
        starts = [0]
        for child in args:
            starts.append(starts[-1] + _tree.count(child))
        positions, structures = [], []
        for number in (argnums,) if isinstance(argnums, int) else argnums:
            if not -len(args) <= number < len(args):
                raise TraceError(f"{what}: there is no argument {number} by position, the call has {len(args)}")
            number %= len(args)
            positions += range(starts[number], starts[number + 1])
            structures.append(args[number])
        for position in positions:
            if not self.leaves[position].dtype.is_float:
                name, spec = self.names[position], self.leaves[position].spec
                raise DTypeError(f"{what}: `{name}` is {spec}; only floats have derivatives (argnums chooses the arguments)")
        return positions, structures

    def inline(self, graph: Any, traced: Traced, *more: list) -> list:
        """The outputs of a transformed graph on the arguments, captures and what the transformation added."""
        values = [x._value for x in self.leaves] + traced.captures + [x._value for xs in more for x in xs]
        return trace_of("a transformation").inline(graph, values, site())


def _restored(structures: list, values: Any, argnums: Any) -> Any:
    """Derivatives in the structure of the arguments they are taken by."""
    leaves = iter([Tensor(value) for value in values])
    trees = tuple(_tree.unflatten(s, [next(leaves) for _ in range(_tree.count(s))]) for s in structures)
    return trees[0] if isinstance(argnums, int) else trees


class Transformed:
    """A transformed function: adds to the graph around it, or is compiled if there is none."""

    def __init__(self, function: Callable, build: Callable, name: str) -> None:
        functools.update_wrapper(self, function)
        self.__name__ = f"{name}({getattr(function, '__name__', 'function')})"
        self._build = build
        self._jit = jit(build)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if current() is None:
            return self._jit(*args, **kwargs)
        return self._build(*args, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)


def _scalar_loss(traced: Traced, has_aux: bool, what: str) -> None:
    name, spec = traced.graph.outputs[0] if traced.graph.outputs else ("output", None)
    if has_aux and (traced.structure is None or traced.structure[0] is not tuple or len(traced.structure[2]) != 2):
        raise TraceError(f"{what}: with has_aux the function returns (loss, anything else)")
    first = traced.structure[2][0] if has_aux else traced.structure
    if first is not None:
        raise TraceError(f"{what}: the function must return one scalar; for more, return (loss, rest) and set has_aux=True")
    if len(spec.shape):
        raise ShapeError(f"{what}: `{name}` is {spec}, and a gradient is that of a scalar: reduce it first, or use wz.jacrev")


def value_and_grad(function: Callable, argnums: Any = 0, has_aux: bool = False) -> Transformed:
    """A function that gives the value of `function` and its gradient by the arguments `argnums`.

    `function` returns a float scalar, or `(scalar, anything)` with `has_aux`. The gradient has the structure of the argument, or is
    a tuple of such if `argnums` is a tuple.
    """

    def build(*args: Any, **kwargs: Any) -> Any:
        arguments = _Arguments(function, args, kwargs)
        positions, structures = arguments.selected(argnums, "grad")
        traced = arguments.trace()
        _scalar_loss(traced, has_aux, "grad")
        values = arguments.inline(traced.graph.grad(0, positions), traced)
        count = len(traced.weak)
        value = _tree.unflatten(traced.structure, [Tensor(v) for v in values[:count]])
        return value, _restored(structures, values[count:], argnums)

    return Transformed(function, build, "value_and_grad")


def grad(function: Callable, argnums: Any = 0, has_aux: bool = False) -> Transformed:
    """A function that gives the gradient of `function`, which returns a float scalar, by the arguments `argnums`. With
    `has_aux`, `function` returns `(scalar, anything)` and the result is `(gradient, anything)`."""
    both = value_and_grad(function, argnums, has_aux)

    def build(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return Transformed(function, build, "grad")


def hessian(function: Callable, argnums: Any = 0) -> Transformed:
    """A function that gives the second derivatives of `function`, which returns a float scalar: for each pair of leaves an array
    of shape `shape(i) + shape(j)`, structured as the argument inside the argument."""

    def build(*args: Any, **kwargs: Any) -> Any:
        arguments = _Arguments(function, args, kwargs)
        positions, structures = arguments.selected(argnums, "hessian")
        traced = arguments.trace()
        _scalar_loss(traced, False, "hessian")
        values = arguments.inline(traced.graph.hessian(0, positions), traced)
        n = len(positions)
        blocks = values[1 + n :]
        rows = [_restored(structures, blocks[i * n : (i + 1) * n], argnums) for i in range(n)]
        return _nested(structures, rows, argnums)

    return Transformed(function, build, "hessian")


def _nested(structures: list, rows: list, argnums: Any) -> Any:
    rows_left = iter(rows)
    trees = tuple(_tree.unflatten(s, [next(rows_left) for _ in range(_tree.count(s))]) for s in structures)
    return trees[0] if isinstance(argnums, int) else trees


def _jacobian(function: Callable, argnums: Any, mode: str) -> Transformed:
    def build(*args: Any, **kwargs: Any) -> Any:
        arguments = _Arguments(function, args, kwargs)
        positions, structures = arguments.selected(argnums, mode)
        traced = arguments.trace()
        if wrong := [(name, spec) for name, spec in traced.graph.outputs if not spec.dtype.is_float]:
            raise DTypeError(f"{mode}: `{wrong[0][0]}` is {wrong[0][1]}; only floats have derivatives")
        values = arguments.inline(getattr(traced.graph, mode)(positions), traced)
        count, n = len(traced.weak), len(positions)
        blocks = values[count:]
        rows = [_restored(structures, blocks[i * n : (i + 1) * n], argnums) for i in range(count)]
        return _tree.unflatten(traced.structure, rows)

    return Transformed(function, build, mode)


def jacfwd(function: Callable, argnums: Any = 0) -> Transformed:
    """A function that gives the Jacobian of `function` by forward mode (few inputs, many outputs): for each output the structure of
    the argument, with arrays of shape `shape(output) + shape(input)`."""
    return _jacobian(function, argnums, "jacfwd")


def jacrev(function: Callable, argnums: Any = 0) -> Transformed:
    """As `jacfwd`, by reverse mode (many inputs, few outputs)."""
    return _jacobian(function, argnums, "jacrev")


def _float_positions(leaves: list) -> list[int]:
    return [i for i, x in enumerate(leaves) if x.dtype.is_float]


def jvp(function: Callable, primals: tuple, tangents: tuple) -> tuple:
    """(value, directional derivative) of `function` at `primals` along `tangents`, which has the same structure. The derivative of an
    integer is `None`."""
    return _transform_of(function, "jvp", lambda: Transformed(function, _jvp_builder(function), "jvp"))(primals, tangents)


def _jvp_builder(function: Callable) -> Callable:
    def build(primals: Any, tangents: Any) -> Any:
        arguments = _Arguments(function, tuple(primals), {})
        moves, structure = _tree.flatten((tuple(tangents), {}))
        if structure != arguments.structure:
            raise TraceError("jvp: the tangents do not have the structure of the primals")
        positions = _float_positions(arguments.leaves)
        moves = [tensor(moves[i]).astype(arguments.leaves[i].dtype) for i in positions]
        for i, move in zip(positions, moves, strict=True):
            if move.shape != arguments.leaves[i].shape:
                name, got, expected = arguments.names[i], move.spec, arguments.leaves[i].spec
                raise ShapeError(f"jvp: the tangent of `{name}` is {got}, `{name}` is {expected}")
        traced = arguments.trace()
        values = arguments.inline(traced.graph.jvp(positions), traced, moves)
        count = len(traced.weak)
        derivatives = iter([Tensor(v) for v in values[count:]])
        out = _tree.unflatten(traced.structure, [Tensor(v) for v in values[:count]])
        pushed = [next(derivatives) if spec.dtype.is_float else None for _, spec in traced.graph.outputs]
        return out, _tree.unflatten(traced.structure, pushed)

    return build


def vjp(function: Callable, *primals: Any) -> tuple:
    """(value, pullback) of `function` at `primals`: `pullback(cotangent)`, of the structure of the value, gives the cotangents of the
    primals as a tuple. The pullback of integers is `None`."""
    if current() is None:
        forward = _transform_of(function, "value", lambda: jit(function))
        value = forward(*primals)
    else:
        value = function(*primals)
    back = _transform_of(function, "vjp", lambda: Transformed(function, _vjp_builder(function), "vjp"))
    return value, lambda cotangent: back(primals, cotangent)


def _vjp_builder(function: Callable) -> Callable:
    def build(primals: Any, cotangent: Any) -> Any:
        arguments = _Arguments(function, tuple(primals), {})
        positions = _float_positions(arguments.leaves)
        traced = arguments.trace()
        given, structure = _tree.flatten(cotangent)
        if structure != traced.structure:
            raise TraceError("vjp: the cotangent does not have the structure of the value")
        floats = [
            tensor(x).astype(spec.dtype)
            for x, (_, spec) in zip(given, traced.graph.outputs, strict=True)
            if spec.dtype.is_float
        ]
        for x, (name, spec) in zip(floats, [o for o in traced.graph.outputs if o[1].dtype.is_float], strict=True):
            if x.shape != spec.shape:
                raise ShapeError(f"vjp: the cotangent of `{name}` is {x.spec}, `{name}` is {spec}")
        values = arguments.inline(traced.graph.vjp(positions), traced, floats)[len(traced.weak) :]
        found = dict(zip(positions, [Tensor(v) for v in values], strict=True))
        leaves = [found.get(i) for i in range(len(arguments.leaves))]
        return _tree.unflatten(arguments.structure, leaves)[0]

    return build


_made: Any = weakref.WeakKeyDictionary()


def _transform_of(function: Callable, name: str, make: Callable) -> Any:
    """A transform of a function, made once so that its cache is found again."""
    try:
        known = _made.setdefault(function, {})
    except TypeError:
        return make()
    if name not in known:
        known[name] = make()
    return known[name]


def vmap(function: Callable, in_axes: Any = 0, out_axes: Any = 0) -> Transformed:
    """A function that maps `function` over an axis of its arguments.

    `in_axes` is an axis, `None` for arguments that are shared, or a tuple of these with one entry an argument (each of which may be a tree that
    matches the argument's). `out_axes` says where the axis goes in the results.
    """

    def build(*args: Any, **kwargs: Any) -> Any:
        arguments = _Arguments(function, args, kwargs)
        positional, named = arguments.structure[2]
        axes = _tree.prefix_leaves(list(in_axes) if isinstance(in_axes, tuple) else in_axes, positional, "vmap: in_axes")
        axes += [0] * _tree.count(named)
        leaves = arguments.leaves
        size: Any = None
        specs = []
        for i, (x, axis) in enumerate(zip(leaves, axes, strict=True)):
            shape = list(x.shape)
            if axis is None:
                specs.append((x.spec, x._weak))
                continue
            if not -len(shape) <= axis < len(shape):
                raise ShapeError(f"vmap: `{arguments.names[i]}` is {x.spec}, which has no axis {axis} to map over")
            axes[i] = axis = axis % len(shape)
            length = shape.pop(axis)
            if size is None:
                size, first = length, arguments.names[i]
            elif size != length:
                raise ShapeError(
                    f"vmap: the mapped axis of `{arguments.names[i]}` ({x.spec}) has size {length}, that of `{first}` {size}"
                )
            specs.append((_native.Spec(x.dtype, shape), x._weak))
        if size is None:
            raise TraceError("vmap: no argument has an axis to map over")
        traced = trace_function(arguments.call, specs, arguments.names)
        outs = _tree.prefix_leaves(out_axes, traced.structure, "vmap: out_axes")
        for i, (name, spec) in enumerate(traced.graph.outputs):
            if outs[i] is not None:
                rank = len(spec.shape) + 1
                if not -rank <= outs[i] < rank:
                    raise ShapeError(f"vmap: `{name}` is {spec}, out_axes {outs[i]} does not fit")
                outs[i] %= rank
        graph = traced.graph.vmap(axes + [None] * len(traced.captures), outs, size)
        values = arguments.inline(graph, traced)
        return _tree.unflatten(traced.structure, [Tensor(v) for v in values])

    return Transformed(function, build, "vmap")
