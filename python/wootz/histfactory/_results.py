"""What inference gives back."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wootz._errors import UnknownNameError
from wootz.histfactory._progress import Progress, reporting

if TYPE_CHECKING:
    from wootz.histfactory._model import Model

Band = tuple[float, float, float, float, float]


class Pull(NamedTuple):
    """How far a fit moved a constrained parameter, in units of its uncertainty before the fit."""

    value: float
    """(best fit - auxiliary measurement) / uncertainty before the fit."""
    uncertainty: float
    """Uncertainty after the fit / uncertainty before the fit: below 1, the data constrain it."""


class Interval(NamedTuple):
    """An interval of a parameter; `None` where its bound comes first."""

    lower: float | None
    upper: float | None


class Profile(NamedTuple):
    """-2 ln λ of a parameter, all others fitted again at each value."""

    name: str
    values: np.ndarray
    rises: np.ndarray
    """-2 ln λ; negative where such a fit is better than the free one, which then was not the best."""


class GoodnessOfFit(NamedTuple):
    """A test against the saturated model, in which every count and auxiliary measurement has its own free mean."""

    chi2: float
    degrees_of_freedom: int
    p_value: float | None
    """`None` without degrees of freedom."""


class Impact(NamedTuple):
    """How far the parameter of interest moves when a nuisance parameter is fixed off its best fit and all others are fitted again."""

    name: str
    postfit: tuple[float, float]
    """With the parameter its uncertainty after the fit below and above its best fit."""
    prefit: tuple[float, float] | None
    """The same with its uncertainty before the fit; `None` without a constraint."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Expected yields with uncertainties, by linear propagation of the parameters' covariance. Each item is a pair of arrays: values, uncertainties."""

    __module__ = "wootz.histfactory"

    model: "Model" = field(repr=False)
    bins: tuple[np.ndarray, np.ndarray]
    """The total, `[bins]`."""
    channels: tuple[np.ndarray, np.ndarray]
    """The total of each channel, `[channels]`, with the correlations of its bins."""
    samples: tuple[np.ndarray, np.ndarray] = field(repr=False)
    """`[samples, bins]`; 0 where a channel has not the sample."""
    sample_totals: tuple[np.ndarray, np.ndarray] = field(repr=False)
    """`[samples, channels]`."""

    def table(self, data: Any = None) -> str:
        """The yields of each sample in each channel as text; with `data`, the counts as well."""
        config = self.model.config
        rows = [["", *config.channels]]
        for sample, values, errors in zip(config.samples, *self.sample_totals, strict=True):
            rows.append([sample, *map(_yield, values, errors)])
        rows.append(["total", *map(_yield, *self.channels)])
        if data is not None:
            counts = [float(np.sum(data[place])) for place in config.channel_slices.values()]
            rows.append(["data", *[f"{n:.6g}" for n in counts]])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows]
        return "\n".join("  ".join(line).rstrip() for line in lines)


def _yield(value: float, error: float) -> str:
    return f"{value:.2f} ± {error:.2f}"


@dataclass(frozen=True, eq=False)
class Fit:
    """A fit that converged. `fit["mu"]` is a parameter's best value (an array if it is several)."""

    __module__ = "wootz.histfactory"

    parameters: np.ndarray
    """The best-fit parameters."""
    twice_nll: float
    """-2 ln L there."""
    gradient: np.ndarray = field(repr=False)
    """The gradient of -ln L."""
    fitted: np.ndarray = field(repr=False)
    """Which parameters were not fixed."""
    held: np.ndarray = field(repr=False)
    """Which of those a bound holds, or do not act on the data."""
    kkt: float
    """The largest gradient component of the others, in units of the square root of their curvature."""
    convergence: str
    """`gradient`, or `precision` where rounding ended the fit."""
    iterations: int
    evaluations: int
    starts: int
    model: "Model" = field(repr=False)
    data: np.ndarray = field(repr=False)
    options: dict[str, Any] = field(repr=False)

    def __getitem__(self, name: str) -> Any:
        values = self.parameters[self.model.config.par_slice(name)]
        return float(values[0]) if len(values) == 1 else values

    @property
    def names(self) -> list[str]:
        """The parameters' names."""
        return self.model.config.par_names

    @cached_property
    def covariance(self) -> np.ndarray:
        """The inverse of the observed Hessian on parameters that are fitted and not held; 0 for the others."""
        moving = (self.fitted & ~self.held).tolist()
        return self.model._inference.covariance(self.parameters, self.data, moving)

    @cached_property
    def correlations(self) -> np.ndarray:
        """The correlations; 0 for parameters without a variance."""
        errors = np.sqrt(np.diag(self.covariance))
        scale = np.divide(1.0, errors, out=np.zeros_like(errors), where=errors > 0)
        return self.covariance * np.outer(scale, scale)

    @cached_property
    def uncertainties(self) -> dict[str, float]:
        """The square roots of the variances, by the parameters' names; 0 for those that are fixed or held."""
        return dict(zip(self.names, np.sqrt(np.diag(self.covariance)).tolist(), strict=True))

    @cached_property
    def pulls(self) -> dict[str, Pull]:
        """Pulls and constraints of the constrained parameters that were fitted, by their names."""
        found = self.model._inference.pulls(self, self.data)
        return {name: Pull(*pull) for name, pull in zip(self.names, found, strict=True) if pull is not None}

    @cached_property
    def goodness_of_fit(self) -> GoodnessOfFit:
        """The test against the saturated model."""
        return GoodnessOfFit(*self.model._inference.goodness_of_fit(self, self.data))

    def interval(self, name: str, sigmas: float = 1.0) -> Interval:
        """Where -2 ln λ of a parameter, all others profiled, is `sigmas`² (as MINOS has it). `name` is one of `names`."""
        if name not in self.names:
            raise UnknownNameError(f"there is no parameter `{name}`; there are: {', '.join(self.names)}")
        index = self.names.index(name)
        return Interval(*self.model._inference.interval(index, sigmas, self, self.data, self.options))

    def profile(
        self, name: str, values: Any = None, sigmas: float = 2.5, points: int = 25, progress: Progress = None
    ) -> Profile:
        """-2 ln λ of a parameter at `values`, by default at `points` values within `sigmas` uncertainties and its bounds."""
        if name not in self.names:
            raise UnknownNameError(f"there is no parameter `{name}`; there are: {', '.join(self.names)}")
        index = self.names.index(name)
        if values is None:
            best, reach = self.parameters[index], sigmas * self.uncertainties[name]
            low, high = self.model.config.suggested_bounds[index]
            values = np.linspace(max(low, best - reach), min(high, best + reach), points)
        values = np.asarray(values, dtype=float)
        with reporting(progress, len(values), "profile") as report:
            rises = self.model._inference.profile(index, values.tolist(), self, self.data, self.options, report)
        return Profile(name, values, rises)

    def ranking(self, progress: Progress = None) -> list[Impact]:
        """The impacts of nuisance parameters on the parameter of interest, the largest first. Four fits a parameter."""
        moving = self.fitted & ~self.held
        total = int(moving.sum()) - int(moving[self.model.config.poi_index or 0])
        with reporting(progress, total, "ranking") as report:
            found = self.model._inference.ranking(self, self.data, self.options, report)
        return [Impact(self.names[i], after, before) for i, after, before in found]

    def prediction(self) -> Prediction:
        """The yields after the fit, with uncertainties from its covariance."""
        at = self.parameters, self.covariance.ravel().tolist()
        return Prediction(self.model, **self.model._inference.prediction(at))


@dataclass(frozen=True, eq=False)
class TestStatistic:
    """A test statistic and the fits behind it."""

    __module__ = "wootz.histfactory"
    __test__ = False

    name: str
    mu: float
    value: float
    conditional: Fit = field(repr=False)
    free: Fit = field(repr=False)


@dataclass(frozen=True)
class Hypotest:
    """An asymptotic test of a value of the parameter of interest."""

    __module__ = "wootz.histfactory"

    mu: float
    observed: float
    """CLs; for q0 the p-value of the background hypothesis."""
    expected: Band
    """Its median without signal (q0: with the signal) and the ±1σ, ±2σ band, from -2σ to +2σ as pyhf orders it."""
    cls_b: float
    cl_b: float
    statistic: float
    """The test statistic of the data."""
    asimov: float
    """The test statistic of Asimov data."""


@dataclass(frozen=True)
class UpperLimit:
    """An upper limit on the parameter of interest."""

    __module__ = "wootz.histfactory"

    observed: float
    expected: Band
    """From -2σ to +2σ."""
    widened: float | None
    """The upper bound that the parameter of interest was given, if the model's was in the way."""


@dataclass(frozen=True)
class Scan:
    """Tests at several values, and the limits that straight lines between them give."""

    __module__ = "wootz.histfactory"

    tests: tuple[Hypotest, ...] = field(repr=False)
    observed: float | None
    expected: tuple[float | None, ...]

    @property
    def mu(self) -> np.ndarray:
        """The tested values."""
        return np.array([test.mu for test in self.tests])


@dataclass(frozen=True)
class Significance:
    """The significance of a discovery."""

    __module__ = "wootz.histfactory"

    observed: float
    """Z = √q0."""
    expected: float
    """Its median if the parameter of interest is 1."""
    p_value: float
    """Of the background hypothesis."""
    mu_hat: float
    """The best-fit parameter of interest."""


@dataclass(frozen=True, eq=False)
class Toys:
    """A test by toys."""

    __module__ = "wootz.histfactory"

    mu: float
    statistic: float
    """The test statistic of the data."""
    cls_b: float
    cl_b: float
    observed: float
    """CLs, NaN where no toy without signal reaches the statistic (more toys are needed then); for q0 the p-value of the background hypothesis."""
    expected: Band
    """Its quantiles over the toys without signal, from -2σ to +2σ."""
    signal: np.ndarray = field(repr=False)
    """The statistics of the toys with the tested signal."""
    background: np.ndarray = field(repr=False)
    """The statistics of the toys without signal (q0: with μ = 1)."""
    failed: int
    """Toys that are left out because a fit did not converge."""
