"""What pictures show: the numbers of what they are drawn from."""

import numpy as np
import pytest
import wootz as wz

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed; `pip install matplotlib` has these tests run")
matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402
from wootz.histfactory import plot  # noqa: E402


@pytest.fixture(autouse=True)
def closed():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def fit():
    return wz.histfactory.workload("complex-8p").fit()


def labels(ticks):
    return [tick.get_text() for tick in ticks]


def test_pulls(fit):
    ax = plot.pulls(fit, exclude=["lumi"])
    names = [name for name in fit.pulls if name != "lumi"]
    assert labels(ax.get_yticklabels()) == names
    points = np.asarray(ax.containers[0].lines[0].get_xdata(), float)
    np.testing.assert_allclose(points, [fit.pulls[name].value for name in names])


def test_ranking(fit):
    impacts = fit.ranking()
    ax = plot.ranking(impacts, top=3)
    assert labels(ax.get_yticklabels()) == [i.name for i in impacts[:3]]
    np.testing.assert_allclose([bar.get_width() for bar in ax.containers[0]], [i.postfit[0] for i in impacts[:3]])


def test_correlations(fit):
    ax = plot.correlations(fit)
    kept = [fit.names.index(name) for name in labels(ax.get_yticklabels())]
    np.testing.assert_allclose(ax.images[0].get_array(), fit.correlations[np.ix_(kept, kept)])


def test_cls():
    scan = wz.histfactory.workload("complex-8p").scan(np.linspace(0.1, 3.0, 6))
    _, given = pyplot.subplots()
    ax = plot.cls(scan, given)
    assert ax is given
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [test.observed for test in scan.tests])


def test_likelihood(fit):
    ax = plot.likelihood(fit, "mu", points=5)
    x, y = ax.lines[0].get_data()
    for mu, rise in zip(x, y, strict=True):
        t = fit.model.test_statistic(mu, fit.data, "ttilde").value
        assert abs(t - rise) < 1e-8
    with pytest.raises(wz.UnknownNameError):
        plot.likelihood(fit, "nobody")


def test_yields(fit):
    prediction = fit.prediction()
    ax = plot.yields(prediction, "SR", fit.data)
    place = fit.model.config.channel_slices["SR"]
    np.testing.assert_allclose(ax.containers[0].lines[0].get_ydata(), fit.data[place])
    highest = ax.patches[len(fit.model.config.samples) - 1].get_data()
    np.testing.assert_allclose(highest.values, prediction.bins[0][place])
    with pytest.raises(wz.UnknownNameError):
        plot.yields(prediction, "nowhere")
