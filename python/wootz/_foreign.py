"""What happens when functions of other libraries are given tensors that are being traced: errors that say where, and what to use instead."""

import sys
from typing import Any

from wootz._errors import TraceError, WootzError
from wootz._tracing import line_of

# Frames of these are not the user's.
_LIBRARIES = frozenset(("jax", "jaxlib", "mlx", "numpy", "torch", "wootz"))
# What has another name here.
_OURS = {"cat": "concat", "concatenate": "concat", "permute_dims": "transpose", "clamp": "clip"}
# NumPy's functions of what is known of a tensor while it is traced.
_KNOWN = ("shape", "ndim", "size")


def refuse(library: str, name: str, operand: Any = None) -> TraceError:
    """The error of a function that was given a traced tensor."""
    what = "a tensor" if operand is None else repr(operand)
    return TraceError(f"{library}.{name} cannot take {what}, which is traced: use {_ours(name)} (at {_site()})")


def numpy_function(function: Any, operands: tuple) -> Any:
    """What `numpy.concatenate` and its like give for traced tensors."""
    if function.__name__ in _KNOWN and len(operands) == 1:
        return getattr(operands[0], function.__name__)
    raise refuse(function.__module__, function.__name__)


def torch_function(function: Any, operands: tuple, reflected: dict[str, str]) -> Any:
    """PyTorch's operators with the tensor on the right are ours; its functions know nothing of traced tensors."""
    from wootz._tensor import Tensor

    name = function.__name__.strip("_")
    if len(operands) == 2 and name in reflected and not isinstance(operands[0], Tensor):
        return getattr(operands[1], reflected[name])(operands[0])
    raise refuse("torch", name, next((x for x in operands if isinstance(x, Tensor)), None))


def no_attribute(operand: Any, name: str) -> str:
    """The message about an attribute that tensors do not have."""
    instead = f": use wz.{name}" if hasattr(sys.modules["wootz"], name) else ""
    return f"{operand!r} has no `{name}`{instead} (at {_site()})"


def explained(error: Exception) -> Exception:
    """An error of a library that was given a traced tensor as one of ours, with the user's line; any other as it is."""
    if isinstance(error, WootzError) or "wootz.Tensor" not in str(error):
        return error
    place, traceback = "", error.__traceback__
    while traceback is not None:
        if _is_users(traceback.tb_frame):
            place = line_of(traceback.tb_frame.f_code, traceback.tb_lineno)
        traceback = traceback.tb_next
    said = str(error).partition("\n")[0]
    return TraceError(
        f"a function of another library cannot take a tensor, which has no value while it is traced: use a function of wz (at {place}); "
        f"what it said: {said}"
    )


def _site() -> str:
    """The user's line that is running, whatever it has called."""
    frame = sys._getframe(1)
    while frame is not None and not _is_users(frame):
        frame = frame.f_back
    return "" if frame is None else line_of(frame.f_code, frame.f_lineno)


def _is_users(frame: Any) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] not in _LIBRARIES


def _ours(name: str) -> str:
    wootz = sys.modules["wootz"]
    ours = _OURS.get(name, name)
    return f"wz.{ours}" if hasattr(wootz, ours) else "a function of wz"
