"""SignificanceLoss and SoftHistogram against closed forms, NumPy, differences of rebuilt models, and PyTorch's gradcheck."""

import contextlib
import copy
import math
import pickle

import numpy as np
import pytest
import wootz as wz

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch", reason="PyTorch is not installed; `pip install torch` has these tests run")


def one_bin(signal=10.0, background=50.0, error=7.0, observed=60.0):
    samples = [
        {"name": "signal", "data": [signal], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
        {"name": "background", "data": [background], "modifiers": [{"name": "b", "type": "shapesys", "data": [error]}]},
    ]
    return wz.histfactory.load(
        {
            "version": "1.0.0",
            "channels": [{"name": "SR", "samples": samples}],
            "observations": [{"name": "SR", "data": [observed]}],
            "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
        }
    )


def analysis(signal=(2.0, 6.0, 9.0), background=(60.0, 30.0, 12.0), up=(66.0, 31.0, 13.0), down=(55.0, 29.0, 11.5), errors=(1.5, 1.0, 0.8)):
    """Three bins, a histosys, a normsys and statistical errors."""
    variation = {"name": "shape", "type": "histosys", "data": {"hi_data": list(up), "lo_data": list(down)}}
    samples = [
        {
            "name": "signal",
            "data": list(signal),
            "modifiers": [
                {"name": "mu", "type": "normfactor", "data": None},
                {"name": "scale", "type": "normsys", "data": {"hi": 1.1, "lo": 0.92}},
            ],
        },
        {
            "name": "background",
            "data": list(background),
            "modifiers": [variation, {"name": "staterror_SR", "type": "staterror", "data": list(errors)}],
        },
    ]
    return wz.histfactory.load(
        {
            "version": "1.0.0",
            "channels": [{"name": "SR", "samples": samples}],
            "observations": [{"name": "SR", "data": [65.0, 36.0, 24.0]}],
            "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
        }
    )


def z_of_one_bin(s, b, sigma):
    v = sigma**2
    first = (s + b) * math.log((s + b) * (b + v) / (b * b + (s + b) * v))
    return math.sqrt(2 * (first - b * b / v * math.log(1 + v * s / (b * (b + v)))))


def tensor(values, dtype=None):
    return torch.tensor(values, dtype=dtype or torch.float64, requires_grad=True)


def test_the_significance_of_one_bin_has_its_closed_form():
    loss = wz.torch.SignificanceLoss(one_bin(), {"SR": "signal"})
    for s in (10.0, 3.0, 25.0):
        x = tensor([s])
        value = loss(x)
        value.backward()
        expected = z_of_one_bin(s, 50.0, 7.0)
        assert abs(value.item() + expected) < 1e-9
        assert abs(loss.z0 - expected) < 1e-9
        h = 1e-4
        slope = (z_of_one_bin(s + h, 50.0, 7.0) - z_of_one_bin(s - h, 50.0, 7.0)) / (2 * h)
        assert abs(x.grad.item() + slope) < 1e-7
    loss(tensor([10.0]))
    assert abs(loss.z0 - 0.959075) < 5e-7
    assert loss.fit.mu_hat == 1.0


def test_the_variance_of_a_background_is_that_of_its_shapesys():
    loss = wz.torch.SignificanceLoss(one_bin(), {"SR": "signal"})
    variance = tensor([36.0])
    value = loss({"SR": {"signal": tensor([10.0]), "background": {"nominal": tensor([40.0]), "variance": variance}}})
    assert abs(value.item() + z_of_one_bin(10.0, 40.0, 6.0)) < 1e-9
    value.backward()
    h = 1e-3
    up, down = (z_of_one_bin(10.0, 40.0, math.sqrt(36.0 + d)) for d in (h, -h))
    assert abs(variance.grad.item() + (up - down) / (2 * h)) < 1e-7


@pytest.mark.parametrize("objective", ["z0", "q0", "cls", "upper_limit", "sigma_mu"])
@pytest.mark.parametrize("convention", ["frozen", "recomputed"])
def test_gradients_pass_gradcheck(objective, convention):
    loss = wz.torch.SignificanceLoss(analysis(), {"SR": "signal"}, objective, convention=convention)

    def of(signal, background, up, down, variance):
        parts = {"nominal": background, "shape": (down, up), "variance": variance}
        return loss({"SR": {"signal": signal, "background": parts}})

    values = ([2.0, 6.0, 9.0], [60.0, 30.0, 12.0], [66.0, 31.0, 13.0], [55.0, 29.0, 11.5], [2.25, 1.0, 0.64])
    assert torch.autograd.gradcheck(of, [tensor(v) for v in values], eps=1e-4, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("objective", ["z0", "cls", "upper_limit", "sigma_mu"])
@pytest.mark.filterwarnings("ignore:the loss is of observed data")
def test_gradients_of_observed_data_pass_gradcheck(objective):
    loss = wz.torch.SignificanceLoss(analysis(), {"SR": "signal"}, objective, data="observed", sigmas=None)
    assert torch.autograd.gradcheck(loss, [tensor([2.0, 6.0, 9.0])], eps=1e-4, atol=1e-6, rtol=1e-5)


def test_recomputed_templates_are_those_of_a_rebuilt_model():
    loss = wz.torch.SignificanceLoss(analysis(), {"SR": "signal"}, convention="recomputed")
    signal, background, errors = (3.0, 7.0, 11.0), (50.0, 33.0, 9.0), (2.0, 1.5, 0.5)
    parts = {"nominal": tensor(background), "variance": tensor([e**2 for e in errors])}
    value = loss({"SR": {"signal": tensor(signal), "background": parts}})
    rebuilt = wz.torch.SignificanceLoss(analysis(signal, background, errors=errors), {"SR": "signal"})
    assert abs(value.item() - rebuilt(tensor(signal)).item()) < 1e-9


def test_objectives_are_those_of_inference():
    ws = analysis()
    model = ws.model()
    start = model.config.suggested_init.copy()
    x = tensor([2.0, 6.0, 9.0])

    def loss(objective, **options):
        return wz.torch.SignificanceLoss(ws, {"SR": "signal"}, objective, **options)(x).item()

    start[model.config.poi_index] = 0.0
    background = model.expected_data(start)
    start[model.config.poi_index] = 1.0
    both = model.expected_data(start)
    assert abs(loss("cls") - model.hypotest(1.0, background).expected[2]) < 1e-9
    assert abs(loss("cls", mu=2.0, sigmas=1.0) - model.hypotest(2.0, background).expected[3]) < 1e-9
    limit = model.upper_limit(background)
    assert abs(loss("upper_limit") / limit.expected[2] - 1) < 1e-7
    assert abs(loss("upper_limit", sigmas=-2.0) / limit.expected[0] - 1) < 1e-7
    assert abs(loss("sigma_mu") / model.fit(both).uncertainties["mu"] - 1) < 1e-6
    assert abs(loss("z0") + model.significance(both).observed) < 1e-6
    assert abs(loss("z0", negate=False) - model.significance(both).observed) < 1e-6
    with pytest.warns(UserWarning, match="unblinds"):
        assert abs(loss("q0", data="observed") + ws.hypotest(0.0, test_stat="q0").statistic) < 1e-8


@pytest.mark.parametrize("objective", ["z0", "q0", "cls", "upper_limit"])
@pytest.mark.parametrize("convention", ["frozen", "recomputed"])
def test_a_device_computes_what_native_programs_do(objective, convention):
    options = {"convention": convention, "mu": 1.5, "sigmas": 1.0}
    native = wz.torch.SignificanceLoss(analysis(), {"SR": "signal"}, objective, **options)
    device = wz.torch.SignificanceLoss(analysis(), {"SR": "signal"}, objective, **options, device="cpu")
    values = ([2.0, 6.0, 9.0], [60.0, 30.0, 12.0], [66.0, 31.0, 13.0], [55.0, 29.0, 11.5], [2.25, 1.0, 0.64])
    for step in range(3):
        results = []
        for loss in (native, device):
            signal, background, up, down, variance = given = [tensor(v) for v in values]
            signal.data += step
            parts = {"nominal": background, "shape": (down, up), "variance": variance}
            value = loss({"SR": {"signal": signal, "background": parts}})
            value.backward()
            results.append((value.item(), [x.grad for x in given]))
        assert abs(results[0][0] - results[1][0]) < 1e-10
        for a, b in zip(results[0][1], results[1][1], strict=True):
            assert a.abs().max() > 0
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)
    assert abs(native.fit.mu_hat - device.fit.mu_hat) < 1e-12
    np.testing.assert_allclose(device.fit.conditional, native.fit.conditional, rtol=1e-10, atol=1e-10)


@pytest.mark.filterwarnings("ignore:the loss is of observed data")
def test_a_device_fits_observed_data():
    for data in ([65.0, 36.0, 24.0], [10.0, 10.0, 4.0]):
        native, device = (wz.torch.SignificanceLoss(analysis(), {"SR": "signal"}, data=data, device=d) for d in (None, "cpu"))
        found = []
        for loss in (native, device):
            x = tensor([2.0, 6.0, 9.0], torch.float32)
            with pytest.warns(UserWarning, match="no excess") if data[0] == 10.0 else contextlib.nullcontext():
                value = loss(x)
            value.backward()
            assert value.dtype == torch.float32
            found.append((loss.q0, x.grad))
        assert abs(found[0][0] - found[1][0]) <= 1e-9
        torch.testing.assert_close(found[0][1], found[1][1])


# On both sides of Asimov data, and of the best fit.
@pytest.mark.parametrize("data", [[65.0, 36.0, 24.0], [60.0, 30.0, 11.0], [50.0, 26.0, 8.0]])
@pytest.mark.parametrize("sigmas", [None, 1.0])
@pytest.mark.parametrize("objective", ["cls", "upper_limit"])
@pytest.mark.filterwarnings("ignore:the loss is of observed data")
def test_a_device_tests_observed_data(objective, sigmas, data):
    options = {"data": data, "mu": 1.5, "sigmas": sigmas, "level": 0.1}
    native, device = (wz.torch.SignificanceLoss(analysis(), {"SR": "signal"}, objective, **options, device=d) for d in (None, "cpu"))
    for step in range(2):
        results = []
        for loss in (native, device):
            x = tensor([2.0 + step, 6.0, 9.0])
            value = loss(x)
            value.backward()
            results.append((value.item(), x.grad))
        assert abs(results[0][0] - results[1][0]) < 1e-9
        assert results[0][1].abs().max() > 1e-5
        torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-6, atol=1e-11)
        assert abs(native.fit.mu_hat - device.fit.mu_hat) < 1e-9
        np.testing.assert_allclose(device.fit.conditional, native.fit.conditional, rtol=1e-8, atol=1e-8)


def test_what_a_device_does_not_do_is_said():
    with pytest.raises(wz.ModelError, match="on a device the objective is one of z0, q0, cls, upper_limit"):
        wz.torch.SignificanceLoss(analysis(), {"SR": "signal"}, "sigma_mu", device="cpu")
    with pytest.raises(wz.BackendError, match="device with float64, and 'nonsense' is none here"):
        wz.torch.SignificanceLoss(analysis(), {"SR": "signal"}, device="nonsense")
    x = tensor([2.0, 6.0, 9.0])
    with pytest.raises(wz.FitError, match="conditional fit did not converge within 1 evaluations"):
        wz.torch.SignificanceLoss(analysis(), {"SR": "signal"}, max_iterations=1, device="cpu")(x)
    loss = wz.torch.SignificanceLoss(analysis(), {"SR": "signal"}, max_iterations=1, on_failure="skip", device="cpu")
    with pytest.warns(UserWarning, match="no gradient"):
        loss(x).backward()
    assert (loss.failures, x.grad.tolist()) == (1, [0.0, 0.0, 0.0])


def test_warm_starts_change_nothing():
    warm = wz.torch.SignificanceLoss(analysis(), {"SR": "signal"})
    cold = wz.torch.SignificanceLoss(analysis(), {"SR": "signal"})
    for step in range(5):
        a, b = tensor([2.0 + step, 6.0 - step, 9.0]), tensor([2.0 + step, 6.0 - step, 9.0])
        cold.reset()
        values = warm(a), cold(b)
        torch.stack(values).sum().backward()
        assert abs(values[0].item() - values[1].item()) < 1e-8
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-8, atol=1e-9)


@pytest.mark.filterwarnings("ignore:the loss is of observed data")
def test_without_an_excess_there_is_no_gradient():
    loss = wz.torch.SignificanceLoss(one_bin(), {"SR": "signal"}, data=[40.0])
    x = tensor([10.0])
    with pytest.warns(UserWarning, match="no excess"):
        value = loss(x)
    value.backward()
    assert (loss.q0, x.grad.item(), loss.zeros) == (0.0, 0.0, 1)


def test_failures_are_raised_or_counted():
    x = tensor([2.0, 6.0, 9.0])
    with pytest.raises(wz.FitError, match="did not converge"):
        wz.torch.SignificanceLoss(analysis(), {"SR": "signal"}, max_iterations=1)(x)
    loss = wz.torch.SignificanceLoss(analysis(), {"SR": "signal"}, max_iterations=1, on_failure="skip")
    with pytest.warns(UserWarning, match="no gradient"):
        value = loss(x)
    value.backward()
    assert loss.failures == 1
    assert x.grad.tolist() == [0.0, 0.0, 0.0]


def test_dtypes_and_bad_input():
    loss = wz.torch.SignificanceLoss(analysis(), {"SR": "signal"})
    x = tensor([2.0, 6.0, 9.0], torch.float32)
    value = loss(x)
    value.backward()
    assert value.dtype == x.grad.dtype == torch.float32
    with pytest.raises(wz.ShapeError, match="signal"):
        loss(tensor([1.0]))
    with pytest.raises(wz.ModelError, match="float32 or float64"):
        loss(torch.tensor([1, 2, 3]))
    with pytest.raises(wz.UnknownNameError, match="CR"):
        loss({"CR": x})
    with pytest.raises(wz.UnknownNameError, match="nobody"):
        wz.torch.SignificanceLoss(analysis(), {"SR": "nobody"})
    with pytest.raises(wz.ModelError, match="objective"):
        wz.torch.SignificanceLoss(analysis(), {"SR": "signal"}, "z1")
    floor = wz.torch.SignificanceLoss(analysis(), {"SR": "signal"}, min_background=5.0)
    background = tensor([60.0, 30.0, -1.0])
    floor({"SR": {"signal": x, "background": background}}).backward()
    assert background.grad[2] == 0.0 != background.grad[0]


EDGES = [0.0, 0.2, 0.5, 0.7, 1.0]


def events(n=400, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0.5, 0.4, n), rng.uniform(0.1, 2.0, n)


@pytest.mark.parametrize("mode", ["kde", "sigmoid", "normalized"])
@pytest.mark.parametrize("overflow", ["drop", "clip", "reflect"])
def test_narrow_kernels_are_numpys_histogram(mode, overflow):
    edges = np.linspace(0, 1, 6) if mode == "normalized" else EDGES
    x, w = events()
    histogram = wz.torch.SoftHistogram(edges, 1e-7, mode, overflow, return_variance=True)
    contents, variance = histogram(torch.tensor(x), torch.tensor(w))
    seen = np.clip(x, 0.0, 1.0) if overflow == "clip" else x
    np.testing.assert_allclose(contents, np.histogram(seen, edges, weights=w)[0], rtol=1e-9)
    np.testing.assert_allclose(variance, np.histogram(seen, edges, weights=w**2)[0], rtol=1e-9)


@pytest.mark.parametrize("overflow", ["drop", "clip", "reflect"])
def test_hard_values_have_soft_derivatives(overflow):
    x, w = events()
    x[:3] = [0.0, 0.5, 1.0]
    hard = wz.torch.SoftHistogram(EDGES, overflow=overflow, hard_forward=True)
    soft = wz.torch.SoftHistogram(EDGES, overflow=overflow)
    seen = np.clip(x, 0.0, 1.0) if overflow == "clip" else x
    a, b = torch.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    contents = hard(a, torch.tensor(w))
    np.testing.assert_allclose(contents.detach(), np.histogram(seen, EDGES, weights=w)[0], rtol=1e-12)
    cotangent = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    (contents @ cotangent).backward()
    (soft(b, torch.tensor(w)) @ cotangent).backward()
    torch.testing.assert_close(a.grad, b.grad)
    assert a.grad.abs().sum() > 0


@pytest.mark.parametrize("mode", ["kde", "sigmoid", "normalized"])
@pytest.mark.parametrize("overflow", ["drop", "clip", "reflect"])
def test_histograms_pass_gradcheck(mode, overflow):
    x, w = events(20)
    x = x[np.abs(x - 0.5) < 0.49]
    h = torch.nn.Parameter(torch.tensor(0.1, dtype=torch.float64))
    histogram = wz.torch.SoftHistogram(EDGES, h, mode, overflow)
    assert list(histogram.parameters()) == [h]
    weights = torch.tensor(w[: len(x)], requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w, _: histogram(x, w), (tensor(x), weights, h))
    assert torch.autograd.gradgradcheck(lambda x, w, _: histogram(x, w, scale=1.5), (tensor(x), weights, h))


@pytest.mark.parametrize("mode", ["kde", "sigmoid"])
@pytest.mark.parametrize("overflow", ["drop", "clip", "reflect"])
def test_native_histograms_are_those_of_shares(mode, overflow):
    cotangent = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    # None, less than a block, blocks and a rest; weights and strides or not.
    for n in (0, 7, 1300):
        x, w = (torch.tensor(a, dtype=torch.float32) for a in events(n))
        for weights in (None, w):
            found = []
            for by_shares in (False, True):
                histogram = wz.torch.SoftHistogram(EDGES, 0.1, mode, overflow, return_variance=by_shares)
                column = torch.stack([x, x], dim=1).requires_grad_()
                contents = histogram(column[:, 1], weights, scale=1.5)
                contents = contents[0] if by_shares else contents
                (contents @ cotangent).backward()
                assert column.grad.dtype == torch.float32 and (column.grad[:, 0] == 0).all()
                found.append((contents.detach(), column.grad[:, 1]))
            torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-6, atol=1e-9)


def test_histograms_are_copied_and_pickled():
    x = torch.tensor(events()[0])
    histogram = wz.torch.SoftHistogram(EDGES, torch.nn.Parameter(torch.tensor(0.2)), overflow="clip")
    expected = histogram(x)
    for other in (copy.deepcopy(histogram), pickle.loads(pickle.dumps(histogram))):
        assert (other(x) == expected).all()


def test_histograms_are_compiled_by_pytorch():
    histogram = wz.torch.SoftHistogram(EDGES, 0.1, overflow="clip")
    x = torch.tensor(events()[0], requires_grad=True)
    compiled = torch.compile(histogram, backend="aot_eager")(x)
    torch.testing.assert_close(compiled, histogram(x))
    (expected,) = torch.autograd.grad(histogram(x).square().sum(), x)
    (got,) = torch.autograd.grad(compiled.square().sum(), x)
    torch.testing.assert_close(got, expected)


def test_shares_are_kept_by_clipping_and_reflection():
    x = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    for mode in ("kde", "sigmoid", "normalized"):
        for overflow in ("clip", "reflect"):
            total = wz.torch.SoftHistogram(EDGES, 0.1, mode, overflow)(x).sum()
            # A reflected logistic kernel still has shares beyond the mirror images of the edges.
            assert abs(total - 50) < (0.02 if mode == "sigmoid" and overflow == "reflect" else 1e-9)
    assert wz.torch.SoftHistogram(EDGES, 0.1)(x).sum() < 49


def test_bandwidths_and_scales():
    x = torch.tensor(events()[0])
    schedule = wz.torch.SoftHistogram(EDGES, lambda step: 0.2 / (1 + step))
    for step in range(3):
        torch.testing.assert_close(schedule(x), wz.torch.SoftHistogram(EDGES, 0.2 / (1 + step))(x))
    schedule.eval()
    schedule(x)
    assert int(schedule.calls) == 3
    torch.testing.assert_close(wz.torch.SoftHistogram(EDGES)(x, scale=2.5), 2.5 * wz.torch.SoftHistogram(EDGES, 0.125)(x))
    with pytest.raises(wz.ModelError, match="ascend"):
        wz.torch.SoftHistogram([0.0, 0.0, 1.0])
    with pytest.raises(wz.ModelError, match="mode"):
        wz.torch.SoftHistogram(EDGES, mode="gauss")
    with pytest.raises(wz.ShapeError, match="events"):
        wz.torch.SoftHistogram(EDGES)(x, x[:3])


def test_training_improves_the_significance():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    signal = torch.tensor(rng.normal([1.0, 0.5], 0.7, (600, 2)), dtype=torch.float32)
    background = torch.tensor(rng.normal([0.0, 0.0], 1.0, (600, 2)), dtype=torch.float32)
    network = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1), torch.nn.Sigmoid())
    histogram = wz.torch.SoftHistogram(np.linspace(0, 1, 4), 0.1, overflow="clip")
    loss = wz.torch.SignificanceLoss(analysis(), {"SR": "signal"}, min_background=0.5)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    zs = []
    for _ in range(40):
        optimizer.zero_grad()
        s = histogram(network(signal)[:, 0], scale=20 / 600)
        b = histogram(network(background)[:, 0], scale=100 / 600)
        loss({"SR": {"signal": s, "background": b}}).backward()
        optimizer.step()
        zs.append(loss.z0)
    assert zs[-1] > 1.2 * zs[0]


@pytest.mark.parametrize("mode", ["kde", "sigmoid", "normalized"])
def test_histograms_compute_in_float64(mode):
    generator = torch.Generator().manual_seed(4)
    x = torch.rand(100_000, generator=generator, dtype=torch.float32)
    w = torch.rand(100_000, generator=generator, dtype=torch.float32)
    histogram = wz.torch.SoftHistogram(EDGES, 0.1, mode, return_variance=True)
    single = [t.clone().requires_grad_() for t in (x, w)]
    double = [t.double().requires_grad_() for t in (x, w)]
    got, expected = histogram(*single), histogram(*double)
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == torch.float64
        torch.testing.assert_close(a, b, rtol=1e-12, atol=0)
    got[0].square().sum().backward()
    expected[0].square().sum().backward()
    for a, b in zip(single, double, strict=True):
        assert a.grad.dtype == torch.float32
        torch.testing.assert_close(a.grad, b.grad.float())


def test_histograms_of_what_is_no_number_are_errors():
    histogram = wz.torch.SoftHistogram(EDGES)
    x = torch.rand(5, dtype=torch.float64)
    for dtype in (torch.int64, torch.bool, torch.float16, torch.bfloat16):
        with pytest.raises(wz.DTypeError, match="events of a histogram are float32 or float64, not"):
            histogram(x.to(dtype))
        with pytest.raises(wz.DTypeError, match="weights of a histogram are float32 or float64, not"):
            histogram(x, x.to(dtype))
    for value in (math.nan, math.inf, -math.inf):
        broken = x.clone()
        broken[3] = value
        with pytest.raises(wz.ModelError, match="1 of 5 events are NaN or infinite"):
            histogram(broken)
        with pytest.raises(wz.ModelError, match="1 of 5 weights are NaN or infinite"):
            histogram(x, broken)


@pytest.mark.filterwarnings("ignore:.*unblind")
def test_auxiliary_data_can_be_given():
    ws = analysis()
    model, data = ws.model(), ws.data(ws.model())
    bins, signal = model.config.nmaindata, tensor([2.0, 6.0, 9.0])

    def z(data):
        return wz.torch.SignificanceLoss(ws, {"SR": "signal"}, data=data)(signal).item()

    assert abs(z(data) - z(data[:bins])) < 1e-9
    moved = data.copy()
    moved[bins:] += 0.1
    assert abs(z(moved) - z(data)) > 1e-4
    with pytest.raises(wz.ShapeError, match="with auxiliary data"):
        z(data[:-1])
