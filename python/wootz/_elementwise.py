"""Elementwise functions of tensors, named and behaving as NumPy's."""

from collections.abc import Callable
from typing import Any

from wootz._tensor import Tensor, binary, cast, dtype_from, dtype_of, op, promote, tensor, unary
from wootz._tracing import site, trace_of


def _float_function(name: str, doc: str) -> Callable[[Any], Tensor]:
    def function(x: Any) -> Tensor:
        return unary(name, x, floats=True)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{doc} Integers are converted to f32."
    return function


exp = _float_function("exp", "eˣ.")
expm1 = _float_function("expm1", "eˣ - 1, accurate near 0.")
log = _float_function("log", "The natural logarithm.")
log1p = _float_function("log1p", "log(1 + x), accurate near 0.")
sqrt = _float_function("sqrt", "The square root.")
rsqrt = _float_function("rsqrt", "1 / √x.")
sin = _float_function("sin", "The sine.")
cos = _float_function("cos", "The cosine.")
tan = _float_function("tan", "The tangent.")
tanh = _float_function("tanh", "The hyperbolic tangent.")
erf = _float_function("erf", "The error function.")
erfc = _float_function("erfc", "1 - erf(x), accurate in the tail.")
erfinv = _float_function("erfinv", "The inverse of erf.")
lgamma = _float_function("lgamma", "The logarithm of |Γ(x)|.")
digamma = _float_function("digamma", "The derivative of lgamma.")
relu = _float_function("relu", "max(x, 0).")
silu = _float_function("silu", "x · sigmoid(x).")
sigmoid = _float_function("sigmoid", "1 / (1 + e⁻ˣ).")
softplus = _float_function("softplus", "log(1 + eˣ).")
isnan = _float_function("is_nan", "True where x is NaN.")
isfinite = _float_function("is_finite", "True where x is neither infinite nor NaN.")


def polygamma(order: int, x: Any) -> Tensor:
    """The derivative of this order (≥ 1) of digamma."""
    return unary("polygamma", x, floats=True, order=order)


def leaky_relu(x: Any, slope: float = 0.01) -> Tensor:
    """x where x > 0, slope · x elsewhere."""
    return unary("leaky_relu", x, floats=True, slope=float(slope))


def gelu(x: Any, approximate: str = "none") -> Tensor:
    """x · Φ(x); `approximate="tanh"` for the tanh approximation."""
    return unary("gelu_tanh" if approximate == "tanh" else "gelu", x, floats=True)


def negative(x: Any) -> Tensor:
    """-x."""
    return unary("neg", x)


def abs(x: Any) -> Tensor:
    """|x|."""
    return unary("abs", x)


def sign(x: Any) -> Tensor:
    """-1, 0 or 1."""
    return unary("sign", x)


def _rounding(name: str, doc: str) -> Callable[[Any], Tensor]:
    def function(x: Any) -> Tensor:
        return unary(name, x) if dtype_of(x).is_float else tensor(x)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


floor = _rounding("floor", "The largest integer ≤ x.")
ceil = _rounding("ceil", "The smallest integer ≥ x.")
round = _rounding("round", "The nearest integer, halves to even.")


def logical_not(x: Any) -> Tensor:
    """True where x is false."""
    return Tensor(op("not", cast(x, "bool")))


def stop_gradient(x: Any) -> Tensor:
    """x, with derivative zero."""
    return unary("stop_gradient", x)


def square(x: Any) -> Tensor:
    """x²."""
    x = tensor(x)
    return x * x


def _binary_function(name: str, doc: str, floats: bool = False) -> Callable[[Any, Any], Tensor]:
    def function(x: Any, y: Any) -> Tensor:
        return binary(name, x, y, floats=floats)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


add = _binary_function("add", "x + y.")
subtract = _binary_function("sub", "x - y.")
multiply = _binary_function("mul", "x · y.")
divide = _binary_function("div", "x / y, as floats.", floats=True)
floor_divide = _binary_function("floor_div", "⌊x / y⌋.")
fmod = _binary_function("rem", "The remainder of x / y, with the sign of x.")
maximum = _binary_function("max", "The larger; NaN if either is.")
minimum = _binary_function("min", "The smaller; NaN if either is.")
arctan2 = _binary_function("atan2", "The angle of the point (y, x): the first argument is y.", floats=True)
equal = _binary_function("eq", "x == y.")
not_equal = _binary_function("ne", "x != y.")
less = _binary_function("lt", "x < y.")
less_equal = _binary_function("le", "x <= y.")
greater = _binary_function("gt", "x > y.")
greater_equal = _binary_function("ge", "x >= y.")


def mod(x: Any, y: Any) -> Tensor:
    """The remainder of x / y, with the sign of y (Python's `%`)."""
    remainder = binary("rem", x, y)
    if remainder is NotImplemented:
        return remainder
    wrapped = (remainder != 0) & ((remainder < 0) != (tensor(y) < 0))
    return where(wrapped, remainder + y, remainder)


def pow(x: Any, y: Any) -> Tensor:
    """xʸ. Small whole exponents become products."""
    if type(y) is int and 1 <= y <= 4:
        x = tensor(x)
        result = x
        for _ in range(y - 1):
            result = result * x
        return result
    if type(y) is int and y < 0:
        y = float(y)
    if type(y) is float and y == 0.5:
        return sqrt(x)
    return binary("pow", x, y)


def logical_and(x: Any, y: Any) -> Tensor:
    """True where both are true."""
    return Tensor(cast(x, "bool")) & Tensor(cast(y, "bool"))


def logical_or(x: Any, y: Any) -> Tensor:
    """True where either is true."""
    return Tensor(cast(x, "bool")) | Tensor(cast(y, "bool"))


def where(condition: Any, x: Any, y: Any) -> Tensor:
    """x where the condition is true, y elsewhere."""
    values, weak = promote(x, y)
    trace = trace_of("wz.where")
    here = site()
    return Tensor(trace.op("select", trace.broadcast([cast(condition, "bool"), *values], here), None, here)[0], weak)


def clip(x: Any, low: Any = None, high: Any = None) -> Tensor:
    """x limited to [low, high]; `None` is no limit."""
    if low is None and high is None:
        return tensor(x)
    if low is None:
        return minimum(x, high)
    if high is None:
        return maximum(x, low)
    (low, x, high), weak = promote(low, x, high)
    trace = trace_of("wz.clip")
    here = site()
    return Tensor(trace.op("clamp", trace.broadcast([low, x, high], here), None, here)[0], weak)


def astype(x: Any, dtype: Any) -> Tensor:
    """The elements converted to another type."""
    return Tensor(cast(x, dtype_from(dtype).name))
