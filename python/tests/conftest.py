"""What all tests share."""

import importlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis.configuration import set_hypothesis_home_dir

# Not into the folder that the tests happen to be started in.
set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "wootz-hypothesis")

MODULES = {"mlx": "mlx.core"}


def pytest_configure():
    """Where frameworks are required, a test must not be left out because one of them does not import."""
    for name in filter(None, os.environ.get("WOOTZ_REQUIRED_FRAMEWORKS", "").split(",")):
        importlib.import_module(MODULES.get(name, name))


@pytest.fixture(scope="module")
def tight_pyhf():
    """pyhf on NumPy, whose fits go on until SciPy's optimiser cannot tell steps apart."""
    import pyhf

    pyhf.set_backend("numpy", pyhf.optimize.scipy_optimizer(tolerance=1e-12, maxiter=100_000))
    yield
    pyhf.set_backend("numpy")
