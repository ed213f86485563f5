"""HistFactory inference in several stacks, for `wootz bench histfactory`: `histfactory_peers.py STACK`.

Speaks the suite's protocol as `kernel_peers.py` does. `setup` names a workspace (`document`), an operation, which is a method of the
stack's class, and its inputs: `point`, the parameters in pyhf's order, and `toys`, their number. An operation returns the function that is
timed; its first result is checked.
"""

import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
if HERE not in sys.path:
    sys.path.insert(0, HERE)

from bench_protocol import Unsupported, load_numpy  # noqa: E402
from kernel_peers import Session, serve  # noqa: E402

# The parameter of interest that is tested.
MU = 1.0


class Wootz:
    packages = ("wootz", "numpy")

    def __init__(self, path):
        import wootz as wz

        self.wz, self.path = wz, path
        workspace = wz.histfactory.load(path)
        self.model = workspace.model()
        self.data = workspace.data(self.model)
        self.names = self.model.config.par_names

    def nll(self, point):
        return lambda: -self.model.logpdf(point, self.data)

    def gradient(self, point):
        return lambda: -self.model.value_and_gradient(point, self.data)[1]

    def signal_gradient(self, point):
        templates = self.wz.compile(self.model.graph("logpdf", templates=["nominal"]).grad(0, [2]), {})
        nominal = self.model.template("nominal")

        def step():
            out = templates(parameters=point, data=self.data, nominal=nominal)
            return -out["grad.nominal"]

        return step

    def fit(self):
        return lambda: self.model.fit(self.data).twice_nll

    def q0(self):
        return lambda: self.model.test_statistic(0.0, self.data, "q0").value

    def q0_gradient(self):
        return self._discovery(self.data[: self.model.config.nmaindata])

    def q0_asimov(self):
        return self._discovery(None)

    def _discovery(self, counts):
        objective = self.model.objective("q0", data="asimov" if counts is None else counts)
        nominal = self.model.template("nominal")

        def step():
            if counts is not None:
                objective.reset()
            found = objective.evaluate(nominal=nominal)
            return found.value, found.gradients["nominal"]

        return step

    def cls_observed(self):
        return lambda: self.model.hypotest(MU, self.data).observed

    def cls(self):
        def step():
            found = self.model.hypotest(MU, self.data)
            return [found.observed, *found.expected]

        return step

    def open(self, point):
        def step():
            self.wz.clear_cache()
            workspace = self.wz.histfactory.load(self.path)
            model = workspace.model()
            return -model.logpdf(point, workspace.data(model))

        return step

    def toys(self, toys):
        return lambda: self.model.toys(MU, self.data, toys=int(toys)).observed


class NextStat:
    packages = ("nextstat",)

    def __init__(self, path):
        import nextstat

        self.nextstat, self.path = nextstat, path
        self.model = self._read()
        self.names = list(self.model.parameter_names())
        # Fits without a covariance, as the others make them.
        self.estimator = nextstat.MaximumLikelihoodEstimator()

    def _read(self):
        with open(self.path, encoding="utf-8") as file:
            return self.nextstat.from_pyhf(file.read())

    def _own(self, point):
        """The point in its order, and where each parameter of pyhf's order stands."""
        with open(self.path, encoding="utf-8") as file:
            ours = pyhf_names(json.load(file))
        if sorted(ours) != sorted(self.names):
            raise Unsupported("its parameters have other names")
        at = [ours.index(name) for name in self.names]
        return [float(point[i]) for i in at], [self.names.index(name) for name in ours]

    def nll(self, point):
        point, _ = self._own(point)
        return lambda: self.model.nll(point)

    def gradient(self, point):
        import numpy as np

        point, order = self._own(point)
        return lambda: np.asarray(self.model.grad_nll(point))[order]

    def fit(self):
        return lambda: 2 * self.estimator.fit_minimum(self.model).nll

    def cls_observed(self):
        return lambda: self.nextstat.hypotest(MU, self.model)

    def open(self, point):
        point, _ = self._own(point)
        return lambda: self._read().nll(point)

    def toys(self, toys):
        return lambda: self.nextstat.hypotest_toys(MU, self.model, n_toys=int(toys))


def pyhf_names(spec):
    import wootz as wz

    return wz.histfactory.load(spec).model().config.par_names


class Pyhf:
    packages = ("pyhf", "numpy", "scipy")

    def __init__(self, path):
        import pyhf

        self.pyhf, self.path = pyhf, path
        pyhf.set_backend(self.backend, pyhf.optimize.scipy_optimizer(maxiter=100_000))
        self.model, self.data = self._read()

    def _read(self):
        with open(self.path, encoding="utf-8") as file:
            workspace = self.pyhf.Workspace(json.load(file))
        model = workspace.model()
        return model, self.pyhf.tensorlib.astensor(workspace.data(model))

    def fit(self):
        fit = self.pyhf.infer.mle.fit
        return lambda: float(fit(self.data, self.model, return_fitted_val=True)[1])

    def q0(self):
        config = self.model.config
        settings = config.suggested_init(), config.suggested_bounds(), config.suggested_fixed()
        q0 = self.pyhf.infer.test_statistics.q0
        return lambda: float(q0(0.0, self.data, self.model, *settings))

    def cls_observed(self):
        test = self.pyhf.infer.hypotest
        return lambda: float(test(MU, self.data, self.model, test_stat="qtilde"))

    def cls(self):
        test = self.pyhf.infer.hypotest

        def step():
            observed, band = test(MU, self.data, self.model, test_stat="qtilde", return_expected_set=True)
            return [float(observed), *map(float, band)]

        return step


class PyhfNumpy(Pyhf):
    backend = "numpy"

    def nll(self, point):
        return lambda: -float(self.model.logpdf(point, self.data)[0])

    def open(self, point):
        def step():
            model, data = self._read()
            return -float(model.logpdf(point, data)[0])

        return step


class PyhfJax(Pyhf):
    backend = "jax"
    packages = ("pyhf", "jax", "numpy", "scipy")

    def __init__(self, path):
        # Imported here for the error of a missing package; pyhf would raise one of its own.
        import jax  # noqa: F401

        super().__init__(path)

    def nll(self, point):
        return self._jitted(point, lambda jax, nll: jax.jit(nll))

    def gradient(self, point):
        return self._jitted(point, lambda jax, nll: jax.jit(jax.grad(nll)))

    def _jitted(self, point, transform):
        import jax
        import numpy as np

        call = transform(jax, lambda x: -self.model.logpdf(x, self.data)[0])
        point = self.pyhf.tensorlib.astensor(point)
        return lambda: np.asarray(call(point))

    def open(self, point):
        import jax

        point = self.pyhf.tensorlib.astensor(point)

        def step():
            jax.clear_caches()
            model, data = self._read()
            return float(jax.jit(lambda x: -model.logpdf(x, data)[0])(point))

        return step


STACKS = {"wootz": Wootz, "nextstat": NextStat, "pyhf-numpy": PyhfNumpy, "pyhf-jax": PyhfJax}


class Loaded:
    """The stack with the workspace of the last setup."""

    text = stack = None

    @classmethod
    def of(cls, name, path):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if text != cls.text:
            cls.text = cls.stack = None
            cls.stack, cls.text = STACKS[name](path), text
        return cls.stack


def prepare(name, setup):
    import numpy as np

    if name not in STACKS:
        raise Unsupported(f"no stack is called {name!r}")
    if not hasattr(STACKS[name], setup["operation"]):
        raise Unsupported(f"{name} has no operation {setup['operation']!r}")
    stack = Loaded.of(name, setup["document"])
    inputs = [load_numpy(file).astype(np.float64)[()] for file in setup["inputs"]]
    call = getattr(stack, setup["operation"])(*inputs)
    first = []

    def step():
        value = call()
        if not first:
            first.append(np.hstack(value) if isinstance(value, tuple) else np.atleast_1d(value))

    return Session(step, lambda: {"result": first[0]}), versions(stack.packages)


def versions(packages):
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": sys.version.split()[0]}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1], prepare, "f64"))
