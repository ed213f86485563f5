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
      templates and gradients stay there, and `max_iterations` counts evaluations. For `"z0"`, `"q0"` and `"cls"` of Asimov data. By default
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
        given, only_signal = self._assign(templates)
        tensors = [tensor for *_, tensor in given]
        recomputed = self.convention == "recomputed" or (self.convention is None and not only_signal)
        places = [(template, place) for template, place, _ in given]
        return _Value.apply(self, places, recomputed, *tensors)

    def extra_repr(self) -> str:
        """For `print(module)`."""
        return f"objective={self.objective!r}, signal={self.signal}"

    def _assign(self, templates: Any) -> tuple[list[tuple[str, slice, Tensor]], bool]:
        """The tensors with the templates and places that they are for, and whether they are those of signals only."""
        if isinstance(templates, Tensor):
            if len(self.signal) != 1:
                channels = ", ".join(self.signal)
                raise ModelError(f"a tensor is for one channel, and the signal is in {channels}: give a dict by channel")
            templates = {next(iter(self.signal)): templates}
        if not isinstance(templates, Mapping):
            raise ModelError(f"the input is a tensor or a dict by channel, not {type(templates).__name__}")
        given: list[tuple[str, slice, Tensor]] = []
        only_signal = True
        for channel, samples in templates.items():
            if not isinstance(samples, Mapping):
                if channel not in self.signal:
                    raise UnknownNameError(
                        f"channel `{channel}` has no signal; signals are in: {', '.join(self.signal)}"
                    )
                samples = {self.signal[channel]: samples}
            for sample, parts in samples.items():
                is_signal = self.signal.get(channel) == sample
                only_signal = only_signal and is_signal
                parts = parts if isinstance(parts, Mapping) else {"nominal": parts}
                for name, part in parts.items():
                    given.extend(self._part(channel, sample, is_signal, name, part))
        if not given:
            raise ModelError("no templates were given")
        return given, only_signal

    def _part(self, channel: str, sample: str, is_signal: bool, name: str, part: Any) -> list:
        where = f"`{name}` of sample `{sample}` in channel `{channel}`"
        if name == "nominal":
            place = self.model.nominal_slice(channel, sample)
            if self.min_background is not None and not is_signal:
                part = part.clamp(min=self.min_background)
            return [("nominal", place, _checked(where, place, part))]
        if name == "variance":
            template = "staterror"
            try:
                place = self.model.modifier_slice(template, channel, sample)
            except UnknownNameError:
                template = "shapesys"
                place = self.model.modifier_slice(template, channel, sample)
            # The root has no derivative at 0, where an empty bin is.
            variance = _checked(where, place, part)
            is_empty = variance <= 0
            error = torch.where(is_empty, 0.0, torch.where(is_empty, 1.0, variance).sqrt())
            return [(template, place, error)]
        if not isinstance(part, tuple | list) or len(part) != 2:
            raise ModelError(f"{where} must be a pair of templates, at -1 and +1")
        out = []
        for side, tensor in zip(("lo", "hi"), part, strict=True):
            try:
                template = f"histosys_{side}"
                place = self.model.modifier_slice(template, channel, sample, name)
            except UnknownNameError:
                template = f"normsys_{side}"
                place = self.model.modifier_slice(template, channel, sample, name)
            out.append((template, place, _checked(where, place, tensor)))
        return out

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
                    self.model, list(names), recomputed, kind, mu, sigmas, counts, *self._limits, self.device
                )
            self._objectives[names, recomputed] = found
        return found

    def _evaluate(self, places: list, recomputed: bool, arrays: list[Any]) -> tuple[float, list[Any]]:
        """The loss and its gradients, arrays of NumPy or tensors on the device."""
        names = tuple(sorted({template for template, _ in places}))
        objective = self._objective(names, recomputed)
        held = self.model if isinstance(objective, _native.HistFactoryObjective) else objective
        values = {name: held.template(name) for name in names}
        for (template, place), array in zip(places, arrays, strict=True):
            values[template][place] = array
        last = self._last
        sign = -1.0 if self.negate and self.objective in ("z0", "q0") else 1.0
        try:
            found = objective.evaluate(list(values.values()), self._options)
        except FitError as error:
            if self.on_failure == "raise":
                raise
            last.failures += 1
            warnings.warn(f"a fit failed, the step has no gradient: {error}", stacklevel=2)
            return sign * (float("nan") if last.value is None else last.value), [
                torch.zeros_like(torch.as_tensor(a)) for a in arrays
            ]
        last.value = found["value"]
        last.fit = ObjectiveFit(found["mu_hat"], found["free"], found["conditional"])
        if self.objective in ("z0", "q0"):
            last.q0 = found["statistic"]
            if last.q0 == 0.0:
                last.zeros += 1
                warnings.warn("there is no excess: q0 and its gradient are 0", stacklevel=2)
        gradients = dict(zip(names, found["gradients"], strict=True))
        return sign * last.value, [sign * gradients[template][place] for template, place in places]


@dataclass
class _Last:
    """What is known of the last call, and counts. Not attributes of the module, which take long to set."""

    value: float | None = None
    q0: float | None = None
    fit: ObjectiveFit | None = None
    failures: int = 0
    zeros: int = 0


class _Value(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loss: SignificanceLoss, places: list, recomputed: bool, *tensors: Tensor) -> Tensor:
        there = [tensor.detach().to(loss.device or "cpu", torch.float64) for tensor in tensors]
        arrays = [tensor.numpy() for tensor in there] if loss.device is None else there
        value, gradients = loss._evaluate(places, recomputed, arrays)
        dtype = torch.float64 if any(t.dtype == torch.float64 for t in tensors) else tensors[0].dtype
        ctx.save_for_backward(*[torch.as_tensor(g).to(t) for g, t in zip(gradients, tensors, strict=True)])
        return torch.tensor(value, dtype=dtype, device=tensors[0].device)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple:
        return (None, None, None, *[g * cotangent.to(g) for g in ctx.saved_tensors])


def _checked(what: str, place: slice, tensor: Any) -> Tensor:
    if not isinstance(tensor, Tensor) or tensor.dtype not in (torch.float32, torch.float64):
        got = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        raise ModelError(f"{what} must be a float32 or float64 tensor, not {got}")
    if tensor.shape != (place.stop - place.start,):
        raise ShapeError(f"{what} has shape {list(tensor.shape)}, not [{place.stop - place.start}]")
    return tensor


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
