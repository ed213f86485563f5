"""Fits, test statistics, CLs and limits against pyhf (SciPy's optimiser, tight tolerance) and against closed forms."""

import copy
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor

import histfactory_workspaces as hf
import numpy as np
import pyhf
import pytest
import scipy.stats
import wootz as wz

pytestmark = hf.AGAINST_PYHF


WORKLOADS = ("simple", "complex-8p", "thu-like")
NAMES = {"qtilde": "qmu_tilde", "q": "qmu", "t": "tmu", "ttilde": "tmu_tilde"}


def shifted(spec, seed, scale=0.15):
    """The workspace with other observed counts, so that fits are pulled."""
    spec = copy.deepcopy(spec)
    rng = np.random.default_rng(seed)
    for observation in spec["observations"]:
        observation["data"] = [float(rng.poisson(n * max(0.2, 1 + scale * rng.normal()))) for n in observation["data"]]
    return spec


SPECS = [
    pytest.param(wz.histfactory.workload(name).to_dict(), id=name) for name in WORKLOADS
] + [
    pytest.param(shifted(wz.histfactory.workload(name).to_dict(), seed), id=f"{name}-{seed}")
    for name in ("simple", "complex-8p")
    for seed in range(4)
]


SMALL = [p for p in SPECS if p.id != "thu-like"]


@pytest.mark.parametrize("spec", SPECS)
def test_fits_are_at_least_as_good_as_pyhfs(spec):
    ours, model, data = hf.both(spec)
    fit = ours.fit()
    assert fit.kkt <= 1e-7
    np.testing.assert_allclose(ours.model().expected_data(fit.parameters), model.expected_data(fit.parameters), rtol=1e-12)
    at = -2 * float(model.logpdf(fit.parameters, data)[0])
    assert abs(fit.twice_nll - at) <= 1e-9 * abs(at)
    try:
        _, theirs = pyhf.infer.mle.fit(data, model, return_fitted_val=True)
    except pyhf.exceptions.FailedMinimization as error:
        pytest.skip(f"pyhf's optimiser failed, so that there is nothing to compare with: {error}")
    assert fit.twice_nll <= float(theirs) + 1e-6


def test_a_rate_held_at_zero_by_a_bound_is_pyhfs():
    # Nothing is counted where only a free factor could put something: it ends at 0, and the rate with it.
    control = {"name": "CR", "samples": [{"name": "fakes", "data": [4.0], "modifiers": [factor("k")]}]}
    spec = channel(([6.0], [factor("mu")]), ([50.0], []), ([4.0], [factor("k")]), observed=[53.0])
    spec["channels"].append(control)
    spec["observations"].append({"name": "CR", "data": [0.0]})
    ours, model, data = hf.both(spec)
    fit = ours.fit()
    assert (fit["k"], fit.held[model.config.par_slice("k")].all()) == (0.0, True)
    assert ours.model().expected_data(fit.parameters)[0] == 0.0
    # Without it 3 counts are left over 50.
    np.testing.assert_allclose(fit["mu"], 0.5, rtol=1e-6)
    for mu in (0.5, 1.0, 3.0):
        observed, band = pyhf.infer.hypotest(mu, data, model, return_expected_set=True)
        got = ours.hypotest(mu)
        np.testing.assert_allclose(got.observed, float(observed), atol=1e-5)
        np.testing.assert_allclose(got.expected, [float(x) for x in band], atol=1e-5)


def test_progress_is_told():
    ours = wz.histfactory.workload("simple")
    seen = []
    ours.toys(1.0, toys=300, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (600, 600)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    seen.clear()
    ours.scan([0.5, 1.0, 2.0], progress=lambda *at: seen.append(at))
    assert seen[-1] == (3, 3)
    seen.clear()
    ours.fit().ranking(progress=lambda *at: seen.append(at))
    assert seen[-1] == (2, 2)
    ours.upper_limit(progress=lambda *at: seen.append(at))

    def stop(done, total):
        raise InterruptedError("enough")

    with pytest.raises(InterruptedError, match="enough"):
        ours.toys(1.0, toys=10**7, progress=stop)
    with pytest.raises(TypeError, match="progress is True or a function"):
        ours.toys(1.0, toys=2, progress="yes")


class Bar:
    """What is used of a bar of tqdm's; the last one that was made."""

    def __init__(self, total, desc):
        Bar.last = self
        self.total, self.desc, self.n = total, desc, 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.closed = True

    def update(self, steps):
        self.n += steps


def test_progress_is_drawn_by_tqdm(monkeypatch):
    ours = wz.histfactory.workload("simple")
    monkeypatch.setitem(sys.modules, "tqdm.auto", types.SimpleNamespace(tqdm=Bar))
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    ours.toys(1.0, toys=300, progress=True)
    assert (Bar.last.n, Bar.last.total, Bar.last.closed) == (600, 600, True)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.warns(UserWarning, match="tqdm, which is not installed"):
        ours.scan([0.5, 1.0], progress=True)


@pytest.mark.parametrize("spec", SMALL)
@pytest.mark.parametrize("mu", [0.0, 0.7, 2.0])
def test_conditional_fits_hold_the_parameter_of_interest(spec, mu):
    ours, model, data = hf.both(spec)
    fit = ours.fit(mu=mu)
    assert fit.parameters[model.config.poi_index] == mu
    try:
        _, theirs = pyhf.infer.mle.fixed_poi_fit(mu, data, model, return_fitted_val=True)
    except pyhf.exceptions.FailedMinimization as error:
        pytest.skip(f"pyhf's optimiser failed, so that there is nothing to compare with: {error}")
    assert fit.twice_nll <= float(theirs) + 1e-6


@pytest.mark.parametrize("spec", SMALL)
@pytest.mark.parametrize("name", sorted(NAMES))
@pytest.mark.filterwarnings("ignore")
def test_statistics_are_pyhfs(spec, name):
    ours, model, data = hf.both(spec)
    own = ours.model()
    init, fixed = model.config.suggested_init(), model.config.suggested_fixed()
    bounds = model.config.suggested_bounds()
    if name in ("q", "t"):
        bounds[model.config.poi_index] = (-1.0, 10.0)
    for mu in (0.5, 1.0, 2.5):
        expected = getattr(pyhf.infer.test_statistics, NAMES[name])(mu, data, model, init, bounds, fixed)
        got = own.test_statistic(mu, data, test_stat=name, bounds=bounds)
        assert abs(got.value - float(expected)) <= 2e-6, (mu, got.value, float(expected))


@pytest.mark.parametrize("spec", SMALL)
@pytest.mark.filterwarnings("ignore")
def test_cls_is_pyhfs(spec):
    ours, model, data = hf.both(spec)
    for mu in (0.5, 1.0, 2.0):
        observed, band = pyhf.infer.hypotest(mu, data, model, test_stat="qtilde", return_expected_set=True)
        got = ours.hypotest(mu)
        np.testing.assert_allclose(got.observed, float(observed), atol=1e-6)
        np.testing.assert_allclose(got.expected, [float(x) for x in band], atol=1e-6)


@pytest.mark.parametrize("spec", SMALL)
@pytest.mark.filterwarnings("ignore")
def test_discovery_is_pyhfs(spec):
    ours, model, data = hf.both(spec)
    observed, band = pyhf.infer.hypotest(0.0, data, model, test_stat="q0", return_expected_set=True)
    got = ours.hypotest(0.0, test_stat="q0")
    # Near q0 = 0 a p-value has an infinite derivative by q0, and would compare the square root of pyhf's tolerance.
    assert abs(got.statistic - scipy.stats.norm.isf(float(observed)) ** 2) <= 1e-6
    if got.statistic > 1e-3:
        np.testing.assert_allclose(got.observed, float(observed), atol=1e-6)
    np.testing.assert_allclose(got.expected, [float(x) for x in band], atol=1e-6)
    significance = ours.significance()
    assert abs(significance.p_value - got.observed) < 1e-12
    assert abs(significance.observed**2 - got.statistic) < 1e-9


@pytest.mark.parametrize("name", ["simple", "complex-8p"])
@pytest.mark.filterwarnings("ignore")
def test_limits_are_pyhfs(name):
    ours, model, data = hf.both(wz.histfactory.workload(name).to_dict())
    limit = ours.upper_limit()
    observed, band = pyhf.infer.intervals.upper_limits.upper_limit(data, model, level=0.05, rtol=1e-8)
    np.testing.assert_allclose(limit.observed, float(observed), rtol=1e-5)
    np.testing.assert_allclose(limit.expected, [float(x) for x in band], rtol=1e-5)
    grid = np.linspace(0.2 * limit.expected[0], 2 * limit.expected[4], 60)
    scan = ours.scan(grid)
    np.testing.assert_allclose(scan.observed, limit.observed, rtol=2e-3)


@pytest.mark.parametrize("spec", SMALL)
@pytest.mark.parametrize("mu", [0.0, 1.0])
def test_asimov_data_are_pyhfs(spec, mu):
    ours, model, data = hf.both(spec)
    config = model.config
    settings = config.suggested_init(), config.suggested_bounds(), config.suggested_fixed()
    theirs = pyhf.infer.calculators.generate_asimov_data(mu, data, model, *settings)
    got = ours.model().asimov_data(mu, data)
    # They are as far from the minimum as their optimiser's tolerance: some 1e-6 of a standard deviation.
    np.testing.assert_allclose(got, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["simple", "complex-8p"])
def test_toys_are_distributed_as_pyhfs(name):
    ours, model, data = hf.both(shifted(wz.histfactory.workload(name).to_dict(), 2))
    count = 120
    calculator = pyhf.infer.calculators.ToyCalculator(data, model, ntoys=count, track_progress=False)
    np.random.seed(1)
    statistic = float(calculator.teststatistic(1.0))
    theirs = [float(p) for p in calculator.pvalues(statistic, *calculator.distributions(1.0))]
    toys = ours.toys(1.0, toys=4000, seed=1)
    assert abs(toys.statistic - statistic) < 1e-5
    assert toys.cls_b == (toys.signal >= toys.statistic).mean()
    assert toys.cl_b == (toys.background >= toys.statistic).mean()
    assert toys.observed == toys.cls_b / toys.cl_b
    for got, expected in zip((toys.cls_b, toys.cl_b), theirs, strict=False):
        # Four standard deviations of pyhf's toys; ours are many.
        assert abs(got - expected) < 4 * np.sqrt(max(got * (1 - got), 0.01) / count), (got, expected)


def counting(signal, background, error, observed):
    model = pyhf.simplemodels.uncorrelated_background(signal=[signal], bkg=[background], bkg_uncertainty=[error])
    return {
        "version": "1.0.0",
        "channels": model.spec["channels"],
        "observations": [{"name": "singlechannel", "data": [observed]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
    }


def test_a_bound_in_the_way_of_a_limit_is_widened():
    ours = wz.histfactory.load(counting(0.5, 50.0, 7.0, 80.0))
    with pytest.warns(UserWarning, match="in the way"):
        limit = ours.upper_limit()
    bounds = ours.model().config.suggested_bounds.copy()
    bounds[ours.model().config.poi_index] = (0.0, 1000.0)
    np.testing.assert_allclose(limit.observed, ours.upper_limit(bounds=bounds).observed, rtol=1e-7)


def test_cls_is_a_number_where_both_tails_vanish():
    # A lower bound of -5, where Asimov data cannot tell hypotheses apart: pyhf's CLs is 0/0 there.
    ours = wz.histfactory.load(hf.random_workspace(57))
    with pytest.warns(UserWarning, match="use q"):
        test = ours.hypotest(1.0)
    assert 0.0 <= test.observed <= 1.0
    assert all(0.0 <= x <= 1.0 for x in test.expected)


def test_bins_in_which_nothing_is_expected_are_named():
    ours = wz.histfactory.load(counting(10.0, 0.0, 1.0, 60.0))
    for what in (lambda: ours.hypotest(1.0), ours.significance, lambda: ours.fit(mu=0.0)):
        with pytest.raises(wz.FitError, match="mu = 0.*channel `singlechannel`, bin 0 has 60 counts.*clip_bin_data"):
            what()
    # As in pyhf a rate of 0 in an empty bin is no obstacle.
    assert wz.histfactory.load(counting(10.0, 0.0, 1.0, 0.0)).fit(mu=0.0).twice_nll < np.inf


def factor(name):
    return {"name": name, "type": "normfactor", "data": None}


def channel(*samples, observed):
    parameters = {"poi": "mu", "parameters": []}
    samples = [{"name": f"s{i}", "data": data, "modifiers": modifiers} for i, (data, modifiers) in enumerate(samples)]
    return {
        "version": "1.0.0",
        "channels": [{"name": "SR", "samples": samples}],
        "observations": [{"name": "SR", "data": observed}],
        "measurements": [{"name": "m", "config": parameters}],
    }


def test_parameters_that_cannot_be_told_apart_have_no_covariance():
    signal = ([10.0, 3.0], [factor("mu"), factor("k1"), factor("k2")])
    fit = wz.histfactory.load(channel(signal, ([50.0, 40.0], []), observed=[75.0, 48.0])).fit()
    assert fit.kkt <= 1e-7
    with pytest.raises(wz.FitError, match="cannot be told apart"):
        _ = fit.covariance


def test_negative_yields_are_taken_as_pyhf_takes_them():
    # An interference: negative alone, positive with the rest.
    spec = channel(([-5.0, 2.0], [factor("mu")]), ([50.0, 40.0], []), observed=[47.0, 41.0])
    ours, model, data = hf.both(spec)
    fit = ours.fit()
    _, theirs = pyhf.infer.mle.fit(data, model, return_fitted_val=True)
    assert fit.twice_nll <= float(theirs) + 1e-6
    alone = wz.histfactory.load(channel(([-5.0, 2.0], [factor("mu")]), observed=[47.0, 41.0]))
    with pytest.raises(wz.FitError, match="channel `SR`, bin 0 is -5"):
        alone.fit()


def test_bad_data_and_parameters_of_interest_are_errors():
    ours = wz.histfactory.workload("simple")
    own = ours.model()
    data = ours.data(own)
    for value in (np.nan, np.inf, -1.0):
        broken = data.copy()
        broken[0] = value
        with pytest.raises(wz.WootzError):
            own.fit(broken)
    fixed = np.zeros(len(own.config.suggested_init), bool)
    fixed[own.config.poi_index] = True
    without = ours.model(poi=None)
    for call in ("hypotest", "test_statistic", "upper_limit"):
        value = () if call == "upper_limit" else (1.0,)
        with pytest.raises(wz.WootzError, match="`mu` is fixed"):
            getattr(own, call)(*value, data, fixed=fixed)
        with pytest.raises(wz.WootzError, match="no parameter of interest"):
            getattr(without, call)(*value, data)


def test_a_significance_has_its_closed_form():
    assert abs(wz.histfactory.load(counting(10.0, 50.0, 7.0, 60.0)).significance().observed - 0.959075) < 5e-7


def test_covariance_is_the_inverse_hessian_by_differences():
    ours, model, data = hf.both(wz.histfactory.workload("complex-8p").to_dict())
    fit = ours.fit(tolerance=1e-10)
    own = ours.model()
    step = 1e-4
    free = np.flatnonzero(fit.fitted & ~fit.held)

    def nll(x):
        return -float(model.logpdf(x, data)[0])

    h = np.zeros((len(free), len(free)))
    for a, i in enumerate(free):
        for b, j in enumerate(free):
            total = 0.0
            for s, t in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                x = fit.parameters.copy()
                x[i] += s * step
                x[j] += t * step
                total += s * t * nll(x)
            h[a, b] = total / (4 * step * step)
    # Differences of this step have errors near 1e-6.
    np.testing.assert_allclose(-own.hessian(fit.parameters, data)[np.ix_(free, free)], h, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(fit.covariance[np.ix_(free, free)] @ h, np.eye(len(free)), atol=1e-3)


def test_what_goes_wrong_says_so():
    ours = wz.histfactory.workload("simple")
    with pytest.raises(wz.FitError, match="did not converge"):
        ours.fit(max_iterations=1, init=[9.0, 0.2, 3.0])
    with pytest.raises(wz.UnknownNameError, match="test statistic"):
        ours.hypotest(1.0, test_stat="nonsense")
    with pytest.raises(wz.ShapeError):
        ours.fit(init=[1.0])
    with pytest.warns(UserWarning, match="use qtilde"):
        ours.hypotest(1.0, test_stat="q")
    with pytest.raises(wz.WorkspaceError, match="channels"):
        wz.histfactory.load({"version": "1.0.0"})
    with pytest.raises(wz.UnknownNameError):
        ours.model(poi="nobody")


def test_pulls_and_correlations_are_those_of_the_covariance():
    ours, model, data = hf.both(shifted(wz.histfactory.workload("complex-8p").to_dict(), 1))
    fit = ours.fit()
    errors = np.array(list(fit.uncertainties.values()))
    np.testing.assert_allclose(fit.correlations * np.outer(errors, errors), fit.covariance, rtol=1e-12, atol=1e-15)
    widths = {}
    for name in model.config.par_order:
        parameters = model.config.param_set(name)
        if parameters.constrained:
            for i, width in enumerate(parameters.width()):
                widths[fit.names[model.config.par_slice(name).start + i]] = width
    assert set(fit.pulls) == set(widths)
    for name, pull in fit.pulls.items():
        i = fit.names.index(name)
        np.testing.assert_allclose(
            pull.value, (fit.parameters[i] - fit.model.config.suggested_init[i]) / widths[name], rtol=1e-9, atol=1e-12
        )
        np.testing.assert_allclose(pull.uncertainty, errors[i] / widths[name])
        assert pull.uncertainty < 1.0 + 1e-9


def test_intervals_are_where_pyhfs_profile_says():
    ours, model, data = hf.both(wz.histfactory.workload("complex-8p").to_dict())
    fit = ours.fit()
    best = float(pyhf.infer.mle.fit(data, model, return_fitted_val=True)[1])
    assert fit.interval("mu").upper > fit["mu"]
    assert fit.interval("mu", sigmas=10.0).lower is None
    for mu in filter(None, fit.interval("mu")):
        _, value = pyhf.infer.mle.fixed_poi_fit(mu, data, model, return_fitted_val=True)
        assert abs(float(value) - best - 1.0) < 1e-5
    with pytest.raises(wz.UnknownNameError):
        fit.interval("nobody")


def test_rankings_are_refits():
    ours, model, data = hf.both(shifted(wz.histfactory.workload("complex-8p").to_dict(), 3))
    fit = ours.fit()
    ranking = fit.ranking()
    assert {impact.name for impact in ranking} == set(np.array(fit.names)[fit.fitted & ~fit.held]) - {"mu"}
    for impact in ranking[:3]:
        i = fit.names.index(impact.name)
        for side, shift in zip((-1, 1), impact.postfit, strict=True):
            init, fixed = fit.parameters.copy(), np.zeros(len(fit.names), bool)
            init[i] += side * fit.uncertainties[impact.name]
            fixed[i] = True
            assert abs(ours.fit(init=init, fixed=fixed)["mu"] - fit["mu"] - shift) < 1e-6


def test_goodness_of_fit_is_that_of_the_density():
    ours, model, data = hf.both(shifted(wz.histfactory.workload("complex-8p").to_dict(), 3))
    fit = ours.fit()
    bins = fit.model.config.nmaindata
    rates = model.expected_data(fit.parameters)
    poisson = scipy.stats.poisson.logpmf
    main = 2 * (poisson(data[:bins], data[:bins]) - poisson(data[:bins], rates[:bins])).sum()
    # All constraints of this workspace are normal.
    before = np.array([w for w in fit.model.config.prefit_uncertainties if w > 0])
    rest = (((data[bins:] - rates[bins:]) / before) ** 2).sum()
    goodness = fit.goodness_of_fit
    np.testing.assert_allclose(goodness.chi2, main + rest, rtol=1e-9, atol=1e-9)
    if goodness.degrees_of_freedom:
        np.testing.assert_allclose(goodness.p_value, scipy.stats.chi2.sf(goodness.chi2, goodness.degrees_of_freedom))


def test_yields_add_up_and_print():
    ours = wz.histfactory.workload("complex-8p")
    fit = ours.fit()
    for prediction in (fit.prediction(), fit.model.prefit()):
        np.testing.assert_allclose(prediction.samples[0].sum(axis=0), prediction.bins[0])
        np.testing.assert_allclose(prediction.sample_totals[0].sum(axis=0), prediction.channels[0])
        assert (prediction.bins[1] > 0).all()
    jacobian = fit.model.jacobian(fit.parameters)
    errors = np.sqrt(np.einsum("bi,ij,bj->b", jacobian, fit.covariance, jacobian))
    np.testing.assert_allclose(fit.prediction().bins[1], errors, rtol=1e-9)
    table = fit.prediction().table(fit.data).splitlines()
    assert [line.split()[0] for line in table[1:]] == [*fit.model.config.samples, "total", "data"]


def test_a_fit_that_failed_says_where_it_ended():
    ours = wz.histfactory.workload("simple")
    with pytest.raises(wz.FitError) as raised:
        ours.fit(max_iterations=1, init=[9.0, 0.2, 3.0])
    assert raised.value.parameters.shape == (3,)
    assert np.isfinite(raised.value.parameters).all()


def test_threads_fit_at_once():
    ours = wz.histfactory.workload("complex-8p")
    model = ours.model()
    sets = [ours.data(model) * (1 + 0.01 * i) for i in range(8)]
    alone = [model.fit(data).twice_nll for data in sets]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda data: model.fit(data).twice_nll, sets))
    assert alone == together


def test_toys_can_be_interrupted():
    program = """
import signal, threading, os, time
import wootz as wz
# What was started in the background may have been told to ignore the signal.
signal.signal(signal.SIGINT, signal.default_int_handler)
ws = wz.histfactory.workload("stress")
ws.fit()
threading.Thread(target=lambda: (time.sleep(1.0), os.kill(os.getpid(), signal.SIGINT)), daemon=True).start()
try:
    ws.toys(1.0, toys=10_000_000)
except KeyboardInterrupt:
    print("interrupted")
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert out.stdout == "interrupted\n", out.stderr


def test_toys_are_reproducible_and_near_the_asymptotic_test():
    ours = wz.histfactory.workload("simple")
    toys = ours.toys(1.0, toys=2000, seed=3, threads=1)
    again = ours.toys(1.0, toys=2000, seed=3, threads=2)
    np.testing.assert_array_equal(toys.signal, again.signal)
    assert toys.failed == 0
    # Standard deviations of 2000 toys, and what asymptotic formulae miss at some 50 events.
    assert abs(toys.observed - ours.hypotest(1.0).observed) < 0.08
