"""Functions of tensors, named and behaving as NumPy's. They build the graph of the function being traced."""

import builtins
from collections.abc import Callable, Sequence
from typing import Any

from wootz import _native
# fmt: off
from wootz._elementwise import (
    abs as abs, add as add, arctan2 as arctan2, astype as astype, ceil as ceil, clip as clip, cos as cos, digamma as
    digamma, divide as divide, equal as equal, erf as erf, erfc as erfc, erfinv as erfinv, exp as exp, expm1 as
    expm1, floor as floor, floor_divide as floor_divide, fmod as fmod, gelu as gelu, greater as greater,
    greater_equal as greater_equal, isfinite as isfinite, isnan as isnan, leaky_relu as leaky_relu, less as less,
    less_equal as less_equal, lgamma as lgamma, log as log, log1p as log1p, logical_and as logical_and, logical_not
    as logical_not, logical_or as logical_or, maximum as maximum, minimum as minimum, mod as mod, multiply as
    multiply, negative as negative, not_equal as not_equal, polygamma as polygamma, pow as pow, relu as relu, round
    as round, rsqrt as rsqrt, sigmoid as sigmoid, sign as sign, silu as silu, sin as sin, softplus as softplus, sqrt
    as sqrt, square as square, stop_gradient as stop_gradient, subtract as subtract, tan as tan, tanh as tanh, where
    as where,
)
# fmt: on
from wootz._errors import ShapeError
from wootz._promotion import BY_NAME, DEFAULT
from wootz._tensor import (
    Tensor,
    axes_of,
    axis_of,
    cast,
    dtype_from,
    dtype_of,
    op,
    promote,
    tensor,
    unary,
    value_of,
    weak_kind,
)
from wootz._tracing import site, trace_of

# Reductions.


def _reduced(x: Tensor, value: _native.Value, axes: list[int], keepdims: bool, weak: bool = False) -> Tensor:
    result = Tensor(value, weak)
    if not keepdims:
        return result
    return reshape(result, [1 if i in axes else size for i, size in enumerate(x.shape)])


def _reduce(name: str, x: Any, axis: Any, keepdims: bool, widen: bool = False) -> Tensor:
    x = tensor(x)
    value = x._value
    if widen and value.dtype.name in ("bool", "u8"):
        value = op("cast", value, dtype="u32" if value.dtype.name == "u8" else "i64")
    axes = axes_of(axis, x.ndim)
    if axes:
        value = op(name, value, axes=axes)
    return _reduced(x, value, axes, keepdims, x._weak)


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The sum over axes (all by default). bool sums to i64, u8 to u32."""
    return _reduce("reduce_sum", x, axis, keepdims, widen=True)


def prod(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The product over axes. bool multiplies to i64, u8 to u32."""
    return _reduce("reduce_prod", x, axis, keepdims, widen=True)


def max(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The largest over axes; NaN if any is."""
    return _reduce("reduce_max", x, axis, keepdims)


def min(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The smallest over axes; NaN if any is."""
    return _reduce("reduce_min", x, axis, keepdims)


def any(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Whether any element is true."""
    return _reduce("reduce_any", astype(x, "bool"), axis, keepdims)


def all(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Whether every element is true."""
    return _reduce("reduce_all", astype(x, "bool"), axis, keepdims)


def _float_reduce(name: str, x: Any, axis: Any, keepdims: bool, **attrs: Any) -> Tensor:
    x = tensor(x)
    value = x._value if x.dtype.is_float else op("cast", x._value, dtype="f32")
    axes = axes_of(axis, x.ndim)
    return _reduced(x, op(name, value, axes=axes, **attrs), axes, keepdims, x._weak)


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The mean over axes; integers are converted to f32."""
    return _float_reduce("mean", x, axis, keepdims)


def var(x: Any, axis: Any = None, keepdims: bool = False, correction: int = 0) -> Tensor:
    """The variance over axes; `correction=1` for Bessel's."""
    return _float_reduce("variance", x, axis, keepdims, correction=correction)


def std(x: Any, axis: Any = None, keepdims: bool = False, correction: int = 0) -> Tensor:
    """The standard deviation over axes."""
    return sqrt(var(x, axis, keepdims, correction))


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """log Σ eˣ over axes, without overflow."""
    return _float_reduce("logsumexp", x, axis, keepdims)


def softmax(x: Any, axis: int = -1) -> Tensor:
    """eˣ / Σ eˣ along an axis."""
    return unary("softmax", x, floats=True, axis=axis_of(axis, tensor(x).ndim))


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """x - log Σ eˣ along an axis."""
    return unary("log_softmax", x, floats=True, axis=axis_of(axis, tensor(x).ndim))


def _arg_reduce(name: str, x: Any, axis: Any) -> Tensor:
    x = tensor(x)
    if axis is None:
        x, axis = x.ravel(), 0
    return Tensor(op(name, x._value, axis=axis_of(axis, x.ndim)))


def argmax(x: Any, axis: Any = None) -> Tensor:
    """The i64 position of the largest along an axis, of equals the first; without an axis, among all elements."""
    return _arg_reduce("argmax", x, axis)


def argmin(x: Any, axis: Any = None) -> Tensor:
    """The i64 position of the smallest along an axis, of equals the first."""
    return _arg_reduce("argmin", x, axis)


# Contraction.


def matmul(x: Any, y: Any) -> Tensor:
    """The matrix product over the last two axes, as NumPy's `@`; leading axes broadcast."""
    (x, y), weak = promote(x, y)
    x, y = Tensor(x), Tensor(y)
    if x.ndim == 0 or y.ndim == 0:
        raise ShapeError(f"matmul takes no scalars, got {x.spec} and {y.spec}")
    if x.ndim == 1 and y.ndim <= 2:
        return _dot(x, y, (), (), (0,), (0,), weak)
    if y.ndim <= 2:
        return _dot(x, y, (), (), (x.ndim - 1,), (0,), weak)
    if x.ndim == 1:
        rows = matmul(reshape(x, (1, -1)), y)
        return reshape(rows, (*rows.shape[:-2], rows.shape[-1]))
    leading = _broadcast_shapes(x.shape[:-2], y.shape[:-2])
    x, y = broadcast_to(x, (*leading, *x.shape[-2:])), broadcast_to(y, (*leading, *y.shape[-2:]))
    batch = tuple(range(len(leading)))
    return _dot(x, y, batch, batch, (x.ndim - 1,), (y.ndim - 2,), weak)


def _dot(x: Tensor, y: Tensor, lb: tuple, rb: tuple, lc: tuple, rc: tuple, weak: bool) -> Tensor:
    value = op("dot", x._value, y._value, lhs_batch=lb, rhs_batch=rb, lhs_contract=lc, rhs_contract=rc)
    return Tensor(value, weak)


def _broadcast_shapes(*shapes: tuple) -> tuple:
    rank = builtins.max(len(shape) for shape in shapes)
    out: list = [1] * rank
    for shape in shapes:
        for i, size in enumerate(shape, rank - len(shape)):
            if out[i] == 1:
                out[i] = size
            elif size != 1 and size != out[i]:
                raise ShapeError(f"shapes {' and '.join(str(s) for s in shapes)} do not broadcast together")
    return tuple(out)


def dot(x: Any, y: Any) -> Tensor:
    """NumPy's `dot`: contracts the last axis of x with the last but one of y (its only one if it has one)."""
    (x, y), weak = promote(x, y)
    x, y = Tensor(x), Tensor(y)
    if x.ndim == 0 or y.ndim == 0:
        return x * y
    return _dot(x, y, (), (), (x.ndim - 1,), (builtins.max(y.ndim - 2, 0),), weak)


def tensordot(x: Any, y: Any, axes: Any = 2) -> Tensor:
    """Contracts several axes: the last n of x with the first n of y, or the pairs named."""
    (x, y), weak = promote(x, y)
    x, y = Tensor(x), Tensor(y)
    if isinstance(axes, int):
        left, right = range(x.ndim - axes, x.ndim), range(axes)
    else:
        left, right = [a if isinstance(a, (tuple, list)) else (a,) for a in axes]
    left, right = [axis_of(a, x.ndim) for a in left], [axis_of(a, y.ndim) for a in right]
    return _dot(x, y, (), (), tuple(left), tuple(right), weak)


def outer(x: Any, y: Any) -> Tensor:
    """Every product of an element of x with one of y."""
    return tensor(x).ravel()[:, None] * tensor(y).ravel()


def linear(x: Any, weight: Any, bias: Any = None) -> Tensor:
    """x · weightᵀ + bias, as PyTorch's `linear`: weight is [out, in]."""
    operands = [x, weight] if bias is None else [x, weight, bias]
    values, _ = promote(*operands, floats=True)
    return Tensor(op("linear", *values, bias=bias is not None))


# Movement.


def reshape(x: Any, shape: Any) -> Tensor:
    """The same elements under another shape; one size may be -1."""
    x = tensor(x)
    sizes = list(shape) if isinstance(shape, (tuple, list)) else [shape]
    open_axes = [i for i, size in enumerate(sizes) if isinstance(size, int) and size == -1]
    if len(open_axes) > 1:
        raise ShapeError(f"only one size may be -1, got {tuple(sizes)}")
    if open_axes:
        rest: Any = 1
        for i, size in enumerate(sizes):
            rest = size * rest if i not in open_axes else rest
        if isinstance(rest, int) and rest == 0:
            raise ShapeError(f"-1 is not determined by the sizes in {tuple(sizes)}")
        total = x.size
        if isinstance(total, int) and isinstance(rest, int) and total % rest:
            raise ShapeError(f"{x.spec} cannot be reshaped to {tuple(sizes)}")
        sizes[open_axes[0]] = total // rest
    if tuple(sizes) == x.shape:
        return x
    return Tensor(op("reshape", x._value, shape=sizes), x._weak)


def transpose(x: Any, axes: Any = None) -> Tensor:
    """The axes in another order; by default the opposite one."""
    x = tensor(x)
    order = list(range(x.ndim))[::-1] if axes is None else [axis_of(a, x.ndim) for a in axes]
    return x if order == list(range(x.ndim)) else Tensor(op("transpose", x._value, perm=order), x._weak)


def swapaxes(x: Any, first: int, second: int) -> Tensor:
    """Two axes exchanged."""
    x = tensor(x)
    order = list(range(x.ndim))
    first, second = axis_of(first, x.ndim), axis_of(second, x.ndim)
    order[first], order[second] = second, first
    return transpose(x, order)


def moveaxis(x: Any, source: int, destination: int) -> Tensor:
    """One axis moved to another place, the others keeping their order."""
    x = tensor(x)
    source, destination = axis_of(source, x.ndim), axis_of(destination, x.ndim)
    order = [i for i in range(x.ndim) if i != source]
    order.insert(destination, source)
    return transpose(x, order)


def squeeze(x: Any, axis: Any = None) -> Tensor:
    """Without the axes of size 1, or without those named."""
    x = tensor(x)
    shape = x.shape
    axes = [i for i, n in enumerate(shape) if n == 1] if axis is None else axes_of(axis, x.ndim)
    if wrong := [a for a in axes if shape[a] != 1]:
        raise ShapeError(f"axis {wrong[0]} of {x.spec} has not size 1")
    return reshape(x, [n for i, n in enumerate(shape) if i not in axes])


def expand_dims(x: Any, axis: int) -> Tensor:
    """With an axis of size 1 more."""
    x = tensor(x)
    shape = list(x.shape)
    shape.insert(axis_of(axis, x.ndim + 1), 1)
    return reshape(x, shape)


def broadcast_to(x: Any, shape: Any) -> Tensor:
    """Repeated to a shape by NumPy's rules."""
    x = tensor(x)
    return Tensor(trace_of("wz.broadcast_to").broadcast_to(x._value, shape, site()), x._weak)


def concat(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors one after another along an axis."""
    if not len(tensors):
        raise ShapeError("there is nothing to concatenate")
    values, weak = promote(*tensors)
    return Tensor(op("concat", *values, axis=axis_of(axis, len(values[0].shape))), weak)


concatenate = concat


def stack(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors one after another along a new axis."""
    return concat([expand_dims(x, axis) for x in tensors], axis)


def split(x: Any, sections: Any, axis: int = 0) -> list[Tensor]:
    """Cut along an axis: into so many equal pieces, or at the positions listed."""
    x = tensor(x)
    axis = axis_of(axis, x.ndim)
    size = x.shape[axis]
    if isinstance(sections, int):
        if size % sections:
            raise ShapeError(f"axis {axis} of {x.spec} cannot be cut into {sections} equal pieces")
        cuts = [i * (size // sections) for i in range(1, sections)]
    else:
        cuts = list(sections)
    key = (slice(None),) * axis
    return [x[(*key, slice(a, b))] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]


def flip(x: Any, axis: Any = None) -> Tensor:
    """The elements in the opposite order along axes."""
    x = tensor(x)
    axes = axes_of(axis, x.ndim)
    return Tensor(op("reverse", x._value, axes=axes), x._weak) if axes else x


def pad(x: Any, widths: Any, value: Any = 0) -> Tensor:
    """With `value` added around: (before, after) for each axis, or for all. Negative widths remove elements."""
    x = tensor(x)
    if isinstance(widths, int):
        widths = (widths, widths)
    if widths and isinstance(widths[0], int):
        widths = [widths] * x.ndim
    low, high = [w[0] for w in widths], [w[1] for w in widths]
    filler = cast(value, x.dtype.name)
    return Tensor(op("pad", x._value, filler, low=low, high=high, interior=[0] * x.ndim), x._weak)


def take(x: Any, indices: Any, axis: int = 0) -> Tensor:
    """The slices at these positions along an axis."""
    x = tensor(x)
    return x[(slice(None),) * axis_of(axis, x.ndim) + (indices,)]


def take_along_axis(x: Any, indices: Any, axis: int) -> Tensor:
    """For each position of `indices`, the element of x at that index along the axis."""
    x, indices = tensor(x), tensor(indices)
    axis = axis_of(axis, x.ndim)
    key: list = []
    for i in range(x.ndim):
        shape = [1] * x.ndim
        shape[i] = -1
        key.append(indices if i == axis else reshape(arange(indices.shape[i]), shape))
    return x[tuple(key)]


# Sources.


def asarray(x: Any, dtype: Any = None) -> Tensor:
    """Anything array-like as a tensor; nested lists and tuples of tensors are stacked."""
    if isinstance(x, (list, tuple)):
        x = stack([asarray(item) for item in x]) if len(x) else trace_of("wz.asarray").constant(x, site())
    return tensor(x) if dtype is None else astype(x, dtype)


array = asarray


def full(shape: Any, value: Any, dtype: Any = None) -> Tensor:
    """A tensor of one value."""
    if dtype is None:
        weak = weak_kind(value)
        name = DEFAULT[weak] if weak else dtype_of(value).name
    else:
        name = dtype_from(dtype).name
    return broadcast_to(Tensor(cast(value, name)), shape)


def zeros(shape: Any, dtype: Any = "f32") -> Tensor:
    """A tensor of zeros."""
    return full(shape, 0, dtype)


def ones(shape: Any, dtype: Any = "f32") -> Tensor:
    """A tensor of ones."""
    return full(shape, 1, dtype)


def full_like(x: Any, value: Any, dtype: Any = None) -> Tensor:
    """A tensor of x's shape (and type) of one value."""
    x = tensor(x)
    return full(x.shape, value, x.dtype if dtype is None else dtype)


def zeros_like(x: Any, dtype: Any = None) -> Tensor:
    """A tensor of x's shape (and type) of zeros."""
    return full_like(x, 0, dtype)


def ones_like(x: Any, dtype: Any = None) -> Tensor:
    """A tensor of x's shape (and type) of ones."""
    return full_like(x, 1, dtype)


def iota(shape: Any, axis: int, dtype: Any = "i64") -> Tensor:
    """0, 1, 2, … along an axis, the same along the others."""
    sizes = list(shape) if isinstance(shape, (tuple, list)) else [shape]
    return Tensor(op("iota", dtype=dtype_from(dtype).name, shape=sizes, axis=axis_of(axis, len(sizes))))


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Tensor:
    """start, start + step, … below stop; with one argument 0, 1, … below it (which may be a `wz.dim`)."""
    if stop is None and type(step) is int and step == 1:
        return iota([start], 0, "i64" if dtype is None else dtype)
    import numpy

    values = numpy.arange(start, stop, step)
    if dtype is None and values.dtype == numpy.float64:
        dtype = BY_NAME["f32"]
    return asarray(values, dtype)


def linspace(start: float, stop: float, count: int, dtype: Any = "f32") -> Tensor:
    """`count` evenly spaced numbers from start to stop."""
    import numpy

    return asarray(numpy.linspace(start, stop, count), dtype)


def eye(rows: Any, columns: Any = None, dtype: Any = "f32") -> Tensor:
    """Ones on the diagonal, zeros elsewhere."""
    shape = [rows, rows if columns is None else columns]
    return astype(iota(shape, 0) == iota(shape, 1), dtype)


def one_hot(labels: Any, classes: int, dtype: Any = "f32") -> Tensor:
    """One where the last axis' position is the label, zeros elsewhere."""
    labels = tensor(labels)
    return astype(expand_dims(labels, -1) == arange(classes), dtype)


def tril(x: Any, diagonal: int = 0) -> Tensor:
    """x with zeros above a diagonal of the last two axes."""
    x = tensor(x)
    shape = x.shape[-2:]
    return where(iota(shape, 0) + diagonal >= iota(shape, 1), x, zeros_like(x))


def triu(x: Any, diagonal: int = 0) -> Tensor:
    """x with zeros below a diagonal of the last two axes."""
    x = tensor(x)
    shape = x.shape[-2:]
    return where(iota(shape, 0) + diagonal <= iota(shape, 1), x, zeros_like(x))


def _segment_function(kind: str, doc: str) -> Callable[[Any, Any, Any], Tensor]:
    def function(data: Any, ids: Any, segments: Any) -> Tensor:
        return Tensor(op(f"segment_{kind}", value_of(data), value_of(ids), batch=0, segments=segments))

    function.__name__ = function.__qualname__ = f"segment_{kind}"
    function.__doc__ = f"{doc} of the rows with each id (ascending ids; there are `segments` of them)."
    return function


segment_sum = _segment_function("sum", "The sum")
segment_prod = _segment_function("prod", "The product")
segment_max = _segment_function("max", "The largest")
segment_min = _segment_function("min", "The smallest")
