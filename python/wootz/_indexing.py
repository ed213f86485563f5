"""Indexing as NumPy does it: integers, slices, `None`, `...` and arrays of integers."""

from typing import Any

from wootz._errors import DTypeError, ShapeError
from wootz._ops import astype, broadcast_to, reshape, stack, transpose, where
from wootz._tensor import Tensor, _ops, binary, op, tensor


def index(x: Tensor, key: Any) -> Tensor:
    """`x[key]`. Positions out of bounds are an error where they are Python integers, and clamped where they are arrays."""
    parts = _normalized(x, key)
    if _has_arrays(parts):
        x, indices, places = _prepared(x, parts)
        gathered = Tensor(op("gather", x._value, indices._value, batch=0, indexed=len(places)), x._weak)
        return _indexed_axes_back(gathered, indices.ndim - 1, places)
    return _basic(x, parts)


class At:
    """What `x.at` gives."""

    __slots__ = ("_x",)

    def __init__(self, x: Tensor) -> None:
        self._x = x

    def __getitem__(self, key: Any) -> "AtKey":
        return AtKey(self._x, key)


class AtKey:
    """What `x.at[key]` gives."""

    __slots__ = ("_key", "_x")

    def __init__(self, x: Tensor, key: Any) -> None:
        self._x = x
        self._key = key

    def set(self, values: Any) -> Tensor:
        """x with these elements replaced. Of several writes to one place the last wins."""
        return self._scatter("scatter_set", values)

    def add(self, values: Any) -> Tensor:
        """x with these elements added to. Several writes to one place all count."""
        return self._scatter("scatter_add", values)

    def _scatter(self, name: str, values: Any) -> Tensor:
        x = self._x
        count = 1
        for size in x.shape:
            if not isinstance(size, int):
                raise ShapeError(f"x.at[...] needs known sizes, got {x.spec}")
            count *= size
        # Which elements the key names is found by indexing their numbers.
        numbers = reshape(_ops().arange(count), x.shape)
        chosen = index(numbers, self._key)
        values = broadcast_to(astype(values, x.dtype), chosen.shape)
        places = reshape(chosen, (-1, 1))
        flat = op(name, reshape(x, (-1,))._value, places._value, reshape(values, (-1,))._value, batch=0, indexed=1)
        return reshape(Tensor(flat), x.shape)


def _normalized(x: Tensor, key: Any) -> list:
    parts = list(key) if isinstance(key, tuple) else [key]
    parts = [_part(part) for part in parts]
    used = sum(part is not None and part is not Ellipsis for part in parts)
    ndim = x.ndim
    if used > ndim:
        raise ShapeError(f"{used} indices are too many for {x.spec}")
    ellipses = [i for i, part in enumerate(parts) if part is Ellipsis]
    if len(ellipses) > 1:
        raise ShapeError("an index may have only one `...`")
    rest = [slice(None)] * (ndim - used)
    if ellipses:
        parts[ellipses[0] : ellipses[0] + 1] = rest
    else:
        parts += rest
    return parts


def _part(part: Any) -> Any:
    if part is None or part is Ellipsis or isinstance(part, slice) or type(part) is int:
        return part
    if isinstance(part, bool):
        raise DTypeError("indexing by a bool makes a shape that depends on values: use wz.where")
    if type(part) is not Tensor and hasattr(part, "__index__") and not getattr(part, "shape", ()):
        return part.__index__()
    if isinstance(part, (list, tuple)):
        part = _ops().asarray(part)
    part = tensor(part)
    if part.dtype.name == "bool":
        raise DTypeError("indexing by a mask makes a shape that depends on values: use wz.where")
    if part.dtype.is_float:
        raise DTypeError(f"indices are integers, got {part.spec}")
    return part


def _has_arrays(parts: list) -> bool:
    return any(type(part) is Tensor for part in parts)


def _basic(x: Tensor, parts: list) -> Tensor:
    starts, stops, steps, shape, reverse = [], [], [], [], []
    sizes = list(x.shape)
    axis = 0
    for part in parts:
        if part is None:
            shape.append(1)
            continue
        size = sizes[axis]
        if type(part) is int:
            start = _position(part, size, axis, x)
            starts.append(start)
            stops.append(start + 1)
            steps.append(1)
        else:
            start, stop, step, count, flipped = _range(part, size)
            starts.append(start)
            stops.append(stop)
            steps.append(step)
            shape.append(count)
            if flipped:
                reverse.append(axis)
        axis += 1
    whole = all(a == 0 and b == n and s == 1 for a, b, s, n in zip(starts, stops, steps, sizes, strict=True))
    value = x._value if whole else op("slice", x._value, start=starts, stop=stops, step=steps)
    if reverse:
        value = op("reverse", value, axes=reverse)
    return reshape(Tensor(value, x._weak), shape)


def _position(i: int, size: Any, axis: int, x: Tensor) -> Any:
    if isinstance(size, int) and not -size <= i < size:
        raise ShapeError(f"index {i} is out of range for axis {axis} of {x.spec}")
    return i if i >= 0 else size + i


def _range(part: slice, size: Any) -> tuple:
    """start, stop, step > 0, number of elements, whether they come in the opposite order."""
    if isinstance(size, int):
        start, stop, step = part.indices(size)
        count = len(range(start, stop, step))
        if count == 0:
            return 0, 0, 1, 0, False
        if step < 0:
            last = start + (count - 1) * step
            return last, start + 1, -step, count, True
        return start, min(stop, size), step, count, False
    step = 1 if part.step is None else part.step
    if step < 1:
        raise ShapeError(f"an axis of unknown size {size} is sliced with steps ≥ 1 only, got {step}")

    def bound(value: Any, default: Any) -> Any:
        if value is None:
            return default
        return size + value if isinstance(value, int) and value < 0 else value

    start, stop = bound(part.start, 0), bound(part.stop, size)
    return start, stop, step, (stop - start + (step - 1)) // step, False


def _prepared(x: Tensor, parts: list) -> tuple[Tensor, Tensor, list]:
    """For a key with arrays: x sliced with its indexed axes first, the index vectors, and where the indexed axes stood."""
    slices: list = [slice(None) if type(part) in (Tensor, int) else part for part in parts]
    x = _basic(x, slices)
    # From here on `parts` has one entry an axis of x.
    places = [i for i, part in enumerate(parts) if type(part) in (Tensor, int)]
    shape = x.shape
    columns = [_wrapped(parts[i], shape[i], i, x) for i in places]
    trace_shape = columns[0]
    for column in columns[1:]:
        trace_shape = binary("add", trace_shape, column)
    columns = [broadcast_to(column, trace_shape.shape) for column in columns]
    order = places + [i for i in range(x.ndim) if i not in places]
    return transpose(x, order), stack(columns, -1), places


def _wrapped(part: Any, size: Any, axis: int, x: Tensor) -> Tensor:
    if type(part) is int:
        return astype(tensor(_position(part, size, axis, x)), "i64")
    part = astype(part, "i64")
    length = size if isinstance(size, int) else None
    if length is None:
        raise ShapeError(f"axis {axis} of {x.spec} has an unknown size: it cannot be indexed by an array")
    return where(part < 0, part + length, part)


def _indexed_axes_back(gathered: Tensor, count: int, places: list) -> Tensor:
    """Indexed axes that stood side by side stay there; otherwise they come first."""
    adjacent = places == list(range(places[0], places[0] + len(places)))
    first = places[0] if adjacent else 0
    if first == 0:
        return gathered
    # `first` axes of the slice stand before.
    order = list(range(count, count + first)) + list(range(count)) + list(range(count + first, gathered.ndim))
    return transpose(gathered, order)
