"""Histograms with derivatives by what is filled into them."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from wootz import _native
from wootz._errors import DTypeError, ModelError, ShapeError

_MODES = ("kde", "sigmoid", "normalized")
_OVERFLOW = ("drop", "clip", "reflect")


class SoftHistogram(nn.Module):
    """A histogram in which each event is spread over bins, so that bin contents have derivatives by the events.

    * `edges`: the bins' edges, ascending.
    * `bandwidth`: h, in the units of the edges; half the mean width of the bins by default. A number, an `nn.Parameter`, or a function of
      the number of calls made in training mode so far (a schedule, for which they are counted).
    * `mode`: the share k of an event at x in the bin from a to b:
      `"kde"`: Φ((b-x)/h) - Φ((a-x)/h). `"sigmoid"`: the same with the logistic function. `"normalized"`: Gaussians of width h around
      the bins' centres, divided by their sum over the bins.
    * `overflow`: `"drop"`: shares beyond the outer edges are lost (`"normalized"`: events beyond them). `"clip"`: the outer bins reach to
      infinity. `"reflect"`: shares are reflected at the outer edges, and events beyond them are lost.
    * `hard_forward`: the values are those of `numpy.histogram`, the derivatives those of the soft histogram.
    * `return_variance`: the result is a pair, the second Σ w²·k².

    It computes in float64, whatever the dtype of events and weights, and so are the contents; derivatives have the dtype of what they are by.

    For h → 0 it is `numpy.histogram` (of clipped values for `"clip"`; `"normalized"`: for bins of one width).
    """

    edges: Tensor
    calls: Tensor

    def __init__(
        self,
        edges: Any,
        bandwidth: float | nn.Parameter | Callable[[int], float] | None = None,
        mode: str = "kde",
        overflow: str = "drop",
        hard_forward: bool = False,
        return_variance: bool = False,
    ) -> None:
        super().__init__()
        edges = torch.as_tensor(edges, dtype=torch.float64)
        if edges.ndim != 1 or len(edges) < 2:
            raise ShapeError(f"edges must be a vector of at least two numbers, not of shape {list(edges.shape)}")
        if not torch.isfinite(edges).all() or (edges.diff() <= 0).any():
            raise ModelError("the edges of a histogram must be finite and ascend")
        if mode not in _MODES:
            raise ModelError(f"the mode of a histogram is one of {', '.join(_MODES)}, not {mode!r}")
        if overflow not in _OVERFLOW:
            raise ModelError(f"the overflow of a histogram is one of {', '.join(_OVERFLOW)}, not {overflow!r}")
        if isinstance(bandwidth, (int, float)) and not bandwidth > 0:
            raise ModelError(f"the bandwidth of a histogram must be positive, not {bandwidth}")
        self.register_buffer("edges", edges, persistent=False)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        if bandwidth is None:
            bandwidth = 0.5 * float(edges[-1] - edges[0]) / (len(edges) - 1)
        # An `nn.Parameter` is registered by this, and so trained.
        self.bandwidth = bandwidth
        self.mode = mode
        self.overflow = overflow
        self.hard_forward = hard_forward
        self.return_variance = return_variance
        self._is_composed = not (mode == "normalized" or hard_forward or return_variance)

    def forward(self, x: Tensor, weights: Tensor | None = None, scale: float = 1.0) -> Any:
        """The bins' contents for events `x` `[events]` with `weights` `[events]` (1 by default), times `scale`.

        For a mini-batch, `scale` is the process's number of events (or sum of weights) over the batch's.
        """
        if x.ndim != 1 or (weights is not None and weights.shape != x.shape):
            shapes = f"{list(x.shape)}" + ("" if weights is None else f" and {list(weights.shape)}")
            raise ShapeError(f"a histogram takes events [events] and weights of the same shape, not {shapes}")
        _check_dtype("events", x)
        if weights is not None:
            _check_dtype("weights", weights)
        h = self.bandwidth
        if callable(h):
            h = h(int(self.calls))
            if self.training:
                self.calls += 1
        # Native programs read the processor's memory, and nothing traces them.
        native = x.is_cpu and self._is_composed and not torch.compiler.is_compiling()
        if not native or self.overflow == "reflect":
            _check_finite("events", x)
            if weights is not None:
                _check_finite("weights", weights)
        if not self._is_composed:
            return self._by_shares(x.double(), weights, scale, h)
        if self.overflow == "reflect":
            x, weights = self._mirrored(x, weights)
        settings = _Settings(self.mode, self.overflow == "clip", scale)
        if native:
            return _NativeContents.apply(x, weights, h, self.edges, settings)
        return _Contents.apply(x, weights, h, self.edges, settings)

    def extra_repr(self) -> str:
        """For `print(module)`."""
        return f"bins={len(self.edges) - 1}, mode={self.mode!r}, overflow={self.overflow!r}"

    def _by_shares(self, x: Tensor, weights: Tensor | None, scale: float, h: Any) -> Any:
        weights = torch.ones_like(x) if weights is None else weights.double()
        shares = self._soft(x, h)
        if self.hard_forward:
            shares = shares + (self._hard(x) - shares).detach()
        weights = weights * scale
        contents = weights @ shares
        return (contents, (weights * weights) @ (shares * shares)) if self.return_variance else contents

    def _mirrored(self, x: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """Events with their mirror images, and their weights, which are 0 outside the edges."""
        edges, x = self.edges.double(), x.double()
        inside = self._inside(x)
        weights = inside if weights is None else inside * weights
        return torch.cat([x, 2 * edges[0] - x, 2 * edges[-1] - x]), weights.repeat(3)

    def _inside(self, x: Tensor) -> Tensor:
        return ((x >= self.edges[0]) & (x <= self.edges[-1])).to(x.dtype)

    def _soft(self, x: Tensor, h: Any) -> Tensor:
        """The shares `[events, bins]`."""
        edges = self.edges.double()
        if self.mode == "normalized":
            centres = 0.5 * (edges[1:] + edges[:-1])
            scores = -0.5 * ((x[:, None] - centres) / h) ** 2
            if self.overflow == "reflect":
                mirrored = torch.stack([x, 2 * edges[0] - x, 2 * edges[-1] - x])
                scores = (-0.5 * ((mirrored[..., None] - centres) / h) ** 2).logsumexp(0)
            shares = torch.softmax(scores, dim=1)
            return shares if self.overflow == "clip" else shares * self._inside(x)[:, None]
        below = self._below((edges - x[:, None]) / h)
        if self.overflow == "clip":
            ends = torch.zeros_like(below[:, :1])
            below = torch.cat([ends, below[:, 1:-1], ends + 1], dim=1)
        elif self.overflow == "reflect":
            # The shares that the mirrored events have in the bins.
            low = self._below((edges - (2 * edges[0] - x)[:, None]) / h)
            high = self._below((edges - (2 * edges[-1] - x)[:, None]) / h)
            return (below + low + high).diff(dim=1) * self._inside(x)[:, None]
        return below.diff(dim=1)

    def _below(self, t: Tensor) -> Tensor:
        return torch.special.ndtr(t) if self.mode == "kde" else torch.sigmoid(t)

    def _hard(self, x: Tensor) -> Tensor:
        x, edges, bins = x.detach(), self.edges.double(), len(self.edges) - 1
        index = torch.bucketize(x, edges, right=True) - 1
        # The last bin has its upper edge.
        index = torch.where(x == edges[-1], bins - 1, index)
        if self.overflow == "clip":
            index = index.clamp(0, bins - 1)
        shares = torch.nn.functional.one_hot(index.clamp(0, bins - 1), bins)
        inside = (index >= 0) & (index < bins)
        return (shares * inside[:, None]).to(self.edges.device)


class _Settings(NamedTuple):
    """Of Σ w·(F((b-x)/h) - F((a-x)/h)) for the bins from a to b, times `scale`.

    F is odd: half the error function or half the hyperbolic tangent, in whose units distances `[edges, events]` are kept. With `clip` the outer
    edges are at infinity.
    """

    mode: str
    clip: bool
    scale: float


class _NativeContents(torch.autograd.Function):
    """The contents by native programs, which keep nothing for the derivatives but what they were given."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor | None, h: Any, edges: Tensor, settings: _Settings) -> Tensor:
        arrays = x.detach().numpy(), None if weights is None else weights.detach().numpy()
        places = edges.tolist()
        bandwidth = float(h)
        native = _programs(len(places) - 1, settings.mode, settings.clip)
        ctx.save_for_backward(x, weights, h if isinstance(h, Tensor) else None)
        ctx.given = native, arrays, places, bandwidth, edges, settings
        return torch.from_numpy(native.contents(*arrays, places, bandwidth, settings.scale))

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple:
        # Asked for even if not needed: what was given must not have been overwritten since.
        x, weights, parameter = ctx.saved_tensors
        native, arrays, places, bandwidth, edges, settings = ctx.given
        if torch.is_grad_enabled():
            # Derivatives of derivatives are the composition's.
            h = bandwidth if parameter is None else parameter
            return *_derivatives(x, weights, h, edges, settings, cotangent, ctx.needs_input_grad), None, None
        by_x, by_weights, by_h = native.derivatives(
            *arrays, places, bandwidth, settings.scale, cotangent.tolist(), ctx.needs_input_grad[:3]
        )
        by_x = None if by_x is None else torch.from_numpy(by_x)
        by_weights = None if by_weights is None else torch.from_numpy(by_weights)
        by_h = None if by_h is None else torch.full_like(parameter, by_h)
        return by_x, by_weights, by_h, None, None


class _Contents(torch.autograd.Function):
    """The contents as what autograd would do to the composition, in few passes over the events."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor | None, h: Any, edges: Tensor, settings: _Settings) -> Tensor:
        distances = _distances(x, edges, h, settings.mode)
        shares = _shares(distances, settings)
        sums = shares.sum(1) if weights is None else shares @ weights.double()
        ctx.save_for_backward(x, weights, h if isinstance(h, Tensor) else None, edges, distances, shares)
        ctx.settings = None if isinstance(h, Tensor) else h, settings
        return sums.mul_(0.5 * settings.scale)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple:
        x, weights, parameter, edges, *kept = ctx.saved_tensors
        h, settings = ctx.settings
        h = h if parameter is None else parameter
        # Derivatives of derivatives: what was kept knows nothing of where it came from.
        kept = None if torch.is_grad_enabled() else kept
        return *_derivatives(x, weights, h, edges, settings, cotangent, ctx.needs_input_grad, kept), None, None


def _derivatives(
    x: Tensor,
    weights: Tensor | None,
    h: Any,
    edges: Tensor,
    settings: _Settings,
    cotangent: Tensor,
    needs: Any,
    kept: Any = None,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The derivatives by events, weights and bandwidth, from distances and shares that were kept, or such as can be differentiated again."""
    mode, clip, scale = settings
    if kept is None:
        distances = _distances(x, edges, h, mode)
        shares = _shares(distances, settings)
        density = torch.exp(-distances.square()) if mode == "kde" else 1.0 - torch.tanh(distances).square()
    else:
        distances, shares = kept
        if mode == "kde":
            density = torch.square(distances).neg_().exp_()
        else:
            density = torch.tanh(distances).square_().neg_().add_(1.0)
    by_edge = _by_edge(cotangent, clip)
    by_x = by_weights = by_h = None
    if needs[0]:
        by_x = (by_edge @ density) * (-scale * _SLOPE[mode] * _UNIT[mode] / h)
        by_x = (by_x if weights is None else by_x * weights).to(x.dtype)
    if needs[1]:
        by_weights = ((0.5 * scale * cotangent) @ shares).to(weights.dtype)
    if needs[2]:
        moments = by_edge @ (density * distances)
        moment = moments.sum() if weights is None else moments @ weights.double()
        by_h = (-scale * _SLOPE[mode] * moment / h).to(h.dtype).reshape(h.shape)
    return by_x, by_weights, by_h


# h over the unit of distances, and F's derivative at 0.
_UNIT = {"kde": math.sqrt(0.5), "sigmoid": 0.5}
_SLOPE = {"kde": 1.0 / math.sqrt(math.pi), "sigmoid": 0.5}


def _distances(x: Tensor, edges: Tensor, h: Any, mode: str) -> Tensor:
    return (edges.double()[:, None] - x) * (_UNIT[mode] / h)


def _shares(distances: Tensor, settings: _Settings) -> Tensor:
    """Twice the shares `[bins, events]`: differences before sums over events, whose rounding would be that of their number."""
    below = torch.erf(distances) if settings.mode == "kde" else torch.tanh(distances)
    if settings.clip:
        ends = torch.ones_like(below[:1])
        below = torch.cat([-ends, below[1:-1], ends])
    return below.diff(dim=0)


def _by_edge(by_bin: Tensor, clip: bool) -> Tensor:
    """What each edge counts for, by its two bins; those at infinity for nothing."""
    by_edge = pad(by_bin, (1, 0)) - pad(by_bin, (0, 1))
    return pad(by_edge[1:-1], (1, 1)) if clip else by_edge


@functools.cache
def _programs(bins: int, mode: str, clip: bool) -> _native.HistFactoryHistogram:
    """The native programs of histograms of these settings. Not attributes of a module, which may be copied and pickled."""
    return _native.HistFactoryHistogram(bins, mode, clip)


def _check_dtype(what: str, values: Tensor) -> None:
    if values.dtype not in (torch.float32, torch.float64):
        raise DTypeError(f"the {what} of a histogram are float32 or float64, not {str(values.dtype).removeprefix('torch.')}")


def _check_finite(what: str, values: Tensor) -> None:
    # A sum of finite numbers is finite, unless it overflows: one pass, and the others only then.
    if math.isfinite(values.detach().sum()):
        return
    finite = torch.isfinite(values)
    if not finite.all():
        raise ModelError(f"{int((~finite).sum())} of {len(values)} {what} are NaN or infinite; a histogram takes finite ones")
