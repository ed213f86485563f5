"""What an analysis is judged by, with derivatives by its templates and data, on NumPy arrays."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wootz import _native
from wootz._errors import ModelError, ShapeError, UnknownNameError
from wootz.histfactory._inference import _options

if TYPE_CHECKING:
    from wootz.histfactory._model import Model

KINDS = ("q0", "z0", "cls", "upper_limit", "parameter", "uncertainty")
# Fits whose result is differentiated end here: the derivative's error is proportional to it.
_TOLERANCE = 1e-10


class Evaluation(NamedTuple):
    """An objective with its derivatives."""

    value: float
    gradients: dict[str, np.ndarray]
    """By each template, one an element. Of Asimov data, what they change through the data is part of them."""
    by_data: np.ndarray
    """By counts and auxiliary data."""
    statistic: float | None
    """q0, or the square of what a test of μ is made from; `None` for parameters and uncertainties."""
    mu_hat: float
    """The best-fit parameter of interest. Below or at 0, q0 and its derivatives are 0."""
    free: np.ndarray
    """The best-fit parameters."""
    conditional: np.ndarray | None
    """Those with the parameter of interest at the tested value."""


class Objective:
    """A number that an analysis is judged by, as a function of some of its templates; `Model.objective` makes one.

    Calling it with templates by name (those of the workspace by default) gives the number, `evaluate` its derivatives too. Fits start where
    those of the last call ended; `reset` forgets that. Derivatives are those at the active set of bounds that the fits end with: where it
    changes, they are one-sided.
    """

    __module__ = "wootz.histfactory"

    def __init__(
        self,
        model: "Model",
        kind: str,
        templates: Iterable[str],
        convention: str,
        data: Any,
        name: str | None,
        mu: float,
        level: float,
        sigmas: float | None,
        tolerance: float = _TOLERANCE,
        max_iterations: int | None = None,
    ) -> None:
        if kind not in KINDS:
            raise UnknownNameError(f"there is no objective `{kind}`; there are: {', '.join(KINDS)}")
        if convention not in ("frozen", "recomputed"):
            raise UnknownNameError(f"the convention is `frozen` or `recomputed`, not `{convention}`")
        if model.config.poi_index is None:
            raise ModelError("the model has no parameter of interest; name one when you make it")
        self.model, self.kind = model, kind
        self.templates = tuple(templates)
        self._values = {template: model.template(template) for template in self.templates}
        settings = mu, level, sigmas, self._index(name), self._counts(data)
        self._native = _native.HistFactoryObjective(
            model._native, list(self.templates), convention == "recomputed", kind, *settings
        )
        self._options = _options(tolerance=tolerance, max_iterations=max_iterations)

    def __call__(self, **templates: Any) -> float:
        """The number."""
        return self.evaluate(**templates).value

    def evaluate(self, **templates: Any) -> Evaluation:
        """The number with its derivatives."""
        found = self._native.evaluate(self._arrays(templates), self._options)
        found["gradients"] = dict(zip(self.templates, found["gradients"], strict=True))
        return Evaluation(**found)

    def reset(self) -> None:
        """Forgets where fits ended."""
        self._native.reset()

    def __repr__(self) -> str:
        return f"<wootz.histfactory.Objective: {self.kind} by {', '.join(self.templates) or 'nothing'}>"

    def _arrays(self, given: dict[str, Any]) -> list[np.ndarray]:
        for name in given:
            if name not in self.templates:
                raise UnknownNameError(f"`{name}` is no template of this objective; there are: {', '.join(self.templates)}")
        arrays = []
        for name, default in self._values.items():
            array = np.ascontiguousarray(given.get(name, default), dtype=np.float64)
            if array.shape != default.shape:
                raise ShapeError(f"{name} has shape {list(array.shape)}, the model takes {list(default.shape)}")
            arrays.append(array)
        return arrays

    def _index(self, name: str | None) -> int:
        if name is None:
            return int(self.model.config.poi_index or 0)
        if name not in self.model.config.par_names:
            names = ", ".join(self.model.config.par_names)
            raise UnknownNameError(f"there is no parameter `{name}`; there are: {names}")
        return self.model.config.par_names.index(name)

    def _counts(self, data: Any) -> list[float] | None:
        if isinstance(data, str):
            if data != "asimov":
                raise ModelError(f"data are 'asimov' or counts, not {data!r}")
            return None
        counts = np.ascontiguousarray(data, dtype=np.float64)
        bins = self.model.config.nmaindata
        everything = bins + self.model.config.nauxdata
        if counts.shape not in ((bins,), (everything,)):
            shape = list(counts.shape)
            raise ShapeError(f"the counts have shape {shape}, not [{bins}] (or, with auxiliary data, [{everything}])")
        return counts.tolist()
