"""What is being traced now, and the way from Python values to values of the graph under construction."""

import os
import sys

# `threading.local`; loading the rest of `threading` would take as long as loading wootz.
from _thread import _local
from collections.abc import Callable
from types import CodeType
from typing import Any

from wootz import _native
from wootz._errors import TraceError

_HERE = os.path.dirname(__file__) + os.sep
_places: dict[tuple, str] = {}


class Frame:
    """A trace in progress. `names` is there while a model is traced: how the block being built calls its children."""

    __slots__ = ("cache", "names", "trace")

    def __init__(self, trace: _native.Trace, names: Any = None, cache: Any = None) -> None:
        self.trace = trace
        self.names = names
        self.cache = cache


class _Stack(_local):
    def __init__(self) -> None:
        self.frames: list[Frame] = []


_stack = _Stack()


def current() -> Frame | None:
    """The innermost trace of this thread."""
    frames = _stack.frames
    return frames[-1] if frames else None


def push(frame: Frame) -> None:
    """Starts tracing into `frame`."""
    _stack.frames.append(frame)


def pop() -> None:
    """Ends what `push` started."""
    _stack.frames.pop()


def called(function: Callable, *args: Any) -> Any:
    """What a user's function gives for traced tensors. What other libraries raise about them names the user's line."""
    try:
        return function(*args)
    except (TypeError, ValueError) as error:
        from wootz._foreign import explained

        found = explained(error)
        if found is error:
            raise
        raise found from error


def trace_of(what: str) -> _native.Trace:
    """The innermost trace; an error if nothing is traced."""
    frames = _stack.frames
    if frames:
        return frames[-1].trace
    raise TraceError(
        f"{what} builds a graph, so it works in functions that wootz traces: wrap the function in wz.jit or give it to "
        "wz.compile; outside of them use NumPy"
    )


def site() -> str:
    """The user's line that is running: `model.py:12`."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    if frame is None:
        return ""
    return line_of(frame.f_code, frame.f_lineno)


def line_of(code: CodeType, line: int) -> str:
    """A line as messages name it."""
    key = (code, line)
    place = _places.get(key)
    if place is None:
        if len(_places) > 10_000:
            _places.clear()
        place = _places[key] = f"{os.path.basename(code.co_filename)}:{line}"
    return place
