"""HistFactory programs as generated source: the native backend's numbers on every framework with f64."""

import ast

import frameworks
import numpy as np
import pytest
import wootz as wz
from histfactory_workspaces import random_points, random_workspace

pytestmark = pytest.mark.frameworks
INSTALLED = [name for name in frameworks.INSTALLED if name != "mlx"]


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


TOLERANCE = 1e-12


def fit_inputs(model, data):
    config = model.config
    low, high = config.suggested_bounds.T
    free = 1.0 - config.suggested_fixed
    return [config.suggested_init, data, free, low, high, np.array(TOLERANCE)]


def fitted_cases():
    """Models with data off their expectation, and whether the data determine every parameter."""
    for name in ("simple", "complex-8p"):
        workspace = wz.histfactory.workload(name)
        model = workspace.model()
        yield model, np.asarray(workspace.data(model)), True
    for model, _ in cases():
        data, bins = np.asarray(model.expected_data(model.config.suggested_init)).copy(), model.config.nmaindata
        data[:bins] = np.round(1.05 * data[:bins])
        yield model, data, False


@pytest.mark.parametrize("backend", INSTALLED)
def test_a_fit_is_the_native_one_and_its_result_a_warm_start(backend):
    for model, data, identified in fitted_cases():
        program = wz.compile(model.graph("fit"), {}, backend=backend)
        given = fit_inputs(model, data)
        expected = model.fit(data, tolerance=TOLERANCE)
        parameters, nll, _, converged, evaluations = map(np.asarray, program.positional(given))
        assert bool(converged)
        np.testing.assert_allclose(2 * nll, expected.twice_nll, rtol=1e-10)
        # Factors of random workspaces may act only together: then what they predict is what is fitted.
        predicted, wanted = model.expected_data(parameters), model.expected_data(expected.parameters)
        np.testing.assert_allclose(predicted, wanted, rtol=1e-10, atol=1e-9)
        if identified:
            np.testing.assert_allclose(parameters, expected.parameters, rtol=1e-10, atol=1e-10)
        again, _, _, converged, fewer = map(np.asarray, program.positional([parameters, *given[1:]]))
        assert bool(converged) and 1 == int(fewer) < int(evaluations)
        np.testing.assert_array_equal(again, parameters)


@pytest.mark.skipif("jax" not in INSTALLED, reason="JAX is not installed")
def test_fits_and_statistics_are_pure_functions_of_jax():
    import jax

    workspace = wz.histfactory.workload("complex-8p")
    model = workspace.model()
    data = np.asarray(workspace.data(model))
    toys = np.stack([data, data * 1.02, data * 0.97])
    fit = wz.compile(model.graph("fit"), {}, backend="jax").function
    statistic = wz.compile(model.test_statistic_graph("q0", ["nominal"]), {}, backend="jax").function
    native = wz.compile(model.test_statistic_graph("q0", ["nominal"]).grad(0, [1, 2]))
    init, _, *rest = fit_inputs(model, data)
    nominal, mu = model.template("nominal"), np.array(0.0)
    with jax.enable_x64(True):
        fits = jax.jit(jax.vmap(lambda start, toy: fit(start, toy, *rest), in_axes=(None, 0)))
        cold = fits(init, toys)
        warm = jax.jit(jax.vmap(lambda start, toy: fit(start, toy, *rest)))(cold["parameters"], toys)
        value = lambda toy, nominal: statistic(mu, toy, nominal)["value"]  # noqa: E731
        by = jax.jit(jax.vmap(jax.value_and_grad(value, argnums=(0, 1)), in_axes=(0, None)))(toys, nominal)
    assert all(np.asarray(cold["converged"])) and all(np.asarray(warm["converged"]))
    np.testing.assert_array_equal(np.asarray(warm["evaluations"]), 1)
    np.testing.assert_array_equal(np.asarray(warm["parameters"]), np.asarray(cold["parameters"]))
    for i, toy in enumerate(toys):
        expected = model.fit(toy, tolerance=TOLERANCE)
        np.testing.assert_allclose(np.asarray(cold["parameters"])[i], expected.parameters, rtol=1e-10, atol=1e-10)
        wanted = list(native(mu=mu, data=toy, nominal=nominal).values())
        np.testing.assert_allclose(np.asarray(by[0])[i], wanted[0], rtol=1e-10)
        for got, gradient in zip(by[1], wanted[2:], strict=True):
            np.testing.assert_allclose(np.asarray(got)[i], gradient, rtol=1e-9, atol=1e-10 * np.abs(gradient).max())
    assert np.asarray(by[0]).max() > 0


@pytest.mark.skipif("jax" not in INSTALLED, reason="JAX is not installed")
def test_statistics_start_where_the_last_ones_ended():
    import jax

    workspace = wz.histfactory.workload("complex-8p")
    model = workspace.model()
    data = np.asarray(workspace.data(model))
    toys, init = np.stack([data, data * 1.02, data * 0.97]), np.asarray(model.config.suggested_init)
    compiled = lambda graph: jax.vmap(wz.compile(graph, {}, backend="jax").function, in_axes=(None, 0, 0))  # noqa: E731
    usual = wz.compile(model.test_statistic_graph("qtilde"))
    graphs = [model.test_statistic_graph("qtilde", max_evaluations=n, warm=True) for n in (200, 3)]
    with jax.enable_x64(True):
        whole, short = (jax.jit(compiled(graph)) for graph in graphs)
        first = whole(1.0, toys, np.stack([init] * 3))
        # From the best fits nothing is left to do; from the initial values three evaluations are too few.
        near, far = short(1.0, toys, first["parameters"]), short(1.0, toys, np.stack([init] * 3))
        slope = jax.jit(jax.grad(lambda start: whole(1.0, toys, start)["value"].sum()))(first["parameters"])
    for i, toy in enumerate(toys):
        expected = usual(mu=np.array(1.0), data=toy)
        np.testing.assert_allclose(np.asarray(first["value"])[i], expected["value"], rtol=1e-10)
        np.testing.assert_allclose(np.asarray(near["mu_hat"])[i], expected["mu_hat"], rtol=1e-8)
    assert np.isnan(np.asarray(far["mu_hat"])).all()
    np.testing.assert_array_equal(np.asarray(far["parameters"]), np.stack([init] * 3))
    assert not np.asarray(slope).any()


@pytest.mark.parametrize("backend", INSTALLED)
def test_test_statistics_are_the_native_ones(backend):
    workspace = wz.histfactory.workload("complex-8p")
    model = workspace.model()
    data = np.asarray(workspace.data(model))
    for name, mu in (("q0", 0.0), ("qtilde", 1.0), ("qtilde", 3.0)):
        graph = model.test_statistic_graph(name).grad(0, [0, 1])
        program, native = wz.compile(graph, {}, backend=backend), wz.compile(graph)
        got = program.positional([np.array(mu), data])
        for value, expected in zip(got, native(mu=np.array(mu), data=data).values(), strict=True):
            np.testing.assert_allclose(np.asarray(value), expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())
        if name != "q0":
            expected = model.test_statistic(mu, data, tolerance=1e-10).value
            np.testing.assert_allclose(np.asarray(got[0]), expected, rtol=1e-10)


def assert_close(got, expected, rtol):
    expected = np.asarray(expected)
    np.testing.assert_allclose(np.asarray(got), expected, rtol=rtol, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize("backend", INSTALLED)
def test_cls_and_its_gradients_over_lanes_are_the_native_ones(backend):
    workspace = wz.histfactory.workload("complex-8p")
    model = workspace.model()
    data, nominal = np.asarray(workspace.data(model)), model.template("nominal")
    graph = model.hypotest_graph("qtilde", ["nominal"])
    # Lanes that end after different numbers of steps, on both sides of the best fit, each with its own hypothesis, data and templates.
    mus = np.array([0.05, 1.0, 3.0])
    toys, templates = np.stack([data * 1.03, data, data * 0.97]), np.stack([nominal * 1.01, nominal, nominal * 0.98])
    gradient = graph.grad(0, [0, 1, 2])
    many = wz.compile(gradient.vmap([0, 0, 0], [0] * len(gradient.outputs), 3), {}, backend=backend)
    found = [np.asarray(x) for x in many.positional([mus, toys, templates])]
    expected = model.hypotest(1.0, data, tolerance=1e-10)
    for got, wanted in zip(found, (expected.observed, expected.expected, expected.statistic, expected.asimov), strict=False):
        assert_close(got[1], wanted, 1e-10)
    native = wz.compile(gradient)
    for i in range(3):
        alone = list(native(mu=mus[i], data=toys[i], nominal=templates[i]).values())
        # Derivatives carry what the fits left of a gradient, and a Hessian's condition.
        for got, wanted, rtol in zip(found, alone, [1e-10] * 5 + [1e-9] * 3, strict=True):
            assert_close(got[i], wanted, rtol)
        assert np.abs(alone[-1]).max() > 1e-4


@pytest.mark.skipif("jax" not in INSTALLED, reason="JAX is not installed")
def test_cls_is_a_pure_function_of_jax():
    import jax

    workspace = wz.histfactory.workload("complex-8p")
    model = workspace.model()
    data, nominal = np.asarray(workspace.data(model)), model.template("nominal")
    graph = model.hypotest_graph("qtilde", ["nominal"])
    function = wz.compile(graph, {}, backend="jax").function
    mus, toys = np.array([0.05, 1.0, 3.0]), np.stack([data, data * 1.03, data * 0.97])
    of_cls, of_fit = wz.compile(graph.grad(0, [0, 1, 2])), wz.compile(graph.grad(4, [0, 1, 2]))

    def both(*args):
        found = function(*args)
        return found["observed"] + 0.1 * found["mu_hat"]

    with jax.enable_x64(True):
        lanes = jax.vmap(jax.value_and_grad(both, argnums=(0, 1, 2)), in_axes=(0, 0, None))
        values, by = jax.jit(lanes)(mus, toys, nominal)
    for i, (mu, toy) in enumerate(zip(mus, toys, strict=True)):
        tested, fitted = (list(native(mu=mu, data=toy, nominal=nominal).values()) for native in (of_cls, of_fit))
        assert_close(np.asarray(values)[i], tested[0] + 0.1 * tested[4], 1e-10)
        for got, a, b in zip(by, tested[5:], fitted[5:], strict=True):
            assert_close(np.asarray(got)[i], a + 0.1 * b, 1e-9)


@pytest.mark.skipif("torch" not in INSTALLED, reason="PyTorch is not installed")
def test_a_density_is_on_its_device():
    model, points = next(cases())
    data = np.asarray(model.expected_data(model.config.suggested_init))
    graph = model.graph("logpdf", ["nominal"]).grad(0, [0, 2])
    program = wz.compile(graph, {}, backend="torch", device="meta")
    results = program.positional([points[0], data, model.template("nominal")])
    assert {result.device.type for result in results} == {"meta"}


# What makes a tensor from none.
FACTORIES = {"arange", "as_tensor", "empty", "eye", "full", "linspace", "ones", "rand", "randn", "scalar_tensor", "tensor", "zeros"}


@pytest.mark.parametrize("convention", ["frozen", "recomputed"])
def test_every_tensor_of_an_objective_is_made_on_its_device(convention):
    """The source of the programs of `SignificanceLoss` for a device that need not be here."""
    model = wz.histfactory.workload("complex-8p").model()
    expected = model.graph("expected_data", ["nominal"], convention)
    graphs = {
        "fit": model.fit_graph(["nominal"], convention, 200),
        "density": model.graph("logpdf", ["nominal"], convention).grad(0, [0, 1, 2]),
        "expected": expected,
        "pull": expected.vjp([1]),
        "test": model.hypotest_graph("qtilde", ["nominal"], convention, 200).grad(0, [0, 2]),
        "expected test": model.hypotest_graph("qtilde", ["nominal"], convention, 200).grad(3, [0, 2]),
    }
    for name, graph in graphs.items():
        made = wz._native.generate(wz._native.Definition(graph), {}, "torch", "full", False, "", "cuda", False, False)
        calls = [node for node in ast.walk(ast.parse(made.source)) if isinstance(node, ast.Call)]
        factories = [call for call in calls if ast.unparse(call.func).removeprefix("torch.") in FACTORIES]
        assert '"cuda"' in made.source
        for call in factories:
            devices = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            # Helpers make theirs where their operands are.
            device = devices.get("device", "none")
            assert device == "'cuda'" or device.endswith(".device"), (name, ast.unparse(call))
