"""HistFactory programs as generated source: the native backend's numbers on every framework with f64."""

import importlib.util

import numpy as np
import pytest
import wootz as wz
from histfactory_workspaces import random_points, random_workspace

pytestmark = pytest.mark.frameworks
INSTALLED = [name for name in ("numpy", "jax", "torch") if importlib.util.find_spec(name)]


def cases():
    for seed in range(4):
        model = wz.histfactory.load(random_workspace(seed)).model()
        yield model, [np.asarray(point) for point in random_points(model.config, 3, seed)]


@pytest.mark.parametrize("backend", INSTALLED)
def test_the_nll_and_its_gradient(backend):
    for model, points in cases():
        data = np.asarray(model.expected_data(model.config.suggested_init)) * 1.03
        program = wz.compile(model.graph("logpdf").grad(0, [0]), {}, backend=backend)
        for point in points:
            value, gradient = program.positional([point, data])
            expected, wanted = model.value_and_gradient(point, data)
            assert np.asarray(value).dtype == np.float64
            np.testing.assert_allclose(np.asarray(value), expected, rtol=1e-10)
            np.testing.assert_allclose(np.asarray(gradient), wanted, rtol=1e-10, atol=1e-10 * np.abs(wanted).max())


@pytest.mark.parametrize("backend", INSTALLED)
def test_rates_and_their_derivatives_by_templates(backend):
    for model, points in cases():
        rates = wz.compile(model.graph("rates"), {}, backend=backend)
        data = np.asarray(model.expected_data(model.config.suggested_init)) * 1.03
        graph = model.graph("logpdf", ["nominal"], "recomputed").grad(0, [0, 2])
        program, native = wz.compile(graph, {}, backend=backend), wz.compile(graph, {})
        nominal = model.template("nominal")
        for point in points:
            np.testing.assert_allclose(np.asarray(rates.positional([point])[0]), model.expected_actualdata(point), rtol=1e-10)
            for got, expected in zip(
                program.positional([point, data, nominal]), native.positional([point, data, nominal]), strict=True
            ):
                np.testing.assert_allclose(np.asarray(got), expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())


@pytest.mark.skipif("jax" not in INSTALLED, reason="JAX is not installed")
def test_the_nll_is_a_pure_function_of_jax():
    import jax

    model, points = next(cases())
    data = np.asarray(model.expected_data(model.config.suggested_init)) * 1.03
    function = wz.compile(model.graph("logpdf"), {}, backend="jax").function
    with jax.enable_x64(True):
        one = jax.jit(lambda pars: function(pars, data)["logpdf"])
        several = jax.vmap(jax.grad(one))(np.stack(points))
    for got, point in zip(several, points, strict=True):
        wanted = model.gradient(point, data)
        np.testing.assert_allclose(np.asarray(got), wanted, rtol=1e-10, atol=1e-10 * np.abs(wanted).max())
