"""Objectives with their derivatives, on NumPy arrays."""

import numpy as np
import pytest
import wootz as wz


@pytest.fixture(scope="module")
def analysis():
    ws = wz.histfactory.workload("complex-8p")
    model = ws.model()
    return ws, model, ws.data(model)


def difference(objective, name, i):
    """A derivative by a template, from differences of two steps."""
    step = 1e-3 * max(1.0, abs(objective.model.template(name)[i]))
    values = []
    for h in (step, -step, step / 2, -step / 2):
        template = objective.model.template(name).copy()
        template[i] += h
        values.append(objective(**{name: template}))
    a, b, c, d = values
    return (4 * (c - d) / step - (a - b) / (2 * step)) / 3


def test_values_are_those_of_tests_and_limits(analysis):
    _, model, data = analysis
    counts = data[: model.config.nmaindata]
    close = {"rtol": 1e-7}
    z = model.significance(data)
    np.testing.assert_allclose(model.objective("z0", data=counts)(), z.observed, **close)
    np.testing.assert_allclose(model.objective("q0", data=counts)(), z.observed**2, **close)
    test = model.hypotest(1.5, data)
    np.testing.assert_allclose(model.objective("cls", data=counts, mu=1.5, sigmas=None)(), test.observed, **close)
    np.testing.assert_allclose(model.objective("cls", data=counts, mu=1.5, sigmas=1.0)(), test.expected[3], **close)
    limit = model.upper_limit(data, level=0.1)
    np.testing.assert_allclose(model.objective("upper_limit", data=counts, level=0.1, sigmas=None)(), limit.observed, **close)
    fit = model.fit(data)
    np.testing.assert_allclose(model.objective("parameter", data=counts, name="jes")(), fit["jes"], atol=1e-7)
    np.testing.assert_allclose(model.objective("uncertainty", data=counts)(), fit.uncertainties["mu"], **close)


@pytest.mark.parametrize("data", ["asimov", "observed"])
@pytest.mark.parametrize("convention", ["frozen", "recomputed"])
@pytest.mark.parametrize("kind", ["z0", "cls", "upper_limit", "parameter", "uncertainty"])
def test_derivatives_are_differences(analysis, kind, convention, data):
    _, model, counts = analysis
    data = "asimov" if data == "asimov" else counts[: model.config.nmaindata]
    templates = ["nominal", "histosys_hi", "normsys_lo", "staterror"]
    objective = model.objective(kind, templates, convention, data)
    found = objective.evaluate()
    assert set(found.gradients) == set(templates)
    for name, gradient in found.gradients.items():
        assert gradient.shape == model.template(name).shape
        i = int(np.argmax(np.abs(gradient)))
        np.testing.assert_allclose(gradient[i], difference(objective, name, i), rtol=2e-5, atol=1e-8)


def test_auxiliary_data_may_be_given(analysis):
    _, model, data = analysis
    moved = data.copy()
    place = model.config.nmaindata + model.config.parameter_sets["jes"].auxdata_slice.start
    moved[place] += 0.7
    np.testing.assert_allclose(model.objective("z0", data=moved)(), model.significance(moved).observed, rtol=1e-7)
    found = model.objective("z0", data=moved).evaluate()
    step = 1e-3
    values = []
    for sign in (1, -1):
        beside = moved.copy()
        beside[place] += sign * step
        values.append(model.objective("z0", data=beside)())
    np.testing.assert_allclose(found.by_data[place], (values[0] - values[1]) / (2 * step), rtol=1e-5)


def test_fits_start_where_the_last_ones_ended(analysis):
    _, model, _ = analysis
    objective = model.objective("q0")
    cold = objective.evaluate()
    warm = objective.evaluate()
    objective.reset()
    again = objective.evaluate()
    assert abs(warm.value - cold.value) <= 1e-8 * cold.value
    assert again.value == cold.value
    np.testing.assert_array_equal(again.gradients["nominal"], cold.gradients["nominal"])
    np.testing.assert_allclose(warm.gradients["nominal"], cold.gradients["nominal"], rtol=1e-7, atol=1e-10)
    assert cold.mu_hat == 1.0


def test_what_is_wrong_is_named(analysis):
    ws, model, _ = analysis
    with pytest.raises(wz.UnknownNameError, match="there is no objective `z1`"):
        model.objective("z1")
    with pytest.raises(wz.UnknownNameError, match="convention"):
        model.objective("z0", convention="both")
    with pytest.raises(wz.UnknownNameError, match="there is no parameter `nobody`"):
        model.objective("parameter", name="nobody")
    with pytest.raises(wz.ShapeError, match=r"not \[4\]"):
        model.objective("z0", data=[1.0])
    with pytest.raises(wz.ModelError, match="'asimov' or counts"):
        model.objective("z0", data="observed")
    with pytest.raises(wz.ModelError, match="no parameter of interest"):
        ws.model(poi=None).objective("z0")
    objective = model.objective("z0")
    with pytest.raises(wz.UnknownNameError, match="`staterror` is no template of this objective"):
        objective(staterror=model.template("staterror"))
    with pytest.raises(wz.ShapeError, match="nominal has shape"):
        objective(nominal=[1.0])
    assert repr(objective) == "<wootz.histfactory.Objective: z0 by nominal>"


def test_shorthands_are_those_of_the_first_measurement(analysis):
    ws, model, data = analysis
    assert ws.test_statistic(1.5).value == model.test_statistic(1.5, data).value
    np.testing.assert_array_equal(ws.asimov_data(0.0), model.asimov_data(0.0, data))
    np.testing.assert_array_equal(ws.prefit().bins[0], model.prefit().bins[0])


def test_the_gradient_of_asimov_q0_by_the_signal_has_its_closed_form():
    """∂q0/∂s_b = 2κ_b ln(n_b / ν_b(0, θ̂̂)): κ_b is what multiplies the yield where Asimov data are taken, μ·lumi·jes at the initial values."""
    spec = wz.histfactory.workload("complex-8p").to_dict()
    parameters = spec["measurements"][0]["config"]["parameters"]
    parameters[0]["inits"] = [1.015]
    parameters.append({"name": "jes", "inits": [0.6]})
    parameters.append({"name": "mu", "inits": [1.0], "bounds": [[0.0, 10.0]]})
    model = wz.histfactory.load(spec).model()
    found = model.objective("q0", templates=["nominal"], convention="frozen").evaluate()
    assert found.value > 0.1
    init = model.config.suggested_init
    place = model.nominal_slice("SR", "signal")
    bins = model.config.channel_slices["SR"]
    signal = model.config.samples.index("signal")
    kappa = model.expected_sample_data(init)[signal, bins] / model.template("nominal")[place]
    assert np.abs(kappa - 1).min() > 0.03
    counts, without = model.expected_actualdata(init)[bins], model.expected_actualdata(found.conditional)[bins]
    np.testing.assert_allclose(found.gradients["nominal"][place], 2 * kappa * np.log(counts / without), rtol=1e-8)
