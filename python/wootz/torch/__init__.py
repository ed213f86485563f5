"""PyTorch modules: programs as modules, and what trains a network on what an analysis will quote.

    import wootz as wz

    loss = wz.torch.SignificanceLoss(workspace, signal={"SR": "signal"})
    histogram = wz.torch.SoftHistogram(edges)
    value = loss(histogram(network(events), weights))  # -Z: minimising it improves the analysis
    value.backward()
    print(loss.z0)
"""

from wootz.backends._torch import Torch

Torch.load("wootz.torch")

from wootz.torch._histogram import SoftHistogram
from wootz.torch._module import as_module
from wootz.torch._significance import SignificanceLoss

__all__ = ["SignificanceLoss", "SoftHistogram", "as_module"]
