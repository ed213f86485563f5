"""Models: rates, log-densities and their derivatives, compiled when they are first used."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from wootz import _native
from wootz._compile import compile_definition
from wootz._errors import ShapeError, UnknownNameError
from wootz.histfactory._inference import Inference
from wootz.histfactory._objective import Objective

# Batch sizes that one model keeps programs for.
_LIMIT = 64


class ParameterSet(NamedTuple):
    """Parameters that go by one name."""

    name: str
    slice: slice
    """Their positions among the parameters."""
    is_scalar: bool
    """Whether it is one parameter by nature, and not one that a channel of one bin made."""
    constraint: str | None
    """`"normal"`, `"poisson"` or, for free parameters, `None`."""
    auxdata_slice: slice
    """The positions of their auxiliary data; empty for free parameters."""


class Config:
    """What a model's arrays mean: parameters, auxiliary data and bins in pyhf's order."""

    __module__ = "wootz.histfactory"

    def __init__(self, config: dict[str, Any]) -> None:
        self.parameter_sets: dict[str, ParameterSet] = {
            name: ParameterSet(name, slice(*places), scalar, constraint, slice(*auxiliary))
            for name, places, scalar, constraint, auxiliary in config["parameter_sets"]
        }
        self.par_order: list[str] = list(self.parameter_sets)
        self.par_names: list[str] = config["par_names"]
        self.suggested_init: np.ndarray = np.array(config["init"])
        self.suggested_bounds: np.ndarray = np.array(config["bounds"]).reshape(-1, 2)
        self.suggested_fixed: np.ndarray = np.array(config["fixed"], dtype=bool)
        self.auxdata: np.ndarray = np.array(config["auxdata"], dtype=float)
        self.prefit_uncertainties: np.ndarray = np.array(config["prefit_uncertainties"], dtype=float)
        self.channel_slices: dict[str, slice] = {name: slice(*places) for name, places in config["channels"]}
        self.channels: list[str] = list(self.channel_slices)
        self.channel_nbins: dict[str, int] = {n: s.stop - s.start for n, s in self.channel_slices.items()}
        self.samples: list[str] = config["samples"]
        self.modifiers: list[tuple[str, str]] = config["modifiers"]
        self.poi_index: int | None = config["poi_index"]
        self.poi_name: str | None = None if self.poi_index is None else self.par_names[self.poi_index]
        for array in (
            self.suggested_init,
            self.suggested_bounds,
            self.suggested_fixed,
            self.auxdata,
            self.prefit_uncertainties,
        ):
            array.flags.writeable = False

    @property
    def npars(self) -> int:
        """The number of parameters."""
        return len(self.par_names)

    @property
    def nmaindata(self) -> int:
        """The number of bins."""
        return sum(self.channel_nbins.values())

    @property
    def nauxdata(self) -> int:
        """The number of auxiliary data."""
        return len(self.auxdata)

    def par_slice(self, name: str) -> slice:
        """The positions of a parameter set."""
        found = self.parameter_sets.get(name)
        if found is None:
            raise UnknownNameError(f"there is no parameter `{name}`; there are: {', '.join(self.par_order)}")
        return found.slice

    def __repr__(self) -> str:
        return f"<wootz.histfactory.Config: {self.npars} parameters, {self.nmaindata} bins, {self.nauxdata} auxiliary data>"


class Model(Inference):
    """A statistical model: Poisson counts in bins whose rates depend on parameters, and auxiliary measurements that constrain them.

    Parameters are `[parameters]`, or `[batch, parameters]` for many points at once; data `[bins + auxiliary data]`, or with the same batch
    axis. Everything is computed in float64, by programs that are compiled when they are first used.
    """

    __module__ = "wootz.histfactory"

    def __init__(self, native: _native.HistFactoryModel) -> None:
        self._native = native
        self.config = Config(native.config())
        self._programs: dict[tuple, _native.Program] = {}
        self._density = _native.HistFactoryDensity(native, True, [], False)
        self._densities: dict[tuple, tuple[_native.HistFactoryDensity, list[str]]] = {}

    def __repr__(self) -> str:
        c = self.config
        return f"<wootz.histfactory.Model: {c.npars} parameters, {len(c.channels)} channels, {c.nmaindata} bins>"

    def graph(
        self, name: str = "logpdf", templates: Sequence[str] = (), convention: str = "frozen"
    ) -> _native.Graph:
        """The model as a graph, for `wz.compile` and the transformations.

        * `"logpdf"`: parameters, data → logpdf, a scalar; NaN where a rate is negative.
        * `"rates"`: parameters → rates `[bins]`. `"sample_rates"`: parameters → rates `[samples, bins]`.
        * `"expected_data"`: parameters → data `[bins + auxiliary data]`.
        * `"fit"`, `"test_statistic"`, `"hypotest"`: whole fits, test statistics and asymptotic tests (both by q̃μ), see `fit_graph`,
          `test_statistic_graph`, `hypotest_graph`.

        `templates` become inputs of these names, and so can be differentiated by: `nominal`, `histosys_lo`, `histosys_hi`, `normsys_lo`,
        `normsys_hi`, `staterror`, `shapesys` (`template` gives their values in the workspace). `convention` says what changed nominal
        yields do to quantities derived from them (absolute variations, statistical widths, Poisson rate factors): `"frozen"`, they stay
        as they are, or `"recomputed"`, they are as if the workspace had been rewritten.
        """
        if name == "fit":
            return self.fit_graph(templates, convention)
        if name == "test_statistic":
            return self.test_statistic_graph("qtilde", templates, convention)
        if name == "hypotest":
            return self.hypotest_graph("qtilde", templates, convention)
        if name not in ("logpdf", "rates", "sample_rates", "expected_data"):
            raise UnknownNameError(
                f"a model has no graph `{name}`; it has: logpdf, rates, sample_rates, expected_data, fit, test_statistic, hypotest"
            )
        _check_convention(convention)
        return self._native.graph(name, list(templates), convention == "recomputed")

    def objective(
        self,
        kind: str = "z0",
        templates: Sequence[str] = ("nominal",),
        convention: str = "frozen",
        data: Any = "asimov",
        *,
        name: str | None = None,
        mu: float = 1.0,
        level: float = 0.05,
        sigmas: float | None = 0.0,
        **options: Any,
    ) -> Objective:
        """What an analysis is judged by, as a function of some of its templates, with derivatives by them and by the data.

        * `kind`: `"z0"`, √(q0 + 1e-12), the significance of a discovery; `"q0"`; `"cls"` of `mu`; `"upper_limit"`, the value of the parameter
          of interest at which CLs is `level`; `"parameter"` and `"uncertainty"`: a fitted parameter (`name`, by default the one of
          interest) and its uncertainty.
        * `sigmas`: which CLs or limit: expected, so many standard deviations from the median, or `None` for observed.
        * `templates`, `convention`: as for `graph`.
        * `data`: counts, one a bin, perhaps followed by auxiliary data (otherwise nominal), or `"asimov"`: what the templates predict at the initial parameters, with a parameter of interest of 1 (of 0
          for CLs and limits).
        * `tolerance` (1e-10 by default) and `max_iterations` of the fits.
        """
        return Objective(self, kind, templates, convention, data, name, mu, level, sigmas, **options)

    def fit_graph(
        self, templates: Sequence[str] = (), convention: str = "frozen", max_evaluations: int = 200
    ) -> _native.Graph:
        """A fit as a graph: init, data, free, lower, upper, tolerance, then the templates → parameters, nll, kkt, converged, evaluations.

        `free` is 1 for fitted parameters and 0 for those that stay at `init`. `kkt` is the largest gradient component in units of the root of
        its curvature; a fit ends where it is `tolerance` or less, and `converged` says whether it is. The parameters of one fit are a warm
        start of the next. It batches (`vmap`) and runs on every backend with float64. `parameters` and `nll` are differentiable in reverse mode
        by data and templates, and by `init` for fixed parameters, as precisely as the fit is: ask for a `tolerance` of 1e-10 then. `templates`
        and `convention` are as in `graph`.
        """
        _check_convention(convention)
        return self._native.fit_graph(list(templates), convention == "recomputed", max_evaluations)

    def test_statistic_graph(
        self,
        test_stat: str = "qtilde",
        templates: Sequence[str] = (),
        convention: str = "frozen",
        max_evaluations: int = 200,
        warm: bool = False,
    ) -> _native.Graph:
        """A test statistic as a graph: mu, data, then the templates → value, mu_hat. Both are NaN where a fit does not converge.

        Both are differentiable in reverse mode by every input, and the graph can be batched, also over what it is differentiated by:
        `graph.grad(0, [2])`, `graph.vmap([None, 0], [0, 0], toys)`. Fits use the model's initial values, bounds and fixed parameters.
        `templates` and `convention` are as in `graph`. With `warm`, fits start from an input `start`, which comes before the templates; the
        last output, `parameters`, is the best fit, for the next call to start from.
        """
        _check_convention(convention)
        recomputed = convention == "recomputed"
        return self._native.statistic_graph(test_stat, list(templates), recomputed, max_evaluations, warm)

    def hypotest_graph(
        self,
        test_stat: str = "qtilde",
        templates: Sequence[str] = (),
        convention: str = "frozen",
        max_evaluations: int = 200,
        warm: bool = False,
    ) -> _native.Graph:
        """An asymptotic test as a graph: mu, data, then the templates → observed, expected, statistic, asimov, mu_hat.

        `observed` is CLs (for q0 the p-value) and `expected` its band `[5]` from -2σ to +2σ, as `hypotest` gives them; `statistic` and `asimov` are
        the test statistics of the data and of Asimov data, which follow the fit that they are made from. All are NaN where a fit does not
        converge, and differentiable in reverse mode by every input; the derivatives of a statistic of 0 are 0. It batches and uses the model's
        initial values as `test_statistic_graph` does. `test_stat` is `"qtilde"`, `"q"` or `"q0"`; `templates` and `convention` are as in `graph`,
        `warm` is as in `test_statistic_graph`.
        """
        _check_convention(convention)
        recomputed = convention == "recomputed"
        return self._native.hypotest_graph(test_stat, list(templates), recomputed, max_evaluations, warm)

    def template(self, name: str) -> np.ndarray:
        """A template's values in the workspace, in the order of channel, sample, modifier, bin."""
        return self._native.template(name)

    def nominal_slice(self, channel: str, sample: str) -> slice:
        """Where a sample of a channel stands in the template `nominal`."""
        found = self._native.nominal_slice(channel, sample)
        if found is None:
            raise UnknownNameError(f"channel `{channel}` has no sample `{sample}`, or there is no such channel")
        return slice(*found)

    def modifier_slice(self, template: str, channel: str, sample: str, modifier: str | None = None) -> slice:
        """Where a modifier of a channel's sample stands in a template other than `nominal`; without a name, whichever there is."""
        found = self._native.modifier_slice(template, channel, sample, modifier)
        if found is None:
            what = f"modifier `{modifier}`" if modifier else "modifier"
            raise UnknownNameError(
                f"the template `{template}` has no {what} of sample `{sample}` in channel `{channel}`"
            )
        return slice(*found)

    def expected_data(self, pars: Any, include_auxdata: bool = True) -> np.ndarray:
        """Expected rates, and with them the expected auxiliary data."""
        graph, output = ("expected_data", "data") if include_auxdata else ("rates", "rates")
        return self._run(graph, output, pars)

    def expected_actualdata(self, pars: Any) -> np.ndarray:
        """Expected rates of the bins."""
        return self._run("rates", "rates", pars)

    def expected_auxdata(self, pars: Any) -> np.ndarray:
        """Expected auxiliary data."""
        return self.expected_data(pars)[..., self.config.nmaindata :]

    def expected_sample_data(self, pars: Any) -> np.ndarray:
        """Expected rates of each sample, `[samples, bins]`; 0 where a channel has not the sample."""
        return self._run("sample_rates", "rates", pars)

    def logpdf(self, pars: Any, data: Any) -> Any:
        """The log-density of the data, auxiliary data included. A negative rate is an error."""
        # Points that need no conversion go straight to the program.
        value = self._density.logpdf(pars, data)
        if value is None:
            value = self._checked(self._run("logpdf", "logpdf", pars, data), pars)
        return value

    def gradient(self, pars: Any, data: Any) -> np.ndarray:
        """The derivatives of `logpdf` by the parameters."""
        return self.value_and_gradient(pars, data)[1]

    def value_and_gradient(self, pars: Any, data: Any) -> tuple[Any, np.ndarray]:
        """`logpdf` and its derivatives by the parameters."""
        found = self._density.gradients(pars, data)
        if found is not None:
            return found[0], found[1][0]
        value, gradient = self._run("logpdf", ("logpdf", "grad.parameters"), pars, data)
        return self._checked(value, pars), gradient

    def value_and_gradients(
        self, pars: Any, data: Any, by: Sequence[str] = ("parameters", "nominal"), convention: str = "frozen"
    ) -> tuple[float, dict[str, np.ndarray]]:
        """`logpdf` at one point and its derivatives by `"parameters"` and templates, each by its name; `convention` as in `graph`."""
        try:
            density, names = self._densities[by, convention]
        except (KeyError, TypeError):
            density, names = self._differentiable(tuple(by), convention)
        found = density.gradients(pars, data)
        if found is None:
            found = density.gradients(
                _vector("parameters", pars, self.config.npars),
                _vector("data", data, self.config.nmaindata + self.config.nauxdata),
            )
        return found[0], dict(zip(names, found[1], strict=True))

    def _differentiable(self, by: tuple[str, ...], convention: str) -> tuple[_native.HistFactoryDensity, list[str]]:
        """The density with derivatives by these, kept, and their names in its order."""
        key = by, convention
        if key not in self._densities:
            _check_convention(convention)
            templates = [name for name in by if name != "parameters"]
            is_recomputed = convention == "recomputed"
            density = _native.HistFactoryDensity(self._native, "parameters" in by, templates, is_recomputed)
            # Parameters come first.
            self._densities[key] = density, sorted(by, key=lambda name: name != "parameters")
        return self._densities[key]

    def hessian(self, pars: Any, data: Any) -> np.ndarray:
        """The second derivatives of `logpdf` by the parameters."""
        return self._checked(self._run("logpdf", "hessian.parameters.parameters", pars, data), pars)

    def jacobian(self, pars: Any) -> np.ndarray:
        """The derivatives of the bins' expected rates by the parameters, `[bins, parameters]`."""
        return self._run("rates", "jac.rates.parameters", pars)

    def _run(self, graph: str, outputs: str | tuple[str, ...], *arrays: Any) -> Any:
        names = ("parameters", "data")[: len(arrays)]
        lengths = (self.config.npars, self.config.nmaindata + self.config.nauxdata)
        inputs, batch = {}, None
        for name, length, array in zip(names, lengths, arrays, strict=False):
            array = np.ascontiguousarray(array, dtype=np.float64)
            if array.ndim not in (1, 2) or array.shape[-1] != length:
                raise ShapeError(f"{name} has shape {list(array.shape)}, the model takes [{length}] or [batch, {length}]")
            if array.ndim == 2:
                if batch not in (None, len(array)):
                    raise ShapeError(f"{name} has a batch of {len(array)}, and the parameters one of {batch}")
                batch = len(array)
            inputs[name] = array
        self._check(inputs)
        wanted = (outputs,) if isinstance(outputs, str) else outputs
        axes = tuple([0 if a.ndim == 2 else None for a in inputs.values()])
        out = self._program(graph, wanted, axes, batch)(**inputs)
        results = [out[name][()] for name in wanted]
        return results[0] if isinstance(outputs, str) else tuple(results)

    def _program(self, graph: str, outputs: tuple, axes: tuple, batch: int | None) -> _native.Program:
        key = (graph, outputs, axes, batch)
        found = self._programs.get(key)
        if found is None:
            built = self.graph(graph)
            if any(name.startswith("hessian") for name in outputs):
                built = built.hessian(0, [0])
            elif any(name.startswith("grad") for name in outputs):
                built = built.grad(0, [0])
            elif any(name.startswith("jac") for name in outputs):
                built = built.jacfwd([0])
            if batch is not None:
                built = built.vmap(list(axes), [0] * len(built.outputs), batch)
            if len(self._programs) >= _LIMIT:
                del self._programs[next(iter(self._programs))]
            found = self._programs[key] = compile_definition(_native.Definition(built))
        return found

    def _check(self, inputs: dict[str, np.ndarray]) -> None:
        """Raises what is wrong with the numbers, in the words of the model."""
        parameters, data = inputs["parameters"], inputs.get("data")
        if parameters.ndim == 1 and (data is None or data.ndim == 1):
            self._native.check(parameters, data)
            return
        bad = not np.isfinite(parameters).all()
        if data is not None:
            bad = bad or not np.isfinite(data).all() or (data[..., : self.config.nmaindata] < 0).any()
        if not bad:
            return
        rows = max(1 if a.ndim == 1 else len(a) for a in inputs.values())
        for row in range(rows):
            point = parameters if parameters.ndim == 1 else parameters[row]
            self._native.check(point, data if data is None or data.ndim == 1 else data[row])

    def _checked(self, result: Any, pars: Any) -> Any:
        """Raises what made a density NaN."""
        if math.isnan(result) if isinstance(result, float) else np.isnan(result).any():
            for point in np.atleast_2d(np.ascontiguousarray(pars, dtype=np.float64)):
                self._native.check_rates(point)
        return result


def _check_convention(convention: str) -> None:
    if convention not in ("frozen", "recomputed"):
        raise UnknownNameError(f"the convention is `frozen` or `recomputed`, not `{convention}`")


def _vector(name: str, values: Any, length: int) -> np.ndarray:
    array = np.ascontiguousarray(values, dtype=np.float64)
    if array.shape != (length,):
        raise ShapeError(f"{name} has shape {list(array.shape)}, the model takes [{length}]")
    return array
