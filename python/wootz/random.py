"""Random numbers from keys (Threefry-2x32): the same key gives the same numbers, on every backend. For functions being traced."""

from typing import Any

from wootz._tensor import Tensor, dtype_from, op, tensor, value_of


def key(seed: int) -> Any:
    """A key from a seed: a `uint32` array of two words, which can be an argument of a traced function."""
    import numpy

    return numpy.array([(seed >> 32) & 0xFFFF_FFFF, seed & 0xFFFF_FFFF], numpy.uint32)


def fold_in(key: Any, number: Any) -> Tensor:
    """A key made of a key and a number: for different numbers the random numbers are independent."""
    return Tensor(op("fold_in", value_of(key), tensor(number).astype("u32")._value))


def split(key: Any, count: int = 2) -> list[Tensor]:
    """Several independent keys."""
    return [fold_in(key, i) for i in range(count)]


def bits(key: Any, shape: Any = ()) -> Tensor:
    """Random `u32`."""
    return Tensor(op("random_bits", value_of(key), shape=_sizes(shape)))


def uniform(key: Any, shape: Any = (), dtype: Any = "f32", low: Any = 0.0, high: Any = 1.0) -> Tensor:
    """Uniform in [low, high)."""
    unit = Tensor(op("uniform", value_of(key), shape=_sizes(shape), dtype=dtype_from(dtype).name))
    return unit if low == 0.0 and high == 1.0 else unit * (high - low) + low


def normal(key: Any, shape: Any = (), dtype: Any = "f32") -> Tensor:
    """Standard normal."""
    return Tensor(op("normal", value_of(key), shape=_sizes(shape), dtype=dtype_from(dtype).name))


def bernoulli(key: Any, p: Any = 0.5, shape: Any = ()) -> Tensor:
    """True with probability p."""
    return uniform(key, shape) < p


def _sizes(shape: Any) -> list:
    return list(shape) if isinstance(shape, (tuple, list)) else [shape]
