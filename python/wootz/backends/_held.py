"""What programs of other frameworks hold between calls: parameters and state, by name."""

from collections.abc import Iterator, Mapping
from typing import Any

from wootz._errors import DonatedError, UnknownNameError


class Layout:
    """What a program holds, by name: parameters or state, some of them stacked, as equal layers are by `stack_layers`."""

    def __init__(self, specs: dict[str, Any], params: tuple[str, ...], stacks: list[tuple[str, list[str]]]) -> None:
        self.specs = specs
        self.params = params
        # The stack that a name is in, and where.
        self.places = {name: (stack, i) for stack, names in stacks for i, name in enumerate(names)}
        # Names as the program has them, each with the names of what it is made of.
        self.held: dict[str, tuple[str, ...]] = {}
        members = dict(stacks)
        for name in specs:
            stack, _ = self.places.get(name, (None, 0))
            self.held.setdefault(stack or name, tuple(members[stack]) if stack else (name,))


class State(Mapping):
    """The state of a training run on a framework: a mapping of names to its arrays. A step consumes it and gives the next."""

    __module__ = "wootz"

    def __init__(self, tensors: dict[str, Any], layout: Layout) -> None:
        self._tensors: dict[str, Any] | None = tensors
        self._layout = layout

    def _held(self) -> dict[str, Any]:
        if self._tensors is None:
            raise DonatedError("this state was consumed by a step: use the state that the step returned")
        return self._tensors

    def _taken(self) -> dict[str, Any]:
        """What it holds, for a step that consumes it."""
        tensors = self._tensors
        if tensors is None:
            return self._held()
        self._tensors = None
        return tensors

    @property
    def params(self) -> dict[str, Any]:
        """The trained parameters, for inference. The next step may overwrite them."""
        return {name: self[name] for name in self._layout.params}

    @property
    def consumed(self) -> bool:
        """Whether a step has taken the state."""
        return self._tensors is None

    def __getitem__(self, name: str) -> Any:
        held = self._held()
        stack, at = self._layout.places.get(name, (None, 0))
        if stack is not None:
            return held[stack][at]
        if name not in held:
            raise UnknownNameError(f"the state has no `{name}` (it has {', '.join(self)})")
        return held[name]

    def __iter__(self) -> Iterator[str]:
        self._held()
        return iter(self._layout.specs)

    def __len__(self) -> int:
        self._held()
        return len(self._layout.specs)

    def __repr__(self) -> str:
        if self._tensors is None:
            return "<wootz.State (consumed)>"
        return f"<wootz.State {{{', '.join(self)}}}>"
