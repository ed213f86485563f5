"""Python objects to JSON text, with the path of what cannot be written."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from wootz._errors import WorkspaceError


def text(value: Any) -> bytes:
    """A JSON document for a mapping, which may hold NumPy numbers and arrays."""
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False, default=_plain).encode()
    except (TypeError, ValueError) as error:
        found = _find(value, "")
        path, problem = found if found else (".", str(error))
        raised = WorkspaceError(f"`{path}`: {problem}")
        raised.path = path
        raise raised from None


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a JSON type")


def _find(value: Any, path: str) -> tuple[str, str] | None:
    """The first place that JSON cannot express, and why."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                return path or ".", f"the key {key!r} is not a string"
            found = _find(item, f"{path}.{key}" if path else key)
            if found:
                return found
        return None
    if isinstance(value, list | tuple):
        for i, item in enumerate(value):
            found = _find(item, f"{path}[{i}]")
            if found:
                return found
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return path or ".", f"the number is {value}: every number of a workspace must be finite"
    if value is None or isinstance(value, str | bool | int | float):
        return None
    return path or ".", f"{type(value).__name__} is not a JSON type"
