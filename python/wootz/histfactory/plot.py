"""Pictures of results, on matplotlib axes.

    from wootz.histfactory import plot

    plot.pulls(ws.fit())
    plot.cls(ws.scan(numpy.linspace(0.1, 3, 30)))

Every function takes `ax`, the axes to draw on, makes a figure if there are none, and returns the axes.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from wootz._errors import BackendError, ShapeError, UnknownNameError
from wootz.histfactory._results import Fit, Impact, Prediction, Scan

try:
    from matplotlib import pyplot
except ImportError as error:
    raise BackendError("wootz.histfactory.plot needs matplotlib: pip install matplotlib") from error

ONE_SIGMA, TWO_SIGMA = "#009e73", "#f0e442"
# The most rows of a matrix that has its numbers written into it.
_MOST_NUMBERS = 15
_UP, _DOWN = "#009e73", "#56b4e9"


def pulls(fit: Fit, ax: Any = None, exclude: Iterable[str] = ()) -> Any:
    """Pulls of constrained parameters, with their constraints as bars."""
    kept = {name: pull for name, pull in fit.pulls.items() if name not in set(exclude)}
    ax = _axes(ax, 6, 1.2 + 0.22 * len(kept))
    rows = np.arange(len(kept))
    for sigmas, colour in ((2, TWO_SIGMA), (1, ONE_SIGMA)):
        ax.axvspan(-sigmas, sigmas, color=colour, alpha=0.4, linewidth=0)
    values, errors = ([p[i] for p in kept.values()] for i in (0, 1))
    ax.errorbar(values, rows, xerr=errors, fmt="o", color="black", markersize=3, linewidth=1)
    _names(ax, list(kept))
    reach = max([2.5, *(abs(v) + e for v, e in kept.values())])
    ax.set_xlim(-reach, reach)
    ax.set_xlabel("(best fit - measurement) / uncertainty before the fit")
    return ax


def ranking(impacts: Sequence[Impact], ax: Any = None, top: int = 20, fit: Fit | None = None) -> Any:
    """Impacts on the parameter of interest: filled after the fit, outlined before it. With their `fit`, pulls on an axis above."""
    shown = list(impacts)[:top]
    ax = _axes(ax, 6, 1.2 + 0.26 * len(shown))
    rows = np.arange(len(shown))
    for side, colour, label in ((0, _DOWN, "parameter down"), (1, _UP, "parameter up")):
        ax.barh(rows, [i.postfit[side] for i in shown], height=0.6, color=colour, label=label)
        before = [0.0 if i.prefit is None else i.prefit[side] for i in shown]
        ax.barh(rows, before, height=0.8, facecolor="none", edgecolor=colour)
    ax.axvline(0, color="black", linewidth=0.5)
    _names(ax, [i.name for i in shown])
    ax.set_xlabel("impact on the parameter of interest")
    if fit is not None:
        pulled = [(row, fit.pulls[i.name]) for row, i in enumerate(shown) if i.name in fit.pulls]
        reach = max([2.0, *(abs(p.value) + p.uncertainty for _, p in pulled)])
        above = ax.twiny()
        values, errors = ([p[i] for _, p in pulled] for i in (0, 1))
        above.errorbar(values, [row for row, _ in pulled], xerr=errors, fmt="o", color="black", markersize=3, linewidth=1)
        above.set(xlim=(-1.1 * reach, 1.1 * reach), xlabel="pull")
        # Both axes have their zero in the middle.
        widest = max([1e-12, *(abs(x) for i in shown for x in (*i.postfit, *(i.prefit or ())))])
        ax.set_xlim(-1.1 * widest, 1.1 * widest)
    ax.legend(frameon=False)
    return ax


def correlations(fit: Fit, ax: Any = None, least: float = 0.0) -> Any:
    """Correlations of parameters; of those with at least one that is larger than `least`. Up to 15 of them with their numbers."""
    found = fit.correlations
    others = np.abs(found - np.diag(np.diag(found))).max(axis=1)
    kept = np.flatnonzero((np.diag(found) > 0) & (others >= least))
    ax = _axes(ax, 3 + 0.2 * len(kept), 3 + 0.2 * len(kept))
    image = ax.imshow(found[np.ix_(kept, kept)], vmin=-1, vmax=1, cmap="RdBu_r")
    names = [fit.names[i] for i in kept]
    ax.set_xticks(range(len(kept)), names, rotation=90)
    ax.set_yticks(range(len(kept)), names)
    if len(kept) <= _MOST_NUMBERS:
        for row, i in enumerate(kept):
            for column, j in enumerate(kept):
                colour = "white" if abs(found[i, j]) > 0.6 else "black"
                ax.text(column, row, f"{found[i, j]:.2f}", ha="center", va="center", color=colour, fontsize=7)
    ax.figure.colorbar(image, ax=ax)
    return ax


def cls(scan: Scan, ax: Any = None, level: float = 0.05) -> Any:
    """Observed and expected CLs with their bands."""
    ax = _axes(ax, 6, 4.5)
    mu, expected = scan.mu, np.array([test.expected for test in scan.tests])
    ax.fill_between(mu, expected[:, 0], expected[:, 4], color=TWO_SIGMA, linewidth=0, label="expected ± 2σ")
    ax.fill_between(mu, expected[:, 1], expected[:, 3], color=ONE_SIGMA, linewidth=0, label="expected ± 1σ")
    ax.plot(mu, expected[:, 2], "--", color="black", label="expected")
    ax.plot(mu, [test.observed for test in scan.tests], "o-", color="black", markersize=2, label="observed")
    ax.axhline(level, color="red", linewidth=1)
    ax.set(xlim=(mu[0], mu[-1]), ylim=(0, 1), xlabel="μ", ylabel="CLs")
    ax.legend(frameon=False)
    return ax


def likelihood(fit: Fit, name: str, ax: Any = None, sigmas: float = 2.5, points: int = 25) -> Any:
    """-2 ln λ of a parameter, all others fitted again at each of `points` values."""
    profile = fit.profile(name, sigmas=sigmas, points=points)
    ax = _axes(ax, 6, 4.5)
    ax.plot(profile.values, profile.rises, color="black")
    for n in (1, 2):
        ax.axhline(n * n, color="grey", linestyle="--", linewidth=0.8)
    ax.set(xlabel=name, ylabel="-2 ln λ", ylim=(0, None))
    return ax


def yields(
    prediction: Prediction, channel: str, data: Any = None, ax: Any = None, edges: Any = None, ratio: Any = None
) -> Any:
    """Stacked samples of a channel with the total's uncertainty, and the counts if there are data.

    `edges` are those of the bins, one more than there are; by default 0, 1, 2 and so on. On the axes `ratio`, if given, come counts and
    uncertainty over the total.
    """
    config = prediction.model.config
    if channel not in config.channel_slices:
        raise UnknownNameError(f"there is no channel `{channel}`; there are: {', '.join(config.channels)}")
    ax = _axes(ax, 6, 4.5)
    place = config.channel_slices[channel]
    bins = place.stop - place.start
    edges = np.arange(bins + 1) if edges is None else np.asarray(edges, dtype=float)
    if edges.shape != (bins + 1,) or not (np.diff(edges) > 0).all():
        raise ShapeError(f"channel `{channel}` has {bins} bins: edges are {bins + 1} ascending numbers")
    centres = (edges[:-1] + edges[1:]) / 2
    floor = np.zeros(len(edges) - 1)
    for sample, values in zip(config.samples, prediction.samples[0][:, place], strict=True):
        ax.stairs(floor + values, edges, baseline=floor, fill=True, label=sample)
        floor = floor + values
    total, error = (array[place] for array in prediction.bins)
    band = {"fill": True, "facecolor": "none", "edgecolor": "black", "hatch": "////", "linewidth": 0}
    ax.stairs(total + error, edges, baseline=total - error, label="uncertainty", **band)
    if data is not None:
        counts = np.asarray(data)[place]
        ax.errorbar(centres, counts, yerr=np.sqrt(counts), fmt="o", color="black", label="data")
    if ratio is not None:
        scale = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
        ratio.stairs(1 + error * scale, edges, baseline=1 - error * scale, **band)
        if data is not None:
            errors = np.sqrt(counts) * scale
            ratio.errorbar(centres, counts * scale, yerr=errors, fmt="o", color="black")
        ratio.axhline(1, color="grey", linewidth=0.8)
        ratio.set(xlim=(edges[0], edges[-1]), xlabel="bin", ylabel="data / total")
    ax.set(xlim=(edges[0], edges[-1]), ylim=(0, None), xlabel="bin", ylabel="events", title=channel)
    ax.legend(frameon=False)
    return ax


def _axes(ax: Any, width: float, height: float) -> Any:
    return pyplot.subplots(figsize=(width, height), layout="constrained")[1] if ax is None else ax


def _names(ax: Any, names: list[str]) -> None:
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
