"""HistFactory inference in several stacks, for `wootz bench histfactory`: `histfactory_peers.py STACK`.

Speaks the suite's protocol as `kernel_peers.py` does. `setup` names a workspace (`document`), an operation, which is a method of the
stack's class, and its inputs: `point`, the parameters in pyhf's order, and `toys`, their number. An operation returns the function that is
timed, alone or with one that reads from its result what is checked: signs and orders that differ between stacks are not timed.
"""

import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
if HERE not in sys.path:
    sys.path.insert(0, HERE)

from bench_protocol import Unsupported, load_numpy, now_ns  # noqa: E402
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
        return lambda: self.model.logpdf(point, self.data), lambda found: -found

    def gradient(self, point):
        return lambda: self.model.value_and_gradient(point, self.data), lambda found: -found[1]

    def signal_gradient(self, point):
        def step():
            return self.model.value_and_gradients(point, self.data, by=("nominal",))

        return step, lambda found: -found[1]["nominal"]

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

    def loss(self):
        return LossStep(self.wz, self.path, self.model)

    def toys(self, toys):
        return lambda: self.model.toys(MU, self.data, toys=int(toys)).observed


class LossStep:
    """A step of training a network of 2 hidden layers of 64 by `SignificanceLoss`, 1,024 events of signal a batch, in one channel.

    What is measured is that step, less a step of the same network whose loss is a sum, with the objective's fit on the same yields, from
    where that of the last step ended, in the loss's place: what a fit leaves in caches is there for both. They take turns, and the median
    of the differences is taken. Batches differ from step to step; the rate of learning is so small that the network stays what it is.
    """

    packages = (*Wootz.packages, "torch")

    def __init__(self, wz, path, model):
        import torch

        self.wz, self.torch, self.model = wz, torch, model
        self.channel, self.sample = signal(path)
        place = model.nominal_slice(self.channel, self.sample)
        self.nominal = model.template("nominal")
        self.scale = float(self.nominal[place].sum()) / 1024
        self.place = place
        torch.manual_seed(0)
        torch.set_num_threads(1)
        self.batches = torch.randn(16, 1024, 10)
        self.steps = 0
        self.networks = [self.network() for _ in range(2)]
        self.edges = torch.linspace(0, 1, place.stop - place.start + 1, dtype=torch.float64)
        self.histogram = wz.torch.SoftHistogram(self.edges, overflow="clip")
        self.significance = wz.torch.SignificanceLoss(model, {self.channel: self.sample})
        self.objective = model.objective("z0")
        self.yields = self.nominal.copy()

    def network(self):
        nn = self.torch.nn
        layers = nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1), nn.Sigmoid()
        network = nn.Sequential(*layers)
        return network, self.torch.optim.SGD(network.parameters(), lr=1e-7)

    @property
    def events(self):
        return self.batches[self.steps % len(self.batches)]

    def step(self):
        network, optimizer = self.networks[0]
        optimizer.zero_grad()
        contents = self.histogram(network(self.events)[:, 0], scale=self.scale)
        self.significance(contents).backward()
        optimizer.step()
        return contents

    def own_step(self):
        """The network's own step, and the fit."""
        network, optimizer = self.networks[1]
        optimizer.zero_grad()
        scores = network(self.events)[:, 0]
        self.fit()
        scores.sum().backward()
        optimizer.step()

    def fit(self):
        return self.objective.evaluate(nominal=self.yields)

    def __call__(self):
        """The value over that of the objective, and the gradient's product with what autograd makes of histogram and objective, over that one's square."""
        torch = self.torch
        network, _ = self.networks[0]
        shares = torch.special.ndtr((self.edges - network(self.events)) / self.histogram.bandwidth)
        shares = torch.cat([torch.zeros_like(shares[:, :1]), shares[:, 1:-1], torch.ones_like(shares[:, :1])], 1)
        contents = self.scale * shares.diff(dim=1).sum(0)
        self.yields[self.place] = contents.detach().numpy()
        found = self.fit()
        by_yields = torch.from_numpy(found.gradients["nominal"][self.place])
        expected = torch.autograd.grad(-(contents @ by_yields), list(network.parameters()))
        expected = torch.cat([g.flatten() for g in expected]).double()
        self.yields[self.place] = self.step().detach().numpy()
        got = torch.cat([p.grad.flatten() for p in network.parameters()]).double()
        return self.significance.value / found.value, float(got @ expected / (expected @ expected))

    def measure(self, iterations):
        differences = []
        # Fewer have no median to speak of.
        for _ in range(max(iterations, 20)):
            self.steps += 1
            start = now_ns()
            contents = self.step()
            stepped = now_ns()
            self.yields[self.place] = contents.detach().numpy()
            ready = now_ns()
            self.own_step()
            differences.append((stepped - start) - (now_ns() - ready))
        differences.sort()
        return max(differences[len(differences) // 2], 0) * iterations


def signal(path):
    """The channel with the most bins that has a sample scaled by the parameter of interest, and that sample."""
    with open(path, encoding="utf-8") as file:
        spec = json.load(file)
    poi = ("normfactor", spec["measurements"][0]["config"]["poi"])
    found = [
        (len(sample["data"]), channel["name"], sample["name"])
        for channel in spec["channels"]
        for sample in channel["samples"]
        if poi in [(m["type"], m["name"]) for m in sample["modifiers"]]
    ]
    return max(found)[1:]


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
        return lambda: self.model.grad_nll(point), lambda found: np.asarray(found)[order]

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
    made = getattr(stack, setup["operation"])(*inputs)
    call, read = made if isinstance(made, tuple) else (made, lambda found: found)
    first = []

    def step():
        found = call()
        if not first:
            value = read(found)
            first.append(np.hstack(value) if isinstance(value, tuple) else np.atleast_1d(value))

    session = Session(step, lambda: {"result": first[0]})
    session.measure = getattr(call, "measure", None)
    return session, versions(getattr(call, "packages", stack.packages))


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
