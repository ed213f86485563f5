"""Pytrees: nested dicts, lists, tuples, named tuples and dataclasses whose leaves are arrays, as in JAX."""

from collections.abc import Callable
from typing import Any

_registered: dict[type, tuple[Callable, Callable]] = {}


def register(kind: type, flatten: Callable, unflatten: Callable) -> None:
    """Makes objects of class `kind` nodes of pytrees.

    `flatten(object)` gives `(children, data)`: a tuple of subtrees and something hashable; `unflatten(data, children)` puts
    them together again.
    """
    _registered[kind] = (flatten, unflatten)


def flatten(tree: Any) -> tuple[list, Any]:
    """The leaves of a tree in order, and its structure (hashable)."""
    leaves: list = []
    return leaves, _flatten(tree, leaves)


# A structure is `None` for a leaf, else (kind, data, structures of the children).
def _flatten(tree: Any, leaves: list) -> Any:
    kind = type(tree)
    if kind is tuple or kind is list:
        return (kind, None, tuple([_flatten(child, leaves) for child in tree]))
    if kind is dict:
        try:
            keys = tuple(sorted(tree))
        except TypeError:
            keys = tuple(tree)
        return (dict, keys, tuple([_flatten(tree[key], leaves) for key in keys]))
    if tree is None:
        return (type(None), None, ())
    if kind in _registered:
        children, data = _registered[kind][0](tree)
        return (kind, data, tuple([_flatten(child, leaves) for child in children]))
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return (kind, None, tuple([_flatten(child, leaves) for child in tree]))
    if hasattr(kind, "__dataclass_fields__"):
        # The module `dataclasses` is slow to import, and is loaded already where there is a dataclass.
        from dataclasses import fields

        names = tuple(field.name for field in fields(tree))
        return (kind, names, tuple([_flatten(getattr(tree, name), leaves) for name in names]))
    leaves.append(tree)
    return None


def unflatten(structure: Any, leaves: Any) -> Any:
    """The tree of this structure with these leaves."""
    return _unflatten(structure, iter(leaves))


def _unflatten(structure: Any, leaves: Any) -> Any:
    if structure is None:
        return next(leaves)
    kind, data, children = structure
    if kind is type(None):
        return None
    built = [_unflatten(child, leaves) for child in children]
    if kind is tuple or kind is list:
        return kind(built)
    if kind is dict:
        return dict(zip(data, built, strict=True))
    if kind in _registered:
        return _registered[kind][1](data, tuple(built))
    if issubclass(kind, tuple):
        return kind(*built)
    # Not through `__init__`, which may compute or refuse.
    made = object.__new__(kind)
    for name, child in zip(data, built, strict=True):
        object.__setattr__(made, name, child)
    return made


def count(structure: Any) -> int:
    """The number of leaves of a structure."""
    return 1 if structure is None else sum(count(child) for child in structure[2])


def tree_map(function: Callable, tree: Any, *others: Any) -> Any:
    """Applies `function` to the leaves of `tree` and the leaves at the same places of `others`."""
    leaves, structure = flatten(tree)
    rows = [leaves]
    for other in others:
        more, same = flatten(other)
        if same != structure:
            raise ValueError("the trees do not have the same structure")
        rows.append(more)
    return unflatten(structure, [function(*row) for row in zip(*rows, strict=True)])


def names(structure: Any, prefix: str) -> list[str]:
    """A name for each leaf: `prefix['w'][0].bias`."""
    if structure is None:
        return [prefix]
    kind, data, children = structure
    if kind is dict:
        parts = [f"[{key!r}]" for key in data]
    elif isinstance(data, tuple) and len(data) == len(children):
        parts = [f".{name}" for name in data]
    else:
        parts = [f"[{i}]" for i in range(len(children))]
    return [name for part, child in zip(parts, children, strict=True) for name in names(child, prefix + part)]


def prefix_leaves(prefix: Any, structure: Any, what: str) -> list:
    """One entry of `prefix` for each leaf of `structure`: an entry holds for everything below its place. A tuple or list or dict in
    `prefix` must match one in the tree; `None` and integers are entries."""
    if prefix is None or isinstance(prefix, int):
        return [prefix] * count(structure)
    _, data, children = structure if structure is not None else (None, None, ())
    if isinstance(prefix, dict) and structure is not None and structure[0] is dict:
        if set(prefix) == set(data):
            pairs = [(prefix[key], child) for key, child in zip(data, children, strict=True)]
            return [leaf for entry, child in pairs for leaf in prefix_leaves(entry, child, what)]
    elif isinstance(prefix, (tuple, list)) and structure is not None and len(prefix) == len(children):
        pairs = zip(prefix, children, strict=True)
        return [leaf for entry, child in pairs for leaf in prefix_leaves(entry, child, what)]
    raise ValueError(f"{what} {prefix!r} does not match the structure of the arguments")
