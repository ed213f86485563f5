"""Functions of neural networks: normalisation, attention, embedding. They build the graph of the function being traced."""

import math
from typing import Any

from wootz._errors import DTypeError, ShapeError
from wootz._ops import broadcast_to
from wootz._tensor import Tensor, cast, op, promote, tensor


def layer_norm(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5, normalized: int | None = None) -> Tensor:
    """(x - mean) / √(variance + eps) · weight + bias over the last axes: `normalized` many, by default as many as `weight` or
    `bias` has, else one."""
    return _normalize("layer_norm", x, {"weight": weight, "bias": bias}, eps, normalized)


def rms_norm(x: Any, weight: Any = None, eps: float = 1e-6, normalized: int | None = None) -> Tensor:
    """x / √(mean x² + eps) · weight over the last axes: `normalized` many, by default as many as `weight` has, else one."""
    return _normalize("rms_norm", x, {"weight": weight}, eps, normalized)


def _normalize(name: str, x: Any, scales: dict[str, Any], eps: float, normalized: int | None) -> Tensor:
    given = [s for s in scales.values() if s is not None]
    values, _ = promote(x, *given, floats=True)
    if normalized is None:
        normalized = len(values[1].shape) if given else 1
    attrs = {key: scale is not None for key, scale in scales.items()}
    return Tensor(op(name, *values, normalized=normalized, eps=float(eps), **attrs))


def attention(q: Any, k: Any, v: Any, mask: Any = None, causal: bool = False, scale: float | None = None) -> Tensor:
    """softmax(scale · q·kᵀ + mask) · v, for q `[.., queries, d]`, k `[.., keys, d]` and v `[.., keys, values]`; as PyTorch's
    `scaled_dot_product_attention`.

    `mask` broadcasts to `[.., queries, keys]`: bool (true where a query sees a key) or numbers that are added. `causal`: query i sees
    keys 0 to i. `scale` is 1/√d unless given. The axis before the queries (the heads) may be a multiple in q: consecutive heads of
    queries then share one of k and v. A query that sees no key has the result 0.
    """
    operands = [q, k, v]
    truths = mask is not None and tensor(mask).dtype.name == "bool"
    if mask is not None and not truths:
        operands.append(mask)
    values, _ = promote(*operands, floats=True)
    shapes = [value.shape for value in values[:3]]
    if any(len(shape) < 2 for shape in shapes):
        raise ShapeError(f"attention takes q, k and v of rank 2 or more, got {', '.join(str(v.spec) for v in values[:3])}")
    if mask is not None:
        seen = tensor(mask) if truths else Tensor(values.pop())
        values.append(broadcast_to(seen, (*shapes[0][:-1], shapes[1][-2]))._value)
    if scale is None:
        features = shapes[0][-1]
        if not isinstance(features, int):
            raise ShapeError(f"the last axis of q has the unknown size {features}: give attention a scale")
        scale = 1 / math.sqrt(features) if features else 1.0
    return Tensor(op("attention", *values, causal=bool(causal), mask=mask is not None, scale=float(scale)))


scaled_dot_product_attention = attention


def embedding(ids: Any, table: Any) -> Tensor:
    """The rows of the table that the ids name: ids `[..]` of integers, table `[rows, ..]`. An id out of bounds reads the nearest
    row."""
    ids, table = tensor(ids), tensor(table)
    if ids.dtype.is_float or ids.dtype.name == "bool":
        raise DTypeError(f"ids are integers, got {ids.spec}")
    value = ids._value if ids.dtype.name in ("i32", "i64", "u32") else cast(ids, "i32")
    return Tensor(op("embedding", value, table._value))
