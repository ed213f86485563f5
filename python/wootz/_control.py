"""Control flow that becomes part of the graph: `cond`, `while_loop`, `scan`, `custom_vjp`."""

import functools
from collections.abc import Callable
from typing import Any

from wootz import _native, _tree
from wootz._errors import DTypeError, ShapeError, TraceError
from wootz._tensor import Tensor, tensor
from wootz._tracing import current, site, trace_of
from wootz._jit import jit, trace_region


def _regions(traces: list) -> tuple[list, list]:
    """Ends traces; all take the same captures behind their own parameters."""
    captures: dict = {}
    for trace, *_ in traces:
        for value in trace.captures():
            captures.setdefault((id(value.trace), value.index), value)
    shared = list(captures.values())
    return [trace.finish(results, shared) for trace, results, *_ in traces], shared


def _operands(tree: Any) -> tuple[list, Any]:
    leaves, structure = _tree.flatten(tree)
    return [tensor(leaf) for leaf in leaves], structure


def _specs(tensors: list) -> list:
    return [(x.spec, False) for x in tensors]




def cond(predicate: Any, then: Callable, otherwise: Callable, *operands: Any) -> Any:
    """`then(*operands)` where the bool scalar `predicate` is true, `otherwise(*operands)` where it is false. Only the chosen one
    runs; both must return the same structure and types."""
    if current() is None:
        return jit(lambda p, xs: cond(p, then, otherwise, *xs))(predicate, operands)
    predicate = tensor(predicate).astype("bool")
    if predicate.ndim:
        raise ShapeError(f"cond: the predicate is {predicate.spec}; it must be a scalar (wz.where chooses element by element)")
    leaves, structure = _operands(operands)

    def branch(function: Callable) -> Any:
        return trace_region(lambda xs: function(*_tree.unflatten(structure, xs)), _specs(leaves))

    branches = [branch(then), branch(otherwise)]
    if branches[0][2] != branches[1][2]:
        raise TraceError("cond: the branches return different structures")
    (first, second), captures = _regions(branches)
    if first.results != second.results:
        raise TraceError(f"cond: one branch returns {first.results}, the other {second.results}; make them equal with astype")
    values = [predicate._value, *[x._value for x in leaves], *captures]
    out = trace_of("cond").op("cond", values, {"then": first, "else": second}, site())
    return _tree.unflatten(branches[0][2], [Tensor(v) for v in out])


def while_loop(condition: Callable, body: Callable, init: Any) -> Any:
    """While `condition(carry)` (a bool scalar) is true, carry = `body(carry)`; gives the last carry. The carry keeps its structure and
    types. Reverse-mode derivatives need `wz.scan` or `wz.custom_vjp`."""
    if current() is None:
        return jit(lambda x: while_loop(condition, body, x))(init)
    leaves, structure = _operands(init)
    specs = _specs(leaves)
    test = trace_region(lambda xs: condition(_tree.unflatten(structure, xs)), specs)
    step = trace_region(lambda xs: body(_tree.unflatten(structure, xs)), specs)
    _check_carry("while_loop", step, structure, leaves)
    (test_region, step_region), captures = _regions([test, step])
    if [str(spec) for spec in test_region.results] != ["bool[]"]:
        raise DTypeError(f"while_loop: the condition returns {test_region.results}; it must be one bool scalar")
    attrs = {"cond": test_region, "body": step_region, "carries": len(leaves)}
    out = trace_of("while_loop").op("while", [*[x._value for x in leaves], *captures], attrs, site())
    return _tree.unflatten(structure, [Tensor(v) for v in out])


def _check_carry(what: str, step: tuple, structure: Any, leaves: list) -> None:
    if step[2] != structure:
        raise TraceError(f"{what}: the body returns a carry of another structure than it takes")
    for name, x, value in zip(_tree.names(structure, "carry"), leaves, step[1], strict=False):
        if value.spec != x.spec:
            raise DTypeError(f"{what}: `{name}` starts as {x.spec} and the body makes it {value.spec}; keep the type with astype")


def scan(body: Callable, init: Any, xs: Any = None, length: int | None = None, reverse: bool = False) -> tuple:
    """For each slice x of `xs` along its first axis, `carry, y = body(carry, x)`; gives the last carry and the ys stacked. Without
    `xs`, `length` steps. `reverse` goes from the last slice to the first."""
    if current() is None:
        return jit(lambda c, x: scan(body, c, x, length, reverse))(init, xs)
    leaves, structure = _operands(init)
    rows, rows_structure = _operands(xs)
    for x in rows:
        if x.ndim == 0:
            raise ShapeError(f"scan: {x!r} has no axis to go along")
        if length is None:
            length = x.shape[0]
        elif x.shape[0] != length:
            raise ShapeError(f"scan: {x!r} has {x.shape[0]} slices, another operand or `length` says {length}")
    if length is None:
        raise TraceError("scan: give xs or length")
    specs = _specs(leaves) + [(_native.Spec(x.dtype, x.shape[1:]), False) for x in rows]

    def step(values: list) -> Any:
        carry = _tree.unflatten(structure, values[: len(leaves)])
        result = body(carry, _tree.unflatten(rows_structure, values[len(leaves) :]))
        if not isinstance(result, tuple) or len(result) != 2:
            raise TraceError("scan: the body must return (carry, y)")
        return result

    trace, results, out_structure, weak = trace_region(step, specs)
    carry_structure, y_structure = out_structure[2]
    _check_carry("scan", (trace, results, carry_structure), structure, leaves)
    (region,), captures = _regions([(trace, results)])
    attrs = {"body": region, "carries": len(leaves), "xs": len(rows), "length": length, "reverse": reverse}
    values = [x._value for x in leaves] + [x._value for x in rows] + captures
    out = [Tensor(v) for v in trace_of("scan").op("scan", values, attrs, site())]
    return _tree.unflatten(structure, out[: len(leaves)]), _tree.unflatten(y_structure, out[len(leaves) :])


class custom_vjp:
    """A function with a derivative of its own in reverse mode: `f.defvjp(forward, backward)`.

    `forward(*args)` returns `(value, residuals)`, `backward(residuals, cotangent)` a tuple with one cotangent an argument.
    """

    def __init__(self, function: Callable) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._forward: Any = None
        self._backward: Any = None
        self._jit = jit(self._build)

    def defvjp(self, forward: Callable, backward: Callable) -> None:
        """Sets the derivative."""
        self._forward = forward
        self._backward = backward

    def __call__(self, *args: Any) -> Any:
        if self._forward is None:
            raise TraceError(f"custom_vjp: {self.__name__} has no derivative yet: call defvjp")
        return self._jit(*args) if current() is None else self._build(*args)

    def _build(self, *args: Any) -> Any:
        leaves, structure = _operands(args)
        specs = _specs(leaves)
        primal = trace_region(lambda xs: self._function(*_tree.unflatten(structure, xs)), specs)
        forward = trace_region(lambda xs: self._forward(*_tree.unflatten(structure, xs)), specs)
        if forward[2] is None or forward[2][0] is not tuple or len(forward[2][2]) != 2:
            raise TraceError("custom_vjp: forward must return (value, residuals)")
        value_structure, kept_structure = forward[2][2]
        if value_structure != primal[2]:
            raise TraceError("custom_vjp: forward returns a value of another structure than the function")
        count = _tree.count(value_structure)
        kept = forward[1][count:]

        def pull(values: list) -> Any:
            residuals = _tree.unflatten(kept_structure, values[: len(kept)])
            cotangent = _tree.unflatten(value_structure, values[len(kept) :])
            found = self._backward(residuals, cotangent)
            given, same = _tree.flatten(tuple(found))
            if same != structure:
                raise TraceError("custom_vjp: backward must return one cotangent an argument, structured like it")
            return [tensor(g).astype(x.dtype) for g, x in zip(given, leaves, strict=True)]

        cotangents = [(value.spec, False) for value in kept + primal[1]]
        backward = trace_region(pull, cotangents)
        for trace in (primal[0], forward[0], backward[0]):
            if trace.captures():
                raise TraceError("custom_vjp: the function refers to a traced value around it: make it an argument")
        regions, _ = _regions([primal, forward, backward])
        attrs = dict(zip(("primal", "forward", "backward"), regions, strict=True))
        out = trace_of("custom_vjp").op("custom_vjp", [x._value for x in leaves], attrs, site())
        return _tree.unflatten(primal[2], [Tensor(v) for v in out])
