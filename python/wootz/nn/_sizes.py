"""Sizes that layers are configured with."""

from collections.abc import Sequence
from operator import index

from wootz._errors import ModelError


def size(kind: str, name: str, value: int) -> int:
    """`value` as the size `name` of a layer; errors name both."""
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"nn.{kind}: {name} is {value!r}; it must be an integer") from None
    if not 0 <= number < 2**63:
        raise ModelError(f"nn.{kind}: {name} is {number}; it must be from 0 to 2**63 - 1")
    return number


def sizes(kind: str, name: str, values: Sequence[int]) -> list[int]:
    """Several, called `name[0]`, `name[1]`, …"""
    return [size(kind, f"{name}[{i}]", value) for i, value in enumerate(values)]
