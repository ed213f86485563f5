"""An objective on a device of PyTorch's: fits, densities and their derivatives as generated source, float64 throughout."""

from typing import Any

import torch
from torch import Tensor

from wootz._compile import compile as compile_program
from wootz._errors import BackendError, FitError, ModelError
from wootz.histfactory import Model

# The objectives that are made of profiled likelihoods alone.
KINDS = ("z0", "q0", "cls")
# Where rounding ends a fit, this much of a scaled gradient is let pass, as on the CPU.
_ROUNDED = 1e-8
_EVALUATIONS = 200


class DeviceObjective:
    """What `_native.HistFactoryObjective` is on the CPU. Profiled likelihoods have the derivatives of the density at the fits (envelope theorem)."""

    def __init__(
        self,
        model: Model,
        templates: list[str],
        recomputed: bool,
        kind: str,
        mu: float,
        sigmas: float | None,
        counts: list[float] | None,
        tolerance: float,
        max_iterations: int | None,
        device: torch.device,
    ) -> None:
        config = model.config
        if counts is not None and kind == "cls":
            raise ModelError("CLs of observed data is computed on the CPU: leave `device` out")
        if counts is not None and recomputed and config.nauxdata and len(counts) == config.nmaindata:
            raise ModelError("on a device, counts with recomputed templates come with their auxiliary data: append them")
        convention = "recomputed" if recomputed else "frozen"
        options = {"backend": "torch", "device": device}
        by = range(len(templates))
        self._fit = compile_program(model.fit_graph(templates, convention, max_iterations or _EVALUATIONS), {}, **options)
        density = model.graph("logpdf", templates, convention).grad(0, [1, *(2 + i for i in by)])
        self._density = compile_program(density, {}, **options)
        expected = model.graph("expected_data", templates, convention)
        self._expected = compile_program(expected, {}, **options)
        self._pull = compile_program(expected.vjp([1 + i for i in by]), {}, **options) if templates else None
        self._kind, self._sigmas, self._poi = kind, 0.0 if sigmas is None else sigmas, config.poi_index
        self._templates = {name: self._tensor(model.template(name), device) for name in templates}
        self._init = self._tensor(config.suggested_init, device)
        bounds = self._tensor(config.suggested_bounds, device)
        self._bounds = (bounds[:, 0].contiguous(), bounds[:, 1].contiguous())
        self._free = 1.0 - self._tensor(config.suggested_fixed, device)
        self._tolerance = self._tensor(tolerance, device)
        if counts is not None and len(counts) == config.nmaindata:
            counts = [*counts, *config.auxdata]
        self._data = None if counts is None else self._tensor(counts, device)
        self._mu = mu if kind == "cls" else 0.0
        self._starts: dict[str, Tensor] = {}

    @staticmethod
    def _tensor(values: Any, device: torch.device) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=device)

    def template(self, name: str) -> Tensor:
        """A template's values in the workspace, on the device."""
        return self._templates[name].clone()

    def reset(self) -> None:
        """Forgets where fits ended."""
        self._starts.clear()

    def evaluate(self, templates: list[Tensor], options: Any = None) -> dict[str, Any]:
        """The objective and its gradients by these templates."""
        if self._data is None:
            point = self._at(self._init, 0.0 if self._kind == "cls" else 1.0)
            data = self._expected.positional([point, *templates])[0]
        else:
            data = self._data
            point = self._fitted("free", self._init, self._free, data, templates)
        held = self._free.clone()
        held[self._poi] = 0.0
        conditional = self._fitted("conditional", self._at(point, self._mu), held, data, templates)
        best, *by_best = self._density.positional([point, data, *templates])
        tested, *by_tested = self._density.positional([conditional, data, *templates])
        mu_hat = float(point[self._poi])
        seen = mu_hat <= self._mu if self._kind == "cls" else mu_hat > self._mu
        q = (2.0 * (best - tested)).clamp(min=0.0) if seen else torch.zeros_like(best)
        value, slope = self._value(q)
        by_data, *gradients = [2.0 * slope * (a - b) for a, b in zip(by_best, by_tested, strict=True)]
        if self._data is None and self._pull is not None:
            through = self._pull.positional([point, *templates, by_data])[1:]
            gradients = [a + b for a, b in zip(gradients, through, strict=True)]
        return {
            "value": float(value),
            "statistic": float(q),
            "mu_hat": mu_hat,
            "free": point.cpu().numpy(),
            "conditional": conditional.cpu().numpy(),
            "gradients": gradients,
        }

    def _value(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """The objective of a test statistic, and its derivative, which is taken to be 0 at 0."""
        zero = torch.zeros_like(q)
        if self._kind == "q0":
            return q, torch.where(q > 0, 1.0, zero)
        if self._kind == "z0":
            # The constant keeps the derivative finite where there is no signal.
            z = (q + 1e-12).sqrt()
            return z, torch.where(q > 0, 0.5 / z, zero)
        root, sigmas = q.sqrt(), zero + self._sigmas
        below = torch.special.ndtr(sigmas)
        density = torch.exp(-0.5 * (sigmas - root) ** 2) / (2.0 * torch.pi) ** 0.5
        slope = torch.where(q > 0, -density / below / (2.0 * torch.where(q > 0, root, 1.0)), zero)
        return torch.special.ndtr(sigmas - root) / below, slope

    def _at(self, point: Tensor, mu: float) -> Tensor:
        point = point.clone()
        point[self._poi] = mu
        return point

    def _fitted(self, what: str, start: Tensor, free: Tensor, data: Tensor, templates: list[Tensor]) -> Tensor:
        """Where a fit ends; it starts where the last one ended."""
        start = self._starts.get(what, start)
        arguments = [start, data, free, *self._bounds, self._tolerance, *templates]
        parameters, _, kkt, converged, evaluations = self._fit.positional(arguments)
        if not (bool(converged) and float(kkt) <= max(float(self._tolerance), _ROUNDED)):
            raise FitError(
                f"the {what} fit did not converge within {int(evaluations)} evaluations: its largest scaled gradient component is {float(kkt):.2e}"
            )
        self._starts[what] = parameters
        return parameters


def checked(device: Any) -> torch.device:
    """A device that has float64."""
    try:
        found = torch.device(device)
        torch.zeros(1, dtype=torch.float64, device=found)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise BackendError(f"fits need a device with float64, and {device!r} is none here: {error}") from error
    return found
