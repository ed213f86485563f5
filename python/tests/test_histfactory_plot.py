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


def test_rankings_have_pulls_beside_them(fit):
    impacts = fit.ranking()
    ax = plot.ranking(impacts, fit=fit)
    above = next(a for a in ax.figure.axes if a is not ax)
    points = above.lines[0]
    shown = [i.name for i in impacts if i.name in fit.pulls]
    np.testing.assert_allclose(np.array(points.get_xdata(), float), [fit.pulls[name].value for name in shown])
    assert [impacts[int(row)].name for row in points.get_ydata()] == shown
    np.testing.assert_allclose(sum(ax.get_xlim()), 0, atol=1e-12)
    np.testing.assert_allclose(sum(above.get_xlim()), 0, atol=1e-12)


def test_small_matrices_have_their_numbers(fit):
    ax = plot.correlations(fit)
    assert "1.00" in [text.get_text() for text in ax.texts]


def test_yields_have_edges_and_a_ratio(fit):
    figure, (ax, below) = pyplot.subplots(2, 1)
    prediction = fit.prediction()
    plot.yields(prediction, "SR", fit.data, ax=ax, edges=[0.0, 50.0, 200.0], ratio=below)
    assert ax.get_xlim() == below.get_xlim() == (0.0, 200.0)
    place = fit.model.config.channel_slices["SR"]
    points = below.lines[0]
    np.testing.assert_allclose(np.array(points.get_xdata(), float), [25.0, 125.0])
    np.testing.assert_allclose(np.array(points.get_ydata(), float), fit.data[place] / prediction.bins[0][place])
    with pytest.raises(wz.ShapeError, match="3 ascending numbers"):
        plot.yields(prediction, "SR", edges=[0.0, 1.0])
    assert figure.axes == [ax, below]
