"""Histograms with derivatives by what is filled into them."""

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
        x = _checked("events", x)
        weights = torch.ones_like(x) if weights is None else _checked("weights", weights)
        shares = self._soft(x)
        if self.hard_forward:
            shares = shares + (self._hard(x) - shares).detach()
        if self.training:
            self.calls += 1
        weights = weights * scale
        contents = weights @ shares
        return (contents, (weights * weights) @ (shares * shares)) if self.return_variance else contents

    def extra_repr(self) -> str:
        """For `print(module)`."""
        return f"bins={len(self.edges) - 1}, mode={self.mode!r}, overflow={self.overflow!r}"

    def _soft(self, x: Tensor) -> Tensor:
        edges = self.edges.double()
        h = self.bandwidth(int(self.calls)) if callable(self.bandwidth) else self.bandwidth
        inside = ((x >= edges[0]) & (x <= edges[-1])).to(x.dtype)[:, None]
        if self.mode == "normalized":
            centres = 0.5 * (edges[1:] + edges[:-1])
            scores = -0.5 * ((x[:, None] - centres) / h) ** 2
            if self.overflow == "reflect":
                mirrored = torch.stack([x, 2 * edges[0] - x, 2 * edges[-1] - x])
                scores = (-0.5 * ((mirrored[..., None] - centres) / h) ** 2).logsumexp(0)
            shares = torch.softmax(scores, dim=1)
            return shares if self.overflow == "clip" else shares * inside
        below = self._below((edges - x[:, None]) / h)
        if self.overflow == "clip":
            ends = torch.zeros_like(below[:, :1])
            below = torch.cat([ends, below[:, 1:-1], ends + 1], dim=1)
        elif self.overflow == "reflect":
            # The shares that the mirrored events have in the bins.
            low = self._below((edges - (2 * edges[0] - x)[:, None]) / h)
            high = self._below((edges - (2 * edges[-1] - x)[:, None]) / h)
            return (below + low + high).diff(dim=1) * inside
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


def _checked(what: str, values: Tensor) -> Tensor:
    """The values in float64; an error unless they are finite numbers of float32 or float64."""
    if values.dtype not in (torch.float32, torch.float64):
        raise DTypeError(f"the {what} of a histogram are float32 or float64, not {str(values.dtype).removeprefix('torch.')}")
    finite = torch.isfinite(values)
    if not finite.all():
        raise ModelError(f"{int((~finite).sum())} of {len(values)} {what} are NaN or infinite; a histogram takes finite ones")
    return values.double()
