"""Fits and CLs of the large workloads against pyhf, whose fits need JAX's gradients to end at so many parameters."""

import numpy as np
import pyhf
import pytest
import wootz as wz

pytest.importorskip("jax", reason="JAX is not installed; `pip install jax` has these tests run")

pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(autouse=True, scope="module")
def tight():
    pyhf.set_backend("jax", pyhf.optimize.scipy_optimizer(tolerance=1e-12, maxiter=100_000))
    yield
    pyhf.set_backend("numpy")


@pytest.fixture(params=["thu-like", "stress"], scope="module")
def analysis(request):
    ours = wz.histfactory.workload(request.param)
    workspace = pyhf.Workspace(ours.to_dict())
    model = workspace.model()
    return ours, model, pyhf.tensorlib.astensor(workspace.data(model))


def test_fits_are_at_least_as_good_as_pyhfs(analysis):
    ours, model, data = analysis
    _, theirs = pyhf.infer.mle.fit(data, model, return_fitted_val=True)
    assert ours.fit().twice_nll <= float(theirs) + 1e-6
    _, theirs = pyhf.infer.mle.fixed_poi_fit(1.0, data, model, return_fitted_val=True)
    assert ours.fit(mu=1.0).twice_nll <= float(theirs) + 1e-6


def test_cls_is_pyhfs(analysis):
    ours, model, data = analysis
    observed, band = pyhf.infer.hypotest(1.0, data, model, test_stat="qtilde", return_expected_set=True)
    test = ours.hypotest(1.0)
    np.testing.assert_allclose(test.observed, float(observed), atol=1e-6)
    np.testing.assert_allclose(test.expected, [float(x) for x in band], atol=1e-6)
