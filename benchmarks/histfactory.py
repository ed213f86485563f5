"""Times HistFactory inference with wootz, NextStat and pyhf: interleaved, after each has shown that its numbers are right.

    python benchmarks/histfactory.py [--workloads complex-8p thu-like] [--rounds 15] [--budget 0.02] [--json FILE]

Each round times every stack once, in an order that changes from round to round, for `--budget` seconds each (one call where that is longer).
A time is the median over rounds; the ratio is the median of the ratios within rounds. Stacks that are not installed are left out, and
said so. Only wootz is needed.
"""

import argparse
import json
import os
import random
import statistics
import sys
import time

# One thread a stack: these programs are too small for more.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np
import wootz as wz

TASKS = ("nll", "gradient", "fit", "q0", "hypotest")


class Stack:
    def enter(self):
        """Makes this stack the one that runs, where stacks share global state. Not timed."""


class Wootz(Stack):
    name = "wootz"

    def __init__(self, spec):
        ws = wz.histfactory.load(spec)
        self.model = ws.model()
        self.data = ws.data(self.model)
        self.start = self.model.config.suggested_init

    def nll(self):
        return -self.model.logpdf(self.start, self.data)

    def gradient(self):
        return -self.model.value_and_gradient(self.start, self.data)[1]

    def fit(self):
        return self.model.fit(self.data).twice_nll

    def q0(self):
        return self.model.test_statistic(0.0, self.data, "q0").value

    def hypotest(self):
        found = self.model.hypotest(1.0, self.data)
        return [found.observed, *found.expected]


class WootzLoss(Wootz):
    """q0 of Asimov data with its gradient by the signal, warm-started, as training asks for it."""

    name = "wootz (Asimov q0 + gradient)"

    def __init__(self, spec):
        super().__init__(spec)
        from wootz import _native

        model = self.model
        self.objective = _native.HistFactoryObjective(
            model._native, ["nominal"], False, "q0", 1.0, 0.05, 0.0, 0, None
        )
        self.nominal = model.template("nominal")
        self.options = {"mu": None, "init": None, "bounds": None, "fixed": None, "tolerance": 1e-10, "max_iterations": None}

    nll = gradient = fit = hypotest = None

    def q0(self):
        return self.objective.evaluate([self.nominal], self.options)["value"]


class NextStat(Stack):
    name = "NextStat"

    def __init__(self, spec):
        import nextstat

        self.ns = nextstat
        self.model = nextstat.from_pyhf(json.dumps(spec))
        self.start = list(self.model.suggested_init())
        # Its parameters have an order of their own.
        names = list(self.model.parameter_names())
        ours = wz.histfactory.load(spec).model().config.par_names
        self.order = [names.index(name) for name in ours] if sorted(names) == sorted(ours) else None
        self.mle = nextstat.MaximumLikelihoodEstimator()

    def nll(self):
        return self.model.nll(self.start)

    def gradient(self):
        gradient = np.array(self.model.grad_nll(self.start))
        return gradient if self.order is None else gradient[self.order]

    def fit(self):
        return 2 * self.mle.fit(self.model).nll

    q0 = None

    def hypotest(self):
        found = self.ns.hypotest(1.0, self.model, return_tail_probs=False)
        return [float(found)]


class Pyhf(Stack):
    backend = "numpy"

    def __init__(self, spec):
        import pyhf

        self.pyhf = pyhf
        self.enter()
        workspace = pyhf.Workspace(spec)
        self.model = workspace.model()
        self.data = pyhf.tensorlib.astensor(workspace.data(self.model))
        self.start = pyhf.tensorlib.astensor(self.model.config.suggested_init())
        if self.backend == "jax":
            import jax

            self._nll = jax.jit(lambda x: -self.model.logpdf(x, self.data)[0])
            self._gradient = jax.jit(jax.grad(lambda x: -self.model.logpdf(x, self.data)[0]))

    def enter(self):
        self.pyhf.set_backend(self.backend, self.pyhf.optimize.scipy_optimizer(maxiter=100_000))

    def nll(self):
        if self.backend == "jax":
            return float(self._nll(self.start))
        return -float(self.model.logpdf(self.start, self.data)[0])

    def fit(self):
        return float(self.pyhf.infer.mle.fit(self.data, self.model, return_fitted_val=True)[1])

    def q0(self):
        config = self.model.config
        q0 = self.pyhf.infer.test_statistics.q0
        return float(q0(0.0, self.data, self.model, config.suggested_init(), config.suggested_bounds(), config.suggested_fixed()))

    def hypotest(self):
        observed, band = self.pyhf.infer.hypotest(1.0, self.data, self.model, test_stat="qtilde", return_expected_set=True)
        return [float(observed), *map(float, band)]


class PyhfNumpy(Pyhf):
    name = "pyhf (NumPy)"
    gradient = None


class PyhfJax(Pyhf):
    name = "pyhf (JAX)"
    backend = "jax"

    def gradient(self):
        return np.asarray(self._gradient(self.start))


STACKS = (Wootz, WootzLoss, NextStat, PyhfNumpy, PyhfJax)
# What a peer's number may be off by, and still be called the same: NLL and gradient relative to their size; twice the NLL at a minimum, which may be
# lower; q0 and CLs absolute, as precise as optimisers with gradients by differences are.
ALLOWED = {"nll": 1e-7, "gradient": 1e-5, "fit": 1e-2, "q0": 5e-2, "hypotest": 5e-3}


def wrong(task, got, expected):
    """By how much a number is off, if that is too much. A constant of the density may be left out."""
    got, expected = np.atleast_1d(got), np.atleast_1d(expected)[: np.size(got)]
    scale = max(1.0, np.abs(expected).max()) if task in ("nll", "gradient") else 1.0
    off = float(np.abs(got - expected).max() / scale)
    return off if not off <= ALLOWED[task] else None


def timed(call, budget):
    """Seconds a call."""
    begin = time.perf_counter()
    calls = 0
    while True:
        call()
        calls += 1
        elapsed = time.perf_counter() - begin
        if elapsed >= budget:
            return elapsed / calls


def measure(name, rounds, budget, limit):
    spec = wz.histfactory.workload(name).to_dict()
    stacks, rows, slow = [], [], set()
    for kind in STACKS:
        try:
            begin = time.perf_counter()
            stacks.append(kind(spec))
            print(f"{name}: {kind.name} ready after {time.perf_counter() - begin:.3f} s", file=sys.stderr)
        except ImportError as error:
            print(f"{name}: {kind.name} is left out: {error}", file=sys.stderr)
    for task in TASKS:
        reference = getattr(stacks[0], task)()
        running = []
        for stack in stacks:
            call = getattr(stack, task)
            if call is None:
                continue
            if stack in slow:
                print(f"{name} {task}: {stack.name} is left out, as it takes too long", file=sys.stderr)
                continue
            try:
                stack.enter()
                begin = time.perf_counter()
                got = call()
                once = time.perf_counter() - begin
                if once > limit / 4:
                    slow.add(stack)
            except Exception as error:
                print(f"{name} {task}: {stack.name} fails: {type(error).__name__}: {error}", file=sys.stderr)
                continue
            off = None if isinstance(stack, WootzLoss) else wrong(task, got, reference)
            if stack not in slow:
                begin = time.perf_counter()
                call()
                once = time.perf_counter() - begin
            if off is not None:
                print(f"{name} {task}: {stack.name} is off by {off:.2e}; its time is not comparable", file=sys.stderr)
            running.append((stack, call, off, once))
        # What takes very long has been measured by that.
        times = {stack.name: [once] if stack in slow else [] for stack, _, _, once in running}
        end = time.perf_counter() + limit
        for turn in range(rounds):
            order = list(running)
            random.Random(turn).shuffle(order)
            for stack, call, _, once in order:
                if stack in slow:
                    continue
                stack.enter()
                # What takes long is measured fewer times.
                if once > budget and turn >= max(3, rounds * budget / once):
                    continue
                times[stack.name].append(timed(call, budget))
            if time.perf_counter() > end and turn >= 2:
                break
        ours = times["wootz"]
        for stack, _, off, _ in running:
            theirs = times[stack.name]
            ratio = statistics.median(t / o for t, o in zip(theirs, ours, strict=False))
            row = {"workload": name, "task": task, "stack": stack.name, "seconds": statistics.median(theirs)}
            rows.append(row | {"ratio": ratio, "rounds": len(theirs), "off": off})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", nargs="+", default=["complex-8p", "thu-like"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--budget", type=float, default=0.02, help="seconds a stack and round")
    parser.add_argument("--limit", type=float, default=20.0, help="seconds a task, about")
    parser.add_argument("--json", help="a file for the results")
    args = parser.parse_args()
    rows = [row for name in args.workloads for row in measure(name, args.rounds, args.budget, args.limit)]
    for row in rows:
        seconds = row["seconds"]
        unit, factor = next((u, f) for u, f in (("s", 1), ("ms", 1e3), ("µs", 1e6)) if seconds * f >= 1 or u == "µs")
        mark = "" if row["off"] is None else "  (not the same result)"
        line = f"{row['workload']:11} {row['task']:9} {row['stack']:28} {seconds * factor:9.3f} {unit:2}"
        print(f"{line}  {row['ratio']:9.2f}x wootz{mark}")
    if args.json:
        with open(args.json, "w") as file:
            json.dump(rows, file, indent=2)


if __name__ == "__main__":
    main()
