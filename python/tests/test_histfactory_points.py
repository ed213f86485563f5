"""Log-densities of single points, and test statistics as graphs."""

import numpy as np
import pytest
import wootz as wz


def test_statistics_as_graphs_batch_over_toys_hypotheses_and_templates():
    model = wz.histfactory.workload("complex-8p").model()
    data = np.array(wz.histfactory.workload("complex-8p").data(model))
    toys = np.stack([data, data * 1.02, data * 0.97])
    mus = np.array([0.5, 1.0, 2.0])
    graph = model.test_statistic_graph("qtilde")
    program = wz.compile(graph.vmap([0, 0], [0, 0], 3))
    found = program(mu=mus, data=toys)
    expected = [model.test_statistic(mu, toy, tolerance=1e-10) for mu, toy in zip(mus, toys, strict=True)]
    np.testing.assert_allclose(found["value"], [e.value for e in expected], rtol=1e-8, atol=1e-9)

    by_signal = model.test_statistic_graph("q0", templates=["nominal"]).grad(0, [2])
    nominal = model.template("nominal")
    batch = np.stack([nominal, nominal * 1.01])
    many = wz.compile(by_signal.vmap([None, None, 0], [0] * len(by_signal.outputs), 2))
    found = many(mu=np.array(0.0), data=data, nominal=batch)
    one = wz.compile(by_signal)
    for i, templates in enumerate(batch):
        alone = one(mu=np.array(0.0), data=data, nominal=templates)
        for name, value in alone.items():
            np.testing.assert_allclose(found[name][i], value, rtol=1e-8, atol=1e-9)
    with pytest.raises(wz.UnknownNameError, match="there is no test statistic"):
        model.test_statistic_graph("zeta")


def test_cls_as_a_graph_is_the_test_and_the_objective():
    workspace = wz.histfactory.workload("complex-8p")
    model = workspace.model()
    data = np.array(workspace.data(model))
    assert [name for name, *_ in model.graph("hypotest").outputs] == ["observed", "expected", "statistic", "asimov", "mu_hat"]
    assert [name for name, *_ in model.graph("test_statistic").outputs] == ["value", "mu_hat"]
    mus = np.array([0.05, 1.0, 2.0])
    batched = wz.compile(model.graph("hypotest").vmap([0, None], [0] * 5, 3))
    found = batched(mu=mus, data=data)
    for i, mu in enumerate(mus):
        expected = model.hypotest(mu, data, tolerance=1e-10)
        np.testing.assert_allclose(found["observed"][i], expected.observed, rtol=1e-8)
        np.testing.assert_allclose(found["expected"][i], expected.expected, rtol=1e-8)
        np.testing.assert_allclose(found["statistic"][i], expected.statistic, rtol=1e-8, atol=1e-9)
    for output, convention in (("observed", "frozen"), ("expected", "frozen"), ("observed", "recomputed")):
        graph = model.hypotest_graph("qtilde", ["nominal"], convention)
        inputs = {"mu": np.array(1.0), "data": data, "nominal": model.template("nominal")}
        pulled = graph.vjp([2])
        seeds = {name: np.zeros(5 if name == "ct.expected" else ()) for name, *_ in pulled.inputs if name.startswith("ct.")}
        seeds["ct.observed"] += output == "observed"
        seeds["ct.expected"][2] += output == "expected"
        got = list(wz.compile(pulled)(**inputs, **seeds).values())[-1]
        sigmas = None if output == "observed" else 0.0
        objective = model.objective("cls", ["nominal"], convention, data, mu=1.0, sigmas=sigmas)
        wanted = objective.evaluate().gradients["nominal"]
        np.testing.assert_allclose(got, wanted, rtol=1e-7, atol=1e-8 * np.abs(wanted).max())
    with pytest.raises(wz.ModelError, match="asymptotic"):
        model.hypotest_graph("t")


def test_points_that_need_no_conversion_give_what_others_give():
    for name in ("simple", "complex-8p", "thu-like"):
        ws = wz.histfactory.workload(name)
        model = ws.model()
        data = np.array(ws.data(model))
        point = np.array(model.config.suggested_init) + 0.01
        slow = model.logpdf(np.stack([point]), data)[0]
        np.testing.assert_allclose(model.logpdf(point, data), slow, rtol=1e-13)
        assert model.logpdf(point, data) == model.logpdf(point.tolist(), list(data))
        assert model.logpdf(point, data) == model.logpdf(np.repeat(point, 2)[::2], data)
        value, gradient = model.value_and_gradient(point, data)
        gradients = model.gradient(np.stack([point]), data)[0]
        np.testing.assert_allclose(gradient, gradients, rtol=1e-10, atol=1e-10)
        other, by = model.value_and_gradients(point, data, ["nominal", "parameters"])
        alone = model.value_and_gradients(point, data, ["nominal"])[1]
        assert list(alone) == ["nominal"]
        np.testing.assert_allclose(alone["nominal"], by["nominal"], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose([value, other], slow, rtol=1e-12)
        np.testing.assert_allclose(by["parameters"], gradient, rtol=1e-9, atol=1e-9)
        program = wz.compile(model.graph("logpdf", ["nominal"]).grad(0, [2]))
        expected = program(parameters=point, data=data, nominal=model.template("nominal"))["grad.nominal"]
        np.testing.assert_allclose(by["nominal"], expected, rtol=1e-9, atol=1e-9)
        for wrong in (np.nan, np.inf):
            bad = point.copy()
            bad[1] = wrong
            with pytest.raises(wz.ModelError, match="finite"):
                model.logpdf(bad, data)
        counts = data.copy()
        counts[0] = -1.0
        with pytest.raises(wz.ModelError, match="negative"):
            model.value_and_gradient(point, counts)
        with pytest.raises(wz.ShapeError):
            model.logpdf(point[:-1], data)
        with pytest.raises(wz.ShapeError):
            model.value_and_gradients(point[:-1], data)
