"""Native programs inside other frameworks: a program as a function of flat lists of arrays, with its derivative."""

from typing import Any

from wootz import _native
from wootz._errors import BackendError, ModelError

__all__ = ["Flat"]


class Flat:
    """A native program without state as a function of its parameters and inputs in order.

    Runs on arrays (NumPy's, or what has DLPack); the results are NumPy arrays of the program's own memory.
    """

    def __init__(self, program: Any) -> None:
        if not isinstance(program, _native.Program):
            raise BackendError(f"a bridge takes a program of the native backend, not {type(program).__name__}: compile with backend=\"cpu\"")
        self.program = program
        # Not `program.graph`: the passes drop what stops or replaces derivatives.
        self.graph = program.definition
        if len(self.graph.outputs) != len(program.outputs):
            raise ModelError("the program updates its state: a bridge takes a model, and leaves training to the other framework")
        self.names = [name for name, _, _ in self.graph.inputs]
        self.specs = [spec for _, _, spec in self.graph.inputs]
        # Everything bound once: parameters, and state that a model only reads.
        self.held = [role != "input" for _, role, _ in self.graph.inputs]
        self.outputs = self.graph.outputs
        self._gradients: dict[tuple[int, ...], Any] = {}
        # The parameters of the last call and what they were made from.
        self._bound: tuple[Any, Any] = (None, None)

    def run(self, arrays: list[Any], versions: Any = None) -> list[Any]:
        """The outputs. Parameters with equal `versions` (not `None`) are those of the last call, packed as they are."""
        out = self._call(self.program, arrays, versions, {})
        return [out[name] for name, _ in self.outputs]

    def vjp(self, arrays: list[Any], cotangents: list[Any], wrt: list[int], versions: Any = None) -> list[Any]:
        """The vector-Jacobian products by the inputs `wrt`, of one cotangent for each output that is a float."""
        program = self._gradients.get(tuple(wrt))
        if program is None:
            definition = _native.Definition(self.graph.vjp(list(wrt)))
            program = _native.compile(definition, {}, "cpu", "full", None, False)
            self._gradients[tuple(wrt)] = program
        names = list(program.inputs)[len(self.held) - sum(self.held) :]
        out = self._call(program, arrays, versions, dict(zip(names, cotangents, strict=True)))
        return list(out.values())[len(self.outputs) :]

    def _call(self, program: Any, arrays: list[Any], versions: Any, more: dict[str, Any]) -> dict[str, Any]:
        given = {name: x for name, held, x in zip(self.names, self.held, arrays, strict=True) if not held}
        if not any(self.held):
            return program(**given, **more)
        known, params = self._bound
        if versions is None or known != versions:
            params = _native.Params({name: x for name, held, x in zip(self.names, self.held, arrays, strict=True) if held})
            self._bound = (versions, params)
        return program(params, **given, **more)
