"""Fits and CLs of random workspaces against pyhf (SciPy's optimiser, tight tolerance)."""

import histfactory_workspaces as hf
import numpy as np
import pyhf
import pytest
import wootz as wz

pytestmark = hf.AGAINST_PYHF


def allowed(theirs):
    return 1e-6 + 1e-12 * abs(theirs)


def random_specs(count, kind):
    """Random workspaces, with counts that their models could give (`physical`) or with any."""
    for seed in range(count):
        spec = hf.random_workspace(seed)
        yield seed, hf.physical(spec, pyhf.Workspace(spec).model(), seed) if kind == "physical" else spec


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "count"), [("physical", 70), ("any", 50)])
def test_fits_of_random_workspaces_are_at_least_as_good_as_pyhfs(kind, count):
    """Counts that have nothing to do with yields, variations whose sides move a yield the same way: many minima, some at bounds."""
    compared = several = 0
    for seed, spec in random_specs(count, kind):
        ours, model, data = hf.both(spec)
        try:
            best, theirs = pyhf.infer.mle.fit(data, model, return_fitted_val=True)
        except pyhf.exceptions.FailedMinimization:
            # Nothing to compare with; what is expected where something is counted is 0 at the start, mostly.
            continue
        if (model.expected_data(best, include_auxdata=False) < 0).any():
            # There is no density: pyhf's grows without bound where rates fall below 0 in empty bins.
            continue
        compared += 1
        fit = ours.fit()
        # SLSQP may end a rounding outside the bounds.
        polished = ours.fit(init=best, starts=1)
        for found in (fit, polished):
            assert found.kkt <= 1e-5, seed
            assert found.twice_nll <= float(theirs) + allowed(float(theirs)), (seed, found.twice_nll, float(theirs))
        try:
            alone = ours.fit(starts=1).twice_nll
        except wz.FitError:
            alone = np.inf
        assert fit.twice_nll <= alone + allowed(float(theirs)), seed
        several += fit.twice_nll < alone - allowed(float(theirs))
    assert compared >= 0.75 * count
    # There are workspaces with several minima among them.
    assert several >= 1


@pytest.mark.parametrize("name", ("simple", "complex-8p", "thu-like", "stress"))
def test_workloads_are_fitted_from_one_start(name):
    ours = wz.histfactory.workload(name)
    assert [ours.fit(**options).starts for options in ({}, {"mu": 0.0}, {"mu": 1.0})] == [1, 1, 1]


def lower_than_pyhfs(own, model, samples, mu):
    """Whether any fit that a test is made of finds a lower minimum than pyhf's; none may find a higher one."""
    found = False
    for sample in samples:
        for held in (None, mu):
            minimum = {"return_fitted_val": True}
            try:
                if held is None:
                    _, theirs = pyhf.infer.mle.fit(sample, model, **minimum)
                else:
                    _, theirs = pyhf.infer.mle.fixed_poi_fit(held, sample, model, **minimum)
            except pyhf.exceptions.FailedMinimization:
                found = True
                continue
            difference = own.fit(sample, mu=held).twice_nll - float(theirs)
            assert difference <= allowed(float(theirs))
            found = found or difference < -allowed(float(theirs))
    return found


@pytest.mark.filterwarnings("ignore")
def test_cls_of_random_workspaces_is_pyhfs():
    mu, compared, others = 1.5, 0, 0
    for seed in range(25):
        spec = hf.with_background(hf.random_workspace(seed), seed)
        spec = hf.physical(spec, pyhf.Workspace(spec).model(), seed)
        ours, model, data = hf.both(spec)
        own, config = ours.model(), model.config
        init, bounds, fixed = config.suggested_init(), config.suggested_bounds(), config.suggested_fixed()
        poi = config.poi_index
        if fixed[poi]:
            continue
        name = "qtilde" if bounds[poi][0] == 0 else "q"
        try:
            asimov = pyhf.infer.calculators.generate_asimov_data(0.0, data, model, init, bounds, fixed)
            observed, band = pyhf.infer.hypotest(mu, data, model, test_stat=name, return_expected_set=True)
        except pyhf.exceptions.FailedMinimization:
            others += 1
            continue
        got = own.hypotest(mu, data, test_stat=name)
        # pyhf's optimiser leaves this much of 2 ln L, which counts where the root is taken of a statistic that is nearly 0.
        slack = [4 * (np.sqrt(q + 1e-9) - np.sqrt(q)) for q in (got.asimov, got.statistic)]
        is_above = own.fit(data).parameters[poi] > mu
        expected = [float(x) for x in band]
        is_close = (
            abs(got.observed - float(observed)) <= 1e-6 + slack[0] + (0.0 if is_above else slack[1])
            and np.abs(np.subtract(got.expected, expected)).max() <= 1e-6 + slack[0]
        )
        if not is_close:
            assert lower_than_pyhfs(own, model, (data, asimov), mu) or lower_than_pyhfs(own, model, (data,), 0.0), seed
            others += 1
            continue
        compared += 1
    assert compared >= 12
    assert others <= 3
