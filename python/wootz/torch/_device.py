"""An objective on a device of PyTorch's: fits, densities and their derivatives as generated source, float64 throughout."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from wootz._compile import compile as compile_program
from wootz._errors import BackendError, FitError, ModelError
from wootz.histfactory import Model

# The objectives that are made of profiled likelihoods.
KINDS = ("z0", "q0", "cls", "upper_limit")
# Where rounding ends a fit, this much of a scaled gradient is let pass, as on the CPU.
_ROUNDED = 1e-8
_EVALUATIONS = 200
# Newton's method for a limit: its steps, and the relative size of the last one.
_STEPS = 50
_SMALL = 1e-10


class _Statistic(NamedTuple):
    """A profile likelihood ratio q of one hypothesis and its derivatives."""

    q: Tensor
    by_mu: Tensor
    by_templates: list[Tensor]
    conditional: Tensor


class _Result(NamedTuple):
    """A number and its derivatives."""

    value: Tensor
    by_mu: Tensor
    by_templates: list[Tensor]
    statistic: Tensor
    conditional: Tensor

    def scaled(self, value: Tensor, scale: Tensor) -> "_Result":
        """Another number, whose derivative by this one is `scale`."""
        by_templates = [scale * x for x in self.by_templates]
        return self._replace(value=value, by_mu=scale * self.by_mu, by_templates=by_templates)


class DeviceObjective:
    """What `_native.HistFactoryObjective` is on the CPU.

    Profiled likelihoods have the derivatives of the density at the fits (envelope theorem). CLs of observed data and its derivatives are a graph,
    `Model.hypotest_graph`, since Asimov data follow a fit.
    """

    def __init__(
        self,
        model: Model,
        templates: list[str],
        recomputed: bool,
        kind: str,
        mu: float,
        level: float,
        sigmas: float | None,
        counts: list[float] | None,
        tolerance: float,
        max_iterations: int | None,
        device: torch.device,
    ) -> None:
        config = model.config
        if counts is not None and recomputed and config.nauxdata and len(counts) == config.nmaindata:
            raise ModelError("on a device, counts with recomputed templates come with their auxiliary data: append them")
        convention = "recomputed" if recomputed else "frozen"
        options = {"backend": "torch", "device": device}
        by = range(len(templates))
        evaluations = max_iterations or _EVALUATIONS
        self._fit = compile_program(model.fit_graph(templates, convention, evaluations), {}, **options)
        density = model.graph("logpdf", templates, convention).grad(0, [0, 1, *(2 + i for i in by)])
        self._density = compile_program(density, {}, **options)
        expected = model.graph("expected_data", templates, convention)
        self._expected = compile_program(expected, {}, **options)
        self._pull = compile_program(expected.vjp([1 + i for i in by]), {}, **options) if templates else None
        self._test = None
        if counts is not None and kind in ("cls", "upper_limit"):
            test = model.hypotest_graph("qtilde", templates, convention, evaluations)
            # CLs itself, or the statistic of Asimov data, from which the expected one is made.
            test = test.grad(0 if sigmas is None else 3, [0, *(2 + i for i in by)])
            self._test = compile_program(test, {}, **options)
        self._kind, self._poi = kind, config.poi_index
        self._is_observed, self._sigmas = sigmas is None, 0.0 if sigmas is None else sigmas
        self._templates = {name: self._tensor(model.template(name), device) for name in templates}
        self._init = self._tensor(config.suggested_init, device)
        bounds = self._tensor(config.suggested_bounds, device)
        self._bounds = (bounds[:, 0].contiguous(), bounds[:, 1].contiguous())
        self._free = 1.0 - self._tensor(config.suggested_fixed, device)
        self._tolerance = self._tensor(tolerance, device)
        if counts is not None and len(counts) == config.nmaindata:
            counts = [*counts, *config.auxdata]
        self._data = None if counts is None else self._tensor(counts, device)
        self._mu, self._level = (mu if kind == "cls" else 0.0), level
        # Where the last limit was.
        self._limit: float | None = None
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
        self._limit = None

    def evaluate(self, templates: list[Tensor], options: Any = None) -> dict[str, Any]:
        """The objective and its gradient by these templates."""
        if self._data is None:
            point = self._at(self._init, 1.0 if self._kind in ("z0", "q0") else 0.0)
            data = self._expected.positional([point, *templates])[0]
        else:
            data = self._data
            point = self._fitted("free", self._starts.get("free", self._init), self._free, data, templates)

        def test(mu: float) -> _Result:
            of_mu = self._of_asimov if self._test is None else self._of_observed
            return of_mu(mu, data, point, templates)

        found = self._solved(test, float(point[self._poi])) if self._kind == "upper_limit" else test(self._mu)
        return {
            "value": float(found.value),
            "statistic": float(found.statistic),
            "mu_hat": float(point[self._poi]),
            "free": point.cpu().numpy(),
            "conditional": found.conditional.cpu().numpy(),
            "gradients": found.by_templates,
        }

    def _of_asimov(self, mu: float, data: Tensor, point: Tensor, templates: list[Tensor]) -> _Result:
        """What is made of one statistic."""
        tested = self._statistic(mu, data, point, templates)
        value, slope = self._value(tested.q)
        found = _Result(tested.q, tested.by_mu, tested.by_templates, tested.q, tested.conditional)
        return found.scaled(value, slope)

    def _of_observed(self, mu: float, data: Tensor, point: Tensor, templates: list[Tensor]) -> _Result:
        """CLs of observed data."""
        test = self._test.positional([self._tensor(mu, data.device), data, *templates])
        observed, _, statistic, asimov, _, by_mu, *by_templates = test
        if not bool(torch.isfinite(observed)):
            raise FitError(f"a fit of the test of {mu} did not converge within the evaluations that it may take")
        if self._is_observed:
            return _Result(observed, by_mu, by_templates, statistic, self._conditional(mu, data, point, templates))
        # The test of the data that the background alone would give.
        nuisances = self._conditional(0.0, data, point, templates, "background")
        background = self._expected.positional([nuisances, *templates])[0]
        conditional = self._conditional(mu, background, nuisances, templates)
        value, slope = self._value(asimov)
        return _Result(asimov, by_mu, by_templates, asimov, conditional).scaled(value, slope)

    def _solved(self, test: Callable[[float], _Result], mu_hat: float) -> _Result:
        """The hypothesis whose CLs is the level: Newton's method for ln CLs, which is close to a parabola."""
        mu = self._limit or max(1.0, 2.0 * mu_hat)
        for _ in range(_STEPS):
            found = test(mu)
            cls, by_mu = float(found.value), float(found.by_mu)
            if not (cls > 0.0 and by_mu < 0.0):
                # Below the best fit CLs is 1, and far above it 0.
                mu *= 2.0 if cls > self._level else 0.5
                continue
            step = -math.log(cls / self._level) * cls / by_mu
            if abs(step) <= _SMALL * mu:
                self._limit = mu
                return found.scaled(self._tensor(mu, found.value.device), -1.0 / found.by_mu)
            mu = min(max(mu + step, 0.25 * mu), 4.0 * mu)
        raise FitError(f"no limit was found: CLs of {mu} is {cls:.3g}, the level {self._level}")

    def _conditional(
        self, mu: float, data: Tensor, point: Tensor, templates: list[Tensor], what: str = "conditional"
    ) -> Tensor:
        """The fit of a hypothesis, from where the last one ended."""
        held = self._free.clone()
        held[self._poi] = 0.0
        start = self._at(self._starts.get(what, point), mu)
        return self._fitted(what, start, held, data, templates)

    def _statistic(self, mu: float, data: Tensor, point: Tensor, templates: list[Tensor]) -> _Statistic:
        """The statistic of data whose best fit is at `point`."""
        conditional = self._conditional(mu, data, point, templates)
        best, _, *by_best = self._density.positional([point, data, *templates])
        tested, by_point, *by_tested = self._density.positional([conditional, data, *templates])
        mu_hat = float(point[self._poi])
        is_counted = mu_hat > mu if self._kind in ("z0", "q0") else mu_hat <= mu
        q = (2.0 * (best - tested)).clamp(min=0.0) if is_counted else torch.zeros_like(best)
        by_data, *by_templates = [2.0 * (a - b) for a, b in zip(by_best, by_tested, strict=True)]
        if self._data is None and self._pull is not None:
            through = self._pull.positional([point, *templates, by_data])[1:]
            by_templates = [a + b for a, b in zip(by_templates, through, strict=True)]
        return _Statistic(q, -2.0 * by_point[self._poi], by_templates, conditional)

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
        """Where a fit ends, which the next of its kind may start from."""
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
