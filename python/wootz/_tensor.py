"""`Tensor`: an array that a graph under construction will compute, with NumPy's operators and methods."""

from typing import Any

from wootz import _native
from wootz._errors import DTypeError, ShapeError, TraceAttributeError, TraceError
from wootz._promotion import BY_NAME, DEFAULT, join
from wootz._tracing import current, site, trace_of

_CONTROL_FLOW = (
    "a tensor has no value while the function is traced, so Python cannot decide anything by it: use wz.where to choose "
    "element by element, wz.cond for branches, wz.while_loop or wz.scan for loops, and static_argnums for arguments that "
    "are not arrays"
)


class Tensor:
    """An array in a function being traced: it has a dtype and a shape, and no value yet."""

    __slots__ = ("_value", "_weak")
    __module__ = "wootz"

    def __init__(self, value: _native.Value, weak: bool = False) -> None:
        self._value = value
        self._weak = weak

    @property
    def dtype(self) -> _native.DType:
        """The element type."""
        return self._value.dtype

    @property
    def shape(self) -> tuple:
        """The sizes of the axes; `wz.dim` where they are unknown."""
        return self._value.shape

    @property
    def spec(self) -> _native.Spec:
        """Element type and shape."""
        return self._value.spec

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._value.shape)

    @property
    def size(self) -> Any:
        """The number of elements."""
        total = 1
        for size in self.shape:
            total = size * total
        return total

    @property
    def T(self) -> "Tensor":
        """The axes in the opposite order."""
        return self.transpose()

    def __repr__(self) -> str:
        return f"Tensor({self._value.spec})"

    # Values do not exist yet.

    def __bool__(self) -> bool:
        raise TraceError(f"{self!r}: {_CONTROL_FLOW} (at {site()})")

    def _no_value(self, *_: Any, **__: Any) -> Any:
        raise TraceError(f"{self!r} cannot become a Python number or a NumPy array: {_CONTROL_FLOW} (at {site()})")

    __int__ = __float__ = __index__ = __complex__ = __array__ = item = tolist = numpy = _no_value

    def __len__(self) -> int:
        shape = self.shape
        if not shape:
            raise TypeError(f"a scalar has no length (at {site()})")
        return int(shape[0])

    def __iter__(self) -> Any:
        return iter([self[i] for i in range(len(self))])

    __hash__ = object.__hash__

    # Operators.

    def __add__(self, other: Any) -> "Tensor":
        return binary("add", self, other)

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **options: Any) -> Any:
        """NumPy's operators leave the work to ours; its functions know nothing of traced tensors."""
        reflected = _REFLECTED.get(ufunc.__name__)
        if method == "__call__" and reflected and not options and not isinstance(operands[0], Tensor):
            return getattr(self, reflected)(operands[0])
        raise _foreign().refuse("numpy", ufunc.__name__, self)

    def __array_function__(self, function: Any, types: Any, operands: tuple, options: dict) -> Any:
        return _foreign().numpy_function(function, operands)

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, operands: tuple = (), options: dict | None = None) -> Any:
        return _foreign().torch_function(function, operands, _REFLECTED)

    def __getattr__(self, name: str) -> Any:
        # Names with underscores are what libraries look for.
        raise AttributeError(name) if name.startswith("_") else TraceAttributeError(_foreign().no_attribute(self, name))

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TraceError(f"{self!r} cannot be changed: use x = x.at[key].set(value) for x[key] = value (at {site()})")

    def __radd__(self, other: Any) -> "Tensor":
        return binary("add", other, self)

    def __sub__(self, other: Any) -> "Tensor":
        return binary("sub", self, other)

    def __rsub__(self, other: Any) -> "Tensor":
        return binary("sub", other, self)

    def __mul__(self, other: Any) -> "Tensor":
        return binary("mul", self, other)

    def __rmul__(self, other: Any) -> "Tensor":
        return binary("mul", other, self)

    def __truediv__(self, other: Any) -> "Tensor":
        return binary("div", self, other, floats=True)

    def __rtruediv__(self, other: Any) -> "Tensor":
        return binary("div", other, self, floats=True)

    def __floordiv__(self, other: Any) -> "Tensor":
        return binary("floor_div", self, other)

    def __rfloordiv__(self, other: Any) -> "Tensor":
        return binary("floor_div", other, self)

    def __mod__(self, other: Any) -> "Tensor":
        return _ops().mod(self, other)

    def __rmod__(self, other: Any) -> "Tensor":
        return _ops().mod(other, self)

    def __pow__(self, other: Any) -> "Tensor":
        return _ops().pow(self, other)

    def __rpow__(self, other: Any) -> "Tensor":
        return _ops().pow(other, self)

    def __matmul__(self, other: Any) -> "Tensor":
        return _ops().matmul(self, other)

    def __rmatmul__(self, other: Any) -> "Tensor":
        return _ops().matmul(other, self)

    def __and__(self, other: Any) -> "Tensor":
        return binary("and", self, other)

    __rand__ = __and__

    def __or__(self, other: Any) -> "Tensor":
        return binary("or", self, other)

    __ror__ = __or__

    def __xor__(self, other: Any) -> "Tensor":
        return binary("xor", self, other)

    __rxor__ = __xor__

    def __lshift__(self, other: Any) -> "Tensor":
        return binary("shl", self, other)

    def __rshift__(self, other: Any) -> "Tensor":
        return binary("shr", self, other)

    def __eq__(self, other: Any) -> "Tensor":  # type: ignore[override]
        return binary("eq", self, other)

    def __ne__(self, other: Any) -> "Tensor":  # type: ignore[override]
        return binary("ne", self, other)

    def __lt__(self, other: Any) -> "Tensor":
        return binary("lt", self, other)

    def __le__(self, other: Any) -> "Tensor":
        return binary("le", self, other)

    def __gt__(self, other: Any) -> "Tensor":
        return binary("gt", self, other)

    def __ge__(self, other: Any) -> "Tensor":
        return binary("ge", self, other)

    def __neg__(self) -> "Tensor":
        return unary("neg", self)

    def __pos__(self) -> "Tensor":
        return self

    def __abs__(self) -> "Tensor":
        return unary("abs", self)

    def __invert__(self) -> "Tensor":
        return unary("not", self)

    def __getitem__(self, key: Any) -> "Tensor":
        from wootz._indexing import index

        return index(self, key)

    @property
    def at(self) -> Any:
        """`x.at[key].set(y)` and `x.at[key].add(y)`: a copy with elements replaced or added to."""
        from wootz._indexing import At

        return At(self)

    # Methods, as NumPy's.

    def astype(self, dtype: Any) -> "Tensor":
        """The elements converted to another type."""
        return _ops().astype(self, dtype)

    def reshape(self, *shape: Any) -> "Tensor":
        """The same elements under another shape; one size may be -1."""
        return _ops().reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> "Tensor":
        """The axes in another order; without arguments the opposite one."""
        order = axes[0] if len(axes) == 1 and isinstance(axes[0], (tuple, list)) else axes
        return _ops().transpose(self, order or None)

    def ravel(self) -> "Tensor":
        """All elements in one axis."""
        return _ops().reshape(self, (-1,))

    flatten = ravel

    def squeeze(self, axis: Any = None) -> "Tensor":
        """Without the axes of size 1."""
        return _ops().squeeze(self, axis)

    def sum(self, axis: Any = None, keepdims: bool = False) -> "Tensor":
        """The sum over axes."""
        return _ops().sum(self, axis, keepdims)

    def prod(self, axis: Any = None, keepdims: bool = False) -> "Tensor":
        """The product over axes."""
        return _ops().prod(self, axis, keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> "Tensor":
        """The mean over axes."""
        return _ops().mean(self, axis, keepdims)

    def var(self, axis: Any = None, keepdims: bool = False, correction: int = 0) -> "Tensor":
        """The variance over axes."""
        return _ops().var(self, axis, keepdims, correction)

    def std(self, axis: Any = None, keepdims: bool = False, correction: int = 0) -> "Tensor":
        """The standard deviation over axes."""
        return _ops().std(self, axis, keepdims, correction)

    def max(self, axis: Any = None, keepdims: bool = False) -> "Tensor":
        """The largest over axes."""
        return _ops().max(self, axis, keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> "Tensor":
        """The smallest over axes."""
        return _ops().min(self, axis, keepdims)

    def argmax(self, axis: Any = None) -> "Tensor":
        """The position of the largest along an axis."""
        return _ops().argmax(self, axis)

    def argmin(self, axis: Any = None) -> "Tensor":
        """The position of the smallest along an axis."""
        return _ops().argmin(self, axis)

    def any(self, axis: Any = None, keepdims: bool = False) -> "Tensor":
        """Whether any element is true."""
        return _ops().any(self, axis, keepdims)

    def all(self, axis: Any = None, keepdims: bool = False) -> "Tensor":
        """Whether every element is true."""
        return _ops().all(self, axis, keepdims)


def _ops() -> Any:
    from wootz import _ops

    return _ops


def _foreign() -> Any:
    from wootz import _foreign

    return _foreign


def op(name: str, *operands: _native.Value, **attrs: Any) -> _native.Value:
    """Adds the op of this name, which has one result."""
    return trace_of(f"wz.{name}").op(name, operands, attrs, site())[0]


def weak_kind(x: Any) -> str | None:
    """`int` or `float` for Python's numbers and what was made of them alone."""
    kind = type(x)
    if kind is int:
        return "int"
    if kind is float:
        return "float"
    if kind is Tensor and x._weak:
        return "float" if x.dtype.is_float else "int"
    return None


def kind_of(x: Any) -> str:
    """The node of the promotion lattice that a value stands at."""
    return weak_kind(x) or dtype_of(x).name


def dtype_of(x: Any) -> _native.DType:
    """The element type of anything array-like."""
    if type(x) is Tensor:
        return x.dtype
    if type(x) is bool:
        return BY_NAME["bool"]
    return _native.spec_of(x).dtype


def value_of(x: Any) -> _native.Value:
    """The value of anything array-like in the graph being traced."""
    if type(x) is Tensor:
        return x._value
    weak = weak_kind(x)
    if weak is not None:
        return scalar(x, DEFAULT[weak])
    if isinstance(x, (str, bytes)) or x is None:
        raise TypeError(f"{x!r} is not an array")
    return trace_of("this").constant(x, site())


def scalar(x: Any, dtype: str) -> _native.Value:
    """A Python number as a constant."""
    return trace_of("this").scalar(BY_NAME[dtype], x, site())


def tensor(x: Any) -> Tensor:
    """Anything array-like as a tensor of the graph being traced."""
    if type(x) is Tensor:
        return x
    return Tensor(value_of(x), weak_kind(x) is not None)


def cast(x: Any, dtype: str) -> _native.Value:
    """The value converted to an element type."""
    if type(x) in (int, float):
        return scalar(x, dtype)
    value = value_of(x)
    return value if value.dtype.name == dtype else op("cast", value, dtype=dtype)


def promote(*operands: Any, floats: bool = False) -> tuple[list, bool]:
    """The operands converted to the type that arithmetic on them has, and whether that is weak."""
    name = kind_of(operands[0])
    for operand in operands[1:]:
        name = join(name, kind_of(operand))
    if floats:
        name = join(name, "float")
    weak = name in DEFAULT
    dtype = DEFAULT.get(name, name)
    return [cast(x, dtype) for x in operands], weak


def binary(name: str, x: Any, y: Any, floats: bool = False) -> Tensor:
    """An elementwise op of two operands, promoted and broadcast."""
    if isinstance(x, (str, bytes, list, tuple, dict)) or isinstance(y, (str, bytes, list, tuple, dict)):
        return NotImplemented
    values, weak = promote(x, y, floats=floats)
    trace = trace_of(f"wz.{name}")
    here = site()
    values = trace.broadcast(values, here)
    result = trace.op(name, values, None, here)[0]
    return Tensor(result, weak and name not in _COMPARISONS)


_COMPARISONS = frozenset(("eq", "ne", "lt", "le", "gt", "ge"))


def unary(name: str, x: Any, floats: bool = False, **attrs: Any) -> Tensor:
    """An elementwise op of one operand; `floats`: integers are converted first."""
    weak = weak_kind(x) is not None
    value = value_of(x)
    if floats and not value.dtype.is_float:
        value = op("cast", value, dtype="f32")
    return Tensor(op(name, value, **attrs), weak)


def axis_of(axis: Any, ndim: int) -> int:
    """An axis counted from the front."""
    found = axis.__index__()
    if not -ndim <= found < ndim:
        raise ShapeError(f"axis {axis} is out of range for a tensor with {ndim} axes")
    return found % ndim if ndim else 0


def axes_of(axis: Any, ndim: int) -> list[int]:
    """Axes counted from the front, ascending; `None` is all."""
    if axis is None:
        return list(range(ndim))
    axes = sorted(axis_of(a, ndim) for a in (axis if isinstance(axis, (tuple, list)) else (axis,)))
    if len(set(axes)) != len(axes):
        raise ShapeError(f"an axis is named twice in {axis}")
    return axes


def dtype_from(dtype: Any) -> _native.DType:
    """An element type from `wz.f32`, its name, a NumPy dtype or a Python type."""
    if isinstance(dtype, _native.DType):
        return dtype
    if isinstance(dtype, str) and dtype in BY_NAME:
        return BY_NAME[dtype]
    if dtype is float or dtype is int or dtype is bool:
        return BY_NAME[{float: "f32", int: "i64", bool: "bool"}[dtype]]
    import numpy

    try:
        return _native.spec_of(numpy.empty(0, dtype)).dtype
    except TypeError as error:
        raise DTypeError(f"{dtype!r} is not an element type: {error}") from None


__all__ = ["Tensor", "current"]


# What the operators of NumPy and PyTorch are with the tensor on the right.
_REFLECTED = {
    "add": "__radd__",
    "sub": "__rsub__",
    "subtract": "__rsub__",
    "mul": "__rmul__",
    "multiply": "__rmul__",
    "div": "__rtruediv__",
    "divide": "__rtruediv__",
    "floordiv": "__rfloordiv__",
    "floor_divide": "__rfloordiv__",
    "remainder": "__rmod__",
    "pow": "__rpow__",
    "power": "__rpow__",
    "matmul": "__rmatmul__",
    "and": "__rand__",
    "bitwise_and": "__rand__",
    "or": "__ror__",
    "bitwise_or": "__ror__",
    "xor": "__rxor__",
    "bitwise_xor": "__rxor__",
    "lt": "__gt__",
    "less": "__gt__",
    "le": "__ge__",
    "less_equal": "__ge__",
    "gt": "__lt__",
    "greater": "__lt__",
    "ge": "__le__",
    "greater_equal": "__le__",
    "eq": "__eq__",
    "equal": "__eq__",
    "ne": "__ne__",
    "not_equal": "__ne__",
}
