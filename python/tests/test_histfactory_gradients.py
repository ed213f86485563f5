"""Derivatives by templates and parameters against mpmath, differences and rebuilt workspaces."""

import copy

import histfactory_workspaces as hf
import mpmath as mp
import numpy as np
import pytest
import wootz as wz

CODES = [("code4", "code4p"), ("code1", "code0"), ("code4", "code2"), ("code1", "code4p")]


def settings_of(codes):
    return {"normsys": {"interpcode": codes[0]}, "histosys": {"interpcode": codes[1]}}


@pytest.mark.parametrize("name", ["simple", "complex-8p"])
def test_gradients_are_those_of_mpmath(name):
    ws = wz.histfactory.workload(name)
    model, spec = ws.model(), ws.to_dict()
    data = ws.data(model)
    with mp.workdps(40):
        for point in hf.random_points(model.config, 3, seed=11):
            value, gradient = model.value_and_gradient(point, data)

            def density(*pars):
                return hf.mp_logpdf(spec, model.config, pars, data)

            assert abs(value - density(*point)) <= 1e-12 * abs(value)
            n = len(point)
            for i in range(n):
                # At a whole α the derivative is one of the interpolation's pieces, which agree.
                exact = mp.diff(density, tuple(map(mp.mpf, point)), tuple([int(i == j) for j in range(n)]))
                # Terms of the size of the counts cancel in a component; the derivative of a density of rates near 50 has some of 1.
                assert abs(gradient[i] - exact) <= 1e-9 * abs(exact) + 1e-13, (i, gradient[i], exact)


@pytest.mark.parametrize("name", ["simple", "complex-8p"])
def test_gradients_by_templates_are_those_of_mpmath(name):
    """The density of a workspace as a function of its entries is what `recomputed` differentiates."""
    ws = wz.histfactory.workload(name)
    model = ws.model()
    data = ws.data(model)
    point = hf.random_points(model.config, 2, seed=5)[1]
    for template in hf.TEMPLATES:
        values = model.template(template)
        if not len(values):
            continue
        graph = model.graph("logpdf", [template], "recomputed").grad(0, [2])
        types = {"parameters": wz.f64[len(point)], "data": wz.f64[len(data)], template: wz.f64[len(values)]}
        program = wz.compile(graph, types)
        gradient = program(parameters=np.array(point), data=data, **{template: values})[f"grad.{template}"]
        for i in range(len(values)):

            def density(entry, i=i, template=template):
                spec = ws.to_dict()
                container, key = hf.template_places(spec, template)[i]
                container[key] = entry
                return hf.mp_logpdf(spec, model.config, point, data)

            with mp.workdps(40):
                exact = mp.diff(density, mp.mpf(values[i]))
                assert abs(gradient[i] - exact) <= 1e-9 * max(abs(exact), 1e-3), (template, i, gradient[i], exact)


def richardson(f, point, i, step):
    """A derivative from central differences of three steps, and an estimate of its error."""
    def central(h):
        up, down = point.copy(), point.copy()
        up[i] += h
        down[i] -= h
        return (f(up) - f(down)) / (2 * h)

    a, b, c = central(step), central(step / 2), central(step / 4)
    ab, bc = (4 * b - a) / 3, (4 * c - b) / 3
    best = (16 * bc - ab) / 15
    return best, abs(best - bc)


def test_gradients_at_184_parameters():
    ws = wz.histfactory.workload("thu-like")
    model = ws.model()
    data = ws.data(model)
    point = np.array(hf.random_points(model.config, 2, seed=2)[1])
    gradient = model.gradient(point, data)
    steps = 2e-3
    # All points at once: three steps, both directions, every parameter.
    offsets = np.concatenate([s * h * np.eye(184) for h in (steps, steps / 2, steps / 4) for s in (1, -1)])
    values = model.logpdf(point + offsets, np.broadcast_to(data, (len(offsets), len(data))))
    up, down = values.reshape(3, 2, 184)[:, 0], values.reshape(3, 2, 184)[:, 1]
    a, b, c = ((up[k] - down[k]) / (2 * steps / 2**k) for k in range(3))
    ab, bc = (4 * b - a) / 3, (4 * c - b) / 3
    best = (16 * bc - ab) / 15
    # Cancellation leaves eps · |logpdf| / step in a difference; the pieces of code 4 join smoothly only to second order.
    error = np.abs(best - bc) + 4e-16 * np.abs(values).max() / steps * 16
    assert error.max() < 1e-5 * max(1, np.abs(gradient).max())
    assert (np.abs(gradient - best) <= 3 * error + 1e-9 * np.abs(gradient)).all()


def test_second_derivatives_are_derivatives_of_gradients():
    ws = wz.histfactory.workload("complex-8p")
    model = ws.model()
    data = ws.data(model)
    point = np.array(hf.random_points(model.config, 2, seed=8)[1])
    hessian = model.hessian(point, data)
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-11, atol=1e-11)
    for i in range(len(point)):
        for j in range(len(point)):
            best, error = richardson(lambda p, j=j: model.gradient(p, data)[j], point, i, 1e-3)
            assert abs(hessian[i, j] - best) <= 3 * error + 1e-7 * max(1, abs(best))
    jacobian = model.jacobian(point)
    assert jacobian.shape == (4, 8)
    for i in range(len(point)):
        column = np.array([richardson(lambda p, b=b: model.expected_actualdata(p)[b], point, i, 1e-3)[0] for b in range(4)])
        np.testing.assert_allclose(jacobian[:, i], column, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("codes", CODES[:3])
def test_derivatives_at_the_kinks(codes):
    """At α = 0 codes 0 and 1 have the derivative of the lower branch; everything is finite at 0 and ±1."""
    ws = wz.histfactory.load(hf.random_workspace(3))
    model = ws.model(modifier_settings=settings_of(codes))
    alphas = [i for i, name in enumerate(model.config.par_names) if name.startswith("a")]
    assert alphas
    # What is expected, so that bins without any rate have no counts.
    data = model.expected_data(model.config.suggested_init)
    for alpha in (0.0, 1.0, -1.0):
        point = model.config.suggested_init.copy()
        point[alphas] = alpha
        assert np.isfinite(model.gradient(point, data)).all()
    base = model.config.suggested_init.copy()
    for i in alphas:
        below = base.copy()
        below[i] = -1e-7
        slope = (model.expected_actualdata(base) - model.expected_actualdata(below)) / 1e-7
        np.testing.assert_allclose(model.jacobian(base)[:, i], slope, rtol=1e-5, atol=1e-5)


def perturbed(spec, name, index, step):
    changed = copy.deepcopy(spec)
    container, key = hf.template_places(changed, name)[index]
    container[key] += step
    return changed


def with_yield(spec, i, value):
    """The workspace with another value of an element of the nominal yields, and with widths and absolute variations as they were."""
    spec = copy.deepcopy(spec)
    yields, b = hf.template_places(spec, "nominal")[i]
    channel = next(c for c in spec["channels"] if any(s["data"] is yields for s in c["samples"]))
    old, yields[b] = yields[b], value
    shared = {}
    for sample in channel["samples"]:
        for modifier in sample["modifiers"]:
            data = modifier["data"]
            if modifier["type"] == "staterror":
                shared.setdefault(modifier["name"], []).append((sample["data"], data))
            elif sample["data"] is yields and modifier["type"] == "shapesys":
                data[b] *= value / old
            elif sample["data"] is yields and modifier["type"] == "histosys":
                data["lo_data"][b] += value - old
                data["hi_data"][b] += value - old
    for carriers in shared.values():
        # A staterror's width is relative to the sum of the samples that carry it.
        if any(data is yields for data, _ in carriers):
            after = sum(data[b] for data, _ in carriers)
            for _, errors in carriers:
                errors[b] *= after / (after - value + old)
    return spec


@pytest.mark.parametrize("convention", ["frozen", "recomputed"])
@pytest.mark.parametrize("name", list(hf.TEMPLATES))
def test_gradients_by_templates(name, convention):
    """Against rebuilding the model, which is what `recomputed` means; `frozen` differs for nominal yields only, and is the model rebuilt with
    errors and variations that leave widths and absolute variations what they were."""
    for seed in (1, 4, 9):
        spec = hf.random_workspace(seed)
        ws = wz.histfactory.load(spec)
        model = ws.model()
        values = model.template(name)
        assert [c[k] for c, k in hf.template_places(spec, name)] == values.tolist()
        if not len(values):
            continue
        data = ws.data(model)
        data[: model.config.nmaindata] = 1.1 * model.expected_actualdata(model.config.suggested_init)
        point = np.array(hf.random_points(model.config, 2, seed=seed)[1])
        graph = model.graph("logpdf", [name], convention).grad(0, [2])
        program = wz.compile(graph, {"parameters": wz.f64[len(point)], "data": wz.f64[len(data)], name: wz.f64[len(values)]})
        inputs = {"parameters": point, "data": data}
        gradient = program(**inputs, **{name: values})[f"grad.{name}"]

        def rebuilt(x, i):
            changed = wz.histfactory.load(perturbed(spec, name, i, x[0] - values[i])).model()
            return changed.logpdf(point, data)

        def kept(x, i):
            return wz.histfactory.load(with_yield(spec, i, x[0])).model().logpdf(point, data)

        f = kept if name == "nominal" and convention == "frozen" else rebuilt
        for i in range(0, len(values), 3):
            # What is 0 in the workspace is a bin that has no uncertainty, and stays one.
            if values[i] == 0.0 or (name == "nominal" and values[i] < 1e-3):
                continue
            best, error = richardson(lambda x, i=i: f(x, i), np.array([values[i]]), 0, 1e-3 * abs(values[i]))
            assert abs(gradient[i] - best) <= 10 * error + 1e-6 * max(1, abs(best)), (seed, i, gradient[i], best, error)
