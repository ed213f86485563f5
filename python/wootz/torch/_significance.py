"""The loss that is the result of an analysis."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from wootz import _native
from wootz._errors import FitError, ModelError, ShapeError, UnknownNameError
from wootz.histfactory import Model, Workspace, load
from wootz.histfactory._inference import _options
from wootz.torch._device import KINDS, DeviceObjective, checked

_KINDS = {
    "z0": "z0",
    "q0": "q0",
    "cls": "cls",
    "upper_limit": "upper_limit",
    "sigma_mu": "uncertainty",
}
# Fits whose result is differentiated end here: the derivative's error is proportional to it.
_TOLERANCE = 1e-10


class ObjectiveFit(NamedTuple):
    """The fits behind a value."""

    mu_hat: float
    """The best-fit parameter of interest."""
    free: np.ndarray
    """The best-fit parameters."""
    conditional: np.ndarray | None
    """Those with the parameter of interest at the tested value."""


class SignificanceLoss(nn.Module):
    """What an analysis will quote, as a loss of its binned templates: minimising it improves the analysis.

    * `model`: a `wz.histfactory.Model` or `Workspace`, or whatever `wz.histfactory.load` takes.
    * `signal`: the signal sample of each channel that is trained: `{"SR": "signal"}`.
    * `objective`: `"z0"`: √(q0 + 1e-12), the significance of a discovery. `"q0"`. `"cls"`: CLs of `mu`. `"upper_limit"`: the value of the
      parameter of interest at which CLs is `level`. `"sigma_mu"`: the uncertainty of the parameter of interest.
    * `sigmas`: which CLs or limit: expected, so many standard deviations from the median, or `None` for observed.
    * `data`: `"asimov"`: what the templates predict at the initial parameters (with a parameter of interest of 1; of 0 for CLs and limits),
      built again at each step. `"observed"`: those of the workspace; or counts, one a bin, perhaps followed by auxiliary data (otherwise
      nominal). Both of the latter unblind the analysis, of which a warning says so.
    * `convention`: what changed yields do to quantities derived from them (statistical widths, Poisson rate factors, absolute variations):
      `"frozen"` or `"recomputed"`, see `Model.graph`. By default frozen if only signal samples are given, recomputed otherwise.
    * `negate`: the loss falls as the analysis improves: it is -Z or -q0. If not, it is the objective itself, which for CLs, limits and
      uncertainties falls anyway.
    * `on_failure`: of a fit: `"raise"`, or `"skip"`: the value is the last one and its gradient 0; `failures` counts them.
    * `min_background`: the least yield of a cell of any sample that is not a signal, if given.
    * `device`: where everything is computed, by PyTorch's name for a device with float64: fits and densities are then generated PyTorch,
      templates and gradients stay there, and `max_iterations` counts evaluations. For all objectives but `"sigma_mu"`. By default
      fits run on the CPU as native programs, wherever the inputs are.

    The input is a tensor `[bins]` (for one channel), or a dict of them by channel: the signal's yields. A dict's value may be a dict by sample, to
    give backgrounds as well; and a sample's a dict again: `"nominal"` the yields, `"variance"` their variances (for its staterror
    modifier, or shapesys where it has none), and by the name of a histosys or normsys modifier a pair, its templates at -1 and +1. What is not given stays as
    it is in the workspace.

    Gradients are those on the parameters that no bound holds: where a parameter is at its bound and pressed against it, it stays there, and where a
    bound takes hold or lets go the gradient is one-sided.

    Inputs are float32 or float64, fits are float64, gradients have the dtype of their input. Fits start where those of the last step ended; `reset`
    forgets that. `value`, `z0`, `q0` and `fit` are those of the last call; `zeros` counts calls without an excess, whose q0 and gradient
    are 0.
    """

    def __init__(
        self,
        model: Any,
        signal: Mapping[str, str],
        objective: str = "z0",
        data: Any = "asimov",
        convention: str | None = None,
        negate: bool = True,
        on_failure: str = "raise",
        *,
        mu: float = 1.0,
        level: float = 0.05,
        sigmas: float | None = 0.0,
        min_background: float | None = None,
        tolerance: float = _TOLERANCE,
        max_iterations: int | None = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        if objective not in _KINDS:
            raise ModelError(f"the objective is one of {', '.join(_KINDS)}, not {objective!r}")
        if convention not in (None, "frozen", "recomputed"):
            raise ModelError(f"the convention is 'frozen' or 'recomputed', not {convention!r}")
        if on_failure not in ("raise", "skip"):
            raise ModelError(f"on_failure is 'raise' or 'skip', not {on_failure!r}")
        source = model if isinstance(model, Model) else load(model)
        self.model: Model = source.model() if isinstance(source, Workspace) else source
        self.signal = dict(signal)
        for channel, sample in self.signal.items():
            self.model.nominal_slice(channel, sample)
        if self.model.config.poi_index is None:
            raise ModelError("the model has no parameter of interest; name one when you make it")
        self.device = None if device is None else checked(device)
        if self.device is not None and objective not in KINDS:
            raise ModelError(f"on a device the objective is one of {', '.join(KINDS)}, not {objective!r}: leave `device` out")
        self.objective = objective
        self.convention = convention
        self.negate = negate
        self.on_failure = on_failure
        self.min_background = min_background
        self._counts = _counts(source, self.model, data)
        self._settings = (_KINDS[objective], mu, level, sigmas, self.model.config.poi_index, self._counts)
        self._options = _options(tolerance=tolerance, max_iterations=max_iterations)
        self._limits = (tolerance, max_iterations)
        self._objectives: dict[tuple, _native.HistFactoryObjective | DeviceObjective] = {}
        self._layouts: dict[tuple[_Part, ...], _Layout] = {}
        self._last = _Last()

    @property
    def value(self) -> float | None:
        """The objective of the last call."""
        return self._last.value

    @property
    def q0(self) -> float | None:
        """q0 of the last call, if the objective is `z0` or `q0`."""
        return self._last.q0

    @property
    def z0(self) -> float | None:
        """√q0 of the last call, if the objective is `z0` or `q0`."""
        return None if self.q0 is None else self.q0**0.5

    @property
    def fit(self) -> ObjectiveFit | None:
        """The fits of the last call."""
        return self._last.fit

    @property
    def failures(self) -> int:
        """Calls whose fit failed."""
        return self._last.failures

    @property
    def zeros(self) -> int:
        """Calls without an excess."""
        return self._last.zeros

    def reset(self) -> None:
        """Forgets where fits ended, and what is known of the last call."""
        for objective in self._objectives.values():
            objective.reset()
        self._last = _Last()

    def forward(self, templates: Any) -> Tensor:
        """The loss, a scalar in the widest dtype of the inputs."""
        parts, tensors = self._parts(templates)
        layout = self._layouts.get(parts) or self._layout(parts)
        prepared = [place.prepare(tensor) for place, tensor in zip(layout.places, tensors, strict=True)]
        return _Value.apply(self, layout, *prepared)

    def extra_repr(self) -> str:
        """For `print(module)`."""
        return f"objective={self.objective!r}, signal={self.signal}"

    def _parts(self, templates: Any) -> tuple[tuple["_Part", ...], list[Any]]:
        """What is given, and the tensors."""
        if isinstance(templates, Tensor):
            if len(self.signal) != 1:
                channels = ", ".join(self.signal)
                raise ModelError(f"a tensor is for one channel, and the signal is in {channels}: give a dict by channel")
            ((channel, sample),) = self.signal.items()
            return ((channel, sample, "nominal", None),), [templates]
        if not isinstance(templates, Mapping):
            raise ModelError(f"the input is a tensor or a dict by channel, not {type(templates).__name__}")
        found: dict[_Part, Any] = {}
        for channel, samples in templates.items():
            if not isinstance(samples, Mapping):
                if channel not in self.signal:
                    raise UnknownNameError(
                        f"channel `{channel}` has no signal; signals are in: {', '.join(self.signal)}"
                    )
                samples = {self.signal[channel]: samples}
            for sample, parts in samples.items():
                for name, part in parts.items() if isinstance(parts, Mapping) else (("nominal", parts),):
                    if name in ("nominal", "variance"):
                        found[channel, sample, name, None] = part
                        continue
                    if not isinstance(part, tuple | list) or len(part) != 2:
                        raise ModelError(f"{_where(channel, sample, name)} must be a pair of templates, at -1 and +1")
                    found[channel, sample, name, "lo"], found[channel, sample, name, "hi"] = part
        if not found:
            raise ModelError("no templates were given")
        return tuple(found), list(found.values())

    def _layout(self, parts: tuple["_Part", ...]) -> "_Layout":
        """Where these parts go, found once."""
        places = [self._place(*part) for part in parts]
        only_signal = all(self.signal.get(channel) == sample for channel, sample, *_ in parts)
        recomputed = self.convention == "recomputed" or (self.convention is None and not only_signal)
        names = tuple(sorted({place.template for place in places}))
        objective = self._objective(names, recomputed)
        held = self.model if isinstance(objective, _native.HistFactoryObjective) else objective
        layout = _Layout(places, objective, {name: held.template(name) for name in names})
        self._layouts[parts] = layout
        return layout

    def _place(self, channel: str, sample: str, name: str, side: str | None) -> "_Place":
        def place(template: str) -> _Place:
            if template == "nominal":
                return _Place(where, template, self.model.nominal_slice(channel, sample), least=least)
            modifier = None if side is None else name
            at = self.model.modifier_slice(template, channel, sample, modifier)
            return _Place(where, template, at, is_variance=side is None)

        where = _where(channel, sample, name)
        least = None if self.signal.get(channel) == sample else self.min_background
        if name == "nominal":
            return place("nominal")
        # The second where the sample does not have the first.
        first, second = ("staterror", "shapesys") if side is None else (f"histosys_{side}", f"normsys_{side}")
        try:
            return place(first)
        except UnknownNameError:
            return place(second)

    def _objective(self, names: tuple[str, ...], recomputed: bool) -> "_native.HistFactoryObjective | DeviceObjective":
        """The objective of these templates, made when it is first used."""
        found = self._objectives.get((names, recomputed))
        if found is None:
            kind, mu, level, sigmas, poi, counts = self._settings
            if self.device is None:
                found = _native.HistFactoryObjective(
                    self.model._native, list(names), recomputed, kind, mu, level, sigmas, poi, counts
                )
            else:
                found = DeviceObjective(
                    self.model, list(names), recomputed, kind, mu, level, sigmas, counts, *self._limits, self.device
                )
            self._objectives[names, recomputed] = found
        return found

    def _evaluate(self, layout: "_Layout", arrays: list[Any]) -> tuple[float, list[Any]]:
        """The loss and its gradients, arrays of NumPy or tensors on the device."""
        values = {name: _copy(template) for name, template in layout.templates.items()}
        for place, array in zip(layout.places, arrays, strict=True):
            values[place.template][place.at] = array
        last = self._last
        sign = -1.0 if self.negate and self.objective in ("z0", "q0") else 1.0
        try:
            found = layout.objective.evaluate(list(values.values()), self._options)
        except FitError as error:
            if self.on_failure == "raise":
                raise
            last.failures += 1
            warnings.warn(f"a fit failed, the step has no gradient: {error}", stacklevel=2)
            zeros = [torch.zeros_like(a) if isinstance(a, Tensor) else np.zeros(a.shape) for a in arrays]
            return sign * (float("nan") if last.value is None else last.value), zeros
        last.value = found["value"]
        last.fit = ObjectiveFit(found["mu_hat"], found["free"], found["conditional"])
        if self.objective in ("z0", "q0"):
            last.q0 = found["statistic"]
            if last.q0 == 0.0:
                last.zeros += 1
                warnings.warn("there is no excess: q0 and its gradient are 0", stacklevel=2)
        gradients = dict(zip(values, found["gradients"], strict=True))
        return sign * last.value, [sign * gradients[place.template][place.at] for place in layout.places]


@dataclass
class _Last:
    """What is known of the last call, and counts. Not attributes of the module, which take long to set."""

    value: float | None = None
    q0: float | None = None
    fit: ObjectiveFit | None = None
    failures: int = 0
    zeros: int = 0


# Channel, sample, "nominal", "variance" or a modifier, and of a modifier "lo" or "hi".
_Part = tuple[str, str, str, str | None]


@dataclass(frozen=True)
class _Place:
    """Where a part goes, and what is made of it before."""

    where: str
    template: str
    at: slice
    is_variance: bool = False
    least: float | None = None

    def prepare(self, tensor: Any) -> Tensor:
        if not isinstance(tensor, Tensor) or tensor.dtype not in (torch.float32, torch.float64):
            got = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
            raise ModelError(f"{self.where} must be a float32 or float64 tensor, not {got}")
        if tensor.shape != (self.at.stop - self.at.start,):
            raise ShapeError(f"{self.where} has shape {list(tensor.shape)}, not [{self.at.stop - self.at.start}]")
        if self.least is not None:
            tensor = tensor.clamp(min=self.least)
        if self.is_variance:
            # The root has no derivative at 0, where an empty bin is.
            is_empty = tensor <= 0
            tensor = torch.where(is_empty, 0.0, torch.where(is_empty, 1.0, tensor).sqrt())
        return tensor


class _Layout(NamedTuple):
    """The places of parts, the objective by their templates, and the templates as they are otherwise."""

    places: list[_Place]
    objective: "_native.HistFactoryObjective | DeviceObjective"
    templates: dict[str, Any]


class _Value(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loss: SignificanceLoss, layout: _Layout, *tensors: Tensor) -> Tensor:
        if loss.device is None:
            # Assignment makes them float64.
            parts = [tensor.detach().cpu().numpy() for tensor in tensors]
        else:
            parts = [tensor.detach().to(loss.device, torch.float64) for tensor in tensors]
        value, ctx.gradients = loss._evaluate(layout, parts)
        ctx.like = [(tensor.dtype, tensor.device) for tensor in tensors]
        dtype, device = ctx.like[0]
        if any(dtype == torch.float64 for dtype, _ in ctx.like):
            dtype = torch.float64
        return torch.tensor(value, dtype=dtype, device=device)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple:
        # A number for arrays of NumPy; what is on a device is not waited for.
        scale = cotangent.double() if isinstance(ctx.gradients[0], Tensor) else cotangent.item()
        gradients = [torch.as_tensor(gradient * scale) for gradient in ctx.gradients]
        return None, None, *[g.to(device, dtype) for g, (dtype, device) in zip(gradients, ctx.like, strict=True)]


def _where(channel: str, sample: str, name: str) -> str:
    return f"`{name}` of sample `{sample}` in channel `{channel}`"


def _copy(template: Any) -> Any:
    return template.clone() if isinstance(template, Tensor) else template.copy()


def _counts(source: Any, model: Model, data: Any) -> list[float] | None:
    """The counts that are fitted; `None` for Asimov data."""
    if isinstance(data, str):
        if data == "asimov":
            return None
        if data != "observed":
            raise ModelError(f"data are 'asimov', 'observed' or counts, not {data!r}")
        if not isinstance(source, Workspace):
            raise ModelError("observed data come from a workspace; give it in place of its model, or give the counts")
        data = source.data(model, include_auxdata=False)
    counts = np.ascontiguousarray(data, dtype=np.float64)
    bins = model.config.nmaindata
    everything = bins + len(model.config.auxdata)
    if counts.shape not in ((bins,), (everything,)):
        raise ShapeError(f"the counts have shape {list(counts.shape)}, not [{bins}] (or, with auxiliary data, [{everything}])")
    warnings.warn("the loss is of observed data: training on it unblinds the analysis", stacklevel=3)
    return counts.tolist()
