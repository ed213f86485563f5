"""Fits, tests and limits."""

import warnings
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np

from wootz import _native
from wootz._errors import ShapeError
from wootz.histfactory._progress import Progress, reporting
from wootz.histfactory._results import Fit, Hypotest, Prediction, Scan, Significance, TestStatistic, Toys, UpperLimit


class Inference:
    """What a model can be asked once there are data.

    `data` are counts and auxiliary data as `Workspace.data` gives them. Fits take the same options everywhere: `init`, `bounds`, `fixed` (the
    model's by default; one entry a parameter), `tolerance` (the largest gradient component at the end, in units of the square root
    of its curvature), `max_iterations` and `starts`. A fit that does not converge raises `wz.FitError`. Threads may ask at once.

    A fit finds a minimum next to where it starts. Variations whose up and down sides move a yield the same way, products of free factors and the
    kinks of interpolation codes 0 and 1 can leave several. Where a fit shows signs of that, up to `starts` starting points are tried (6 by
    default) and the lowest minimum is taken; that it is the lowest of all, nobody can promise. `starts=1` is the fit from `init` alone.

    What takes many steps takes `progress`: `True` for a bar (by tqdm), or a function of the steps done and of how many there are (`None` where nobody
    knows), called a few times a second at most.
    """

    _native: _native.HistFactoryModel

    @cached_property
    def _inference(self) -> _native.HistFactoryInference:
        return _native.HistFactoryInference(self._native, None)

    def fit(self, data: Any, mu: float | None = None, **options: Any) -> Fit:
        """The maximum likelihood fit; with `mu`, the one with the parameter of interest held there."""
        data = _vector("data", data)
        return self._fit(self._inference.fit(data, _options(mu=mu, **options)), data, options)

    def test_statistic(self, mu: float, data: Any, test_stat: str = "qtilde", **options: Any) -> TestStatistic:
        """`q0`, `q`, `qtilde`, `t` or `ttilde` of `mu`, as pyhf defines them, with its two fits."""
        data = _vector("data", data)
        raw, advice = self._inference.test_statistic(test_stat, mu, data, _options(**options))
        _advise(advice)
        fits = {name: self._fit(raw.pop(name), data, options) for name in ("conditional", "free")}
        return TestStatistic(test_stat, **raw, **fits)

    def hypotest(self, mu: float, data: Any, test_stat: str = "qtilde", **options: Any) -> Hypotest:
        """The asymptotic test of `mu`: CLs, observed and expected (with `test_stat="q0"` and `mu=0`, p-values)."""
        raw, advice = self._inference.hypotest(mu, _vector("data", data), test_stat, _options(**options))
        _advise(advice)
        return Hypotest(**raw)

    def significance(self, data: Any, **options: Any) -> Significance:
        """The significance of a discovery, observed and expected."""
        return Significance(**self._inference.significance(_vector("data", data), _options(**options)))

    def upper_limit(
        self,
        data: Any,
        level: float = 0.05,
        test_stat: str = "qtilde",
        progress: Progress = None,
        **options: Any,
    ) -> UpperLimit:
        """Where CLs falls below `level`, by root finding: observed and expected. Its steps are tests, and nobody knows how many."""
        data = _vector("data", data)
        with reporting(progress, None, "upper limit") as report:
            raw = self._inference.upper_limit(data, level, test_stat, _options(**options), report)
        limit = UpperLimit(**raw)
        if limit.widened is not None:
            _advise(f"the upper bound of the parameter of interest was in the way: widened to {limit.widened}")
        return limit

    def scan(
        self,
        values: Iterable[float],
        data: Any,
        level: float = 0.05,
        test_stat: str = "qtilde",
        progress: Progress = None,
        **options: Any,
    ) -> Scan:
        """Tests at ascending values of the parameter of interest, and the limits by straight lines between them."""
        values = [float(x) for x in values]
        data = _vector("data", data)
        with reporting(progress, len(values), "scan") as report:
            raw = self._inference.scan(values, data, level, test_stat, _options(**options), report)
        tests, limits = raw
        if tests:
            _advise(tests[0][1])
        return Scan(tuple([Hypotest(**test) for test, _ in tests]), **limits)

    def toys(
        self,
        mu: float,
        data: Any,
        toys: int = 2000,
        seed: int = 0,
        test_stat: str = "qtilde",
        threads: int | None = None,
        progress: Progress = None,
        **options: Any,
    ) -> Toys:
        """The test of `mu` by `toys` toys under each hypothesis. The same seed gives the same toys, whatever the number of threads."""
        data = _vector("data", data)
        with reporting(progress, 2 * toys, "toys") as report:
            raw = self._inference.toys(mu, data, toys, seed, threads, test_stat, _options(**options), report)
        return Toys(**raw)

    def asimov_data(self, mu: float, data: Any, **options: Any) -> np.ndarray:
        """The expected data at the parameters fitted to `data` with the parameter of interest at `mu`."""
        return self._inference.asimov_data(mu, _vector("data", data), _options(**options))

    def prefit(self) -> Prediction:
        """The yields before any fit: at initial parameters, each with the uncertainty that its auxiliary measurement leaves."""
        return Prediction(self, **self._inference.prediction(None))

    def _fit(self, raw: dict[str, Any], data: np.ndarray, options: dict[str, Any]) -> Fit:
        return Fit(**raw, model=self, data=data, options=_options(**options))


def _options(
    mu: float | None = None,
    init: Any = None,
    bounds: Any = None,
    fixed: Any = None,
    tolerance: float | None = None,
    max_iterations: int | None = None,
    starts: int | None = None,
) -> dict[str, Any]:
    return {
        "mu": mu,
        "init": None if init is None else [float(x) for x in init],
        "bounds": None if bounds is None else [(float(low), float(high)) for low, high in bounds],
        "fixed": None if fixed is None else [bool(x) for x in fixed],
        "tolerance": tolerance,
        "max_iterations": max_iterations,
        "starts": starts,
    }


def _vector(what: str, values: Any) -> np.ndarray:
    array = np.ascontiguousarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ShapeError(f"{what} must be a vector, not of shape {list(array.shape)}")
    return array


def _advise(advice: str | None) -> None:
    if advice is not None:
        warnings.warn(advice, stacklevel=3)
