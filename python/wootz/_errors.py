"""The exceptions of wootz. Each is also the built-in exception that fits, so that code which knows nothing of wootz can
catch it."""

from typing import Any


class WootzError(Exception):
    """Whatever wootz raises."""

    __module__ = "wootz"


class ShapeError(WootzError, ValueError):
    """Shapes that do not fit; the message names the tensors and the shapes."""

    __module__ = "wootz"


class DTypeError(WootzError, TypeError):
    """An element type that does not fit; the message says how to convert."""

    __module__ = "wootz"


class UnknownNameError(WootzError, KeyError):
    """A name that is missing, unknown or used twice; the message lists the names there are."""

    __module__ = "wootz"

    def __str__(self) -> str:
        # `KeyError` would show the message in quotes.
        return str(self.args[0]) if self.args else ""


class DonatedError(WootzError, RuntimeError):
    """Something was used whose memory was given up, such as a training state that a step consumed."""

    __module__ = "wootz"


class TraceError(WootzError, RuntimeError):
    """A function cannot be traced or transformed, such as one whose control flow depends on a traced value."""

    __module__ = "wootz"


class TraceAttributeError(TraceError, AttributeError):
    """An attribute that a traced tensor does not have."""

    __module__ = "wootz"


class ModelError(WootzError, ValueError):
    """A model, loss or optimizer is put together wrongly, or a program is called in the wrong way."""

    __module__ = "wootz"


class BackendError(WootzError, RuntimeError):
    """A backend is not available, or cannot compile or run a program."""

    __module__ = "wootz"


class NanError(WootzError, FloatingPointError):
    """`nan_check` found a NaN; the message says where the first one arose."""

    __module__ = "wootz"


class FileError(WootzError, OSError):
    """A file cannot be read or written, or its contents are malformed."""

    __module__ = "wootz"


class WorkspaceError(WootzError, ValueError):
    """A statistical workspace or patch set is malformed, or an operation on it makes no sense. `path` is the place in the JSON document
    (`channels[0].samples[1].data`), if there is one."""

    __module__ = "wootz"

    path: str | None = None


class NegativeRateError(WootzError, ArithmeticError):
    """A statistical model's expected rate is negative; the message names channel, bin and sample."""

    __module__ = "wootz"


class FitError(WootzError, RuntimeError):
    """A fit did not converge, or what was asked of its result does not exist; the message says why. `parameters` is where the fit ended,
    if it began."""

    __module__ = "wootz"

    parameters: Any = None


class InternalError(WootzError, RuntimeError):
    """A bug in wootz."""

    __module__ = "wootz"
