"""Histograms with derivatives by what is filled into them."""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from wootz._errors import DTypeError, ModelError, ShapeError

_MODES = ("kde", "sigmoid", "normalized")
_OVERFLOW = ("drop", "clip", "reflect")


class SoftHistogram(nn.Module):
    """A histogram in which each event is spread over bins, so that bin contents have derivatives by the events.

    * `edges`: the bins' edges, ascending.
    * `bandwidth`: h, in the units of the edges; half the mean width of the bins by default. A number, an `nn.Parameter`, or a function of
      the number of calls made in training mode so far (a schedule).
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

    def forward(self, x: Tensor, weights: Tensor | None = None, scale: float = 1.0) -> Any:
        """The bins' contents for events `x` `[events]` with `weights` `[events]` (1 by default), times `scale`.

        For a mini-batch, `scale` is the process's number of events (or sum of weights) over the batch's.
        """
        if x.ndim != 1 or (weights is not None and weights.shape != x.shape):
            shapes = f"{list(x.shape)}" + ("" if weights is None else f" and {list(weights.shape)}")
            raise ShapeError(f"a histogram takes events [events] and weights of the same shape, not {shapes}")
        _check("events", x)
        if weights is not None:
            _check("weights", weights)
        h = self.bandwidth(int(self.calls)) if callable(self.bandwidth) else self.bandwidth
        if self.training:
            self.calls += 1
        if self.mode == "normalized" or self.hard_forward or self.return_variance:
            return self._by_shares(x.double(), weights, scale, h)
        if self.overflow == "reflect":
            x, weights = self._mirrored(x, weights)
        return _Contents.apply(x, weights, self.edges.double(), h, scale, self.mode, self.overflow == "clip")

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


class _Contents(torch.autograd.Function):
    """Σ w·(F((b-x)/h) - F((a-x)/h)) for the bins from a to b: what autograd would do to the composition, in few passes over the events.

    F is odd: half the error function or half the hyperbolic tangent, in whose units distances `[edges, events]` are kept. With `clip` the outer
    edges are at infinity.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weights: Tensor | None, edges: Tensor, h: Any, scale: float, mode: str, clip: bool
    ) -> Tensor:
        distances = _distances(x, edges, h, mode)
        shares = _shares(distances, mode, clip)
        sums = shares.sum(1) if weights is None else shares @ weights.double()
        ctx.save_for_backward(x, weights, edges, h if isinstance(h, Tensor) else None, distances, shares)
        ctx.settings = None if isinstance(h, Tensor) else h, scale, mode, clip
        return sums.mul_(0.5 * scale)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple:
        x, weights, edges, parameter, distances, shares = ctx.saved_tensors
        h, scale, mode, clip = ctx.settings
        h = h if parameter is None else parameter
        if torch.is_grad_enabled():
            # Derivatives of derivatives: what was kept knows nothing of where it came from.
            distances = _distances(x, edges, h, mode)
            shares = _shares(distances, mode, clip)
            density = torch.exp(-distances.square()) if mode == "kde" else 1.0 - torch.tanh(distances).square()
        elif mode == "kde":
            density = torch.square(distances).neg_().exp_()
        else:
            density = torch.tanh(distances).square_().neg_().add_(1.0)
        # What each edge counts for, by its two bins.
        by_edge = cotangent @ _sides(len(cotangent), clip, cotangent.device)
        by_x = by_weights = by_h = None
        if ctx.needs_input_grad[0]:
            by_x = (by_edge @ density) * (-scale * _SLOPE[mode] * _UNIT[mode] / h)
            by_x = (by_x if weights is None else by_x * weights).to(x.dtype)
        if ctx.needs_input_grad[1]:
            by_weights = ((0.5 * scale * cotangent) @ shares).to(weights.dtype)
        if ctx.needs_input_grad[3]:
            moments = by_edge @ (density * distances)
            moment = moments.sum() if weights is None else moments @ weights.double()
            by_h = (-scale * _SLOPE[mode] * moment / h).to(h.dtype).reshape(h.shape)
        return by_x, by_weights, None, by_h, None, None, None


# h over the unit of distances, and F's derivative at 0.
_UNIT = {"kde": math.sqrt(0.5), "sigmoid": 0.5}
_SLOPE = {"kde": 1.0 / math.sqrt(math.pi), "sigmoid": 0.5}


def _distances(x: Tensor, edges: Tensor, h: Any, mode: str) -> Tensor:
    return (edges[:, None] - x) * (_UNIT[mode] / h)


def _shares(distances: Tensor, mode: str, clip: bool) -> Tensor:
    """Twice the shares `[bins, events]`: differences before sums over events, whose rounding would be that of their number."""
    below = torch.erf(distances) if mode == "kde" else torch.tanh(distances)
    if clip:
        ends = torch.ones_like(below[:1])
        below = torch.cat([-ends, below[1:-1], ends])
    return below.diff(dim=0)


@functools.cache
def _sides(bins: int, clip: bool, device: torch.device) -> Tensor:
    """1 for a bin's upper edge and -1 for its lower one, `[bins, edges]`; 0 for those at infinity."""
    sides = torch.eye(bins, bins + 1, dtype=torch.float64).roll(1, 1) - torch.eye(bins, bins + 1, dtype=torch.float64)
    if clip:
        sides[:, 0] = sides[:, -1] = 0.0
    return sides.to(device)


def _check(what: str, values: Tensor) -> None:
    """An error unless they are finite numbers of float32 or float64."""
    if values.dtype not in (torch.float32, torch.float64):
        raise DTypeError(f"the {what} of a histogram are float32 or float64, not {str(values.dtype).removeprefix('torch.')}")
    # A sum of finite numbers is finite, unless it overflows: one pass, and the others only then.
    if math.isfinite(values.detach().sum()):
        return
    finite = torch.isfinite(values)
    if not finite.all():
        raise ModelError(f"{int((~finite).sum())} of {len(values)} {what} are NaN or infinite; a histogram takes finite ones")
