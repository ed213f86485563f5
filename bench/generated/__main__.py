"""Generated source against hand-written code of the same framework: `python bench/generated jax transformer --mode training`.

`--row` chooses what is compared: calls in their steady state, the framework's compile, memory of fresh processes; or what is a
figure of wootz's own: the time from a model to its source, and what a call of a program costs over its jitted function.

Both sides are built from the same numbers, agree before anything is timed, and take turns: rounds of several calls each, the order
changing from round to round. The ratio of a round is the hand-written side's time over the generated one's; what is printed is the
median of the ratios with the interval that holds the true median with a probability of 95 %. Where arrays lie in memory moves times by
a few per cent, and one side's arrays would change where the other's lie: in a steady row each side has a process of its own, and
the row is made of several such pairs.

`python bench/generated all --json FILE` measures every row of the table, each in a process of its own, and writes them to a file.
"""

import argparse
import datetime
import importlib
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from rounds import Served, bootstrap, interval, measure, serve, timed


@dataclass(frozen=True)
class Case:
    """A model: sizes of its layers, or (vocabulary, context, width, heads, layers) of a transformer."""

    kind: str
    sizes: tuple
    batch: int


CASES = {
    "linear": Case("perceptron", (1024, 1024), 32),
    "mlp": Case("perceptron", (784, 1024, 512, 256, 10), 32),
    "transformer": Case("transformer", (1024, 64, 512, 8, 6), 2),
}

# How far the two sides may be apart, relative to the largest number of a tensor: sums of float32 in another order, and for
# parameters AdamW's first steps, which divide by the size of a gradient.
OUTPUT_TOLERANCE = 1e-4
DENSITY_TOLERANCE = 1e-10
PARAMETER_TOLERANCE = 2e-3

# Processes of each side whose memory is looked at.
MEMORY_PROCESSES = 3


def numbers(case, rng):
    if case.kind == "transformer":
        vocabulary, context = case.sizes[:2]
        shape = (case.batch, context)
        return {name: rng.integers(0, vocabulary, shape) for name in ("x", "y")}
    x = rng.uniform(-1, 1, (case.batch, case.sizes[0])).astype(np.float32)
    return {"x": x, "y": rng.integers(0, case.sizes[-1], case.batch)}


def model_of(case):
    from wootz import nn

    if case.kind == "transformer":
        vocabulary, context, width, heads, layers = case.sizes
        return nn.transformer(vocabulary, context, width=width, heads=heads, layers=layers)
    return nn.Linear(*case.sizes) if len(case.sizes) == 2 else nn.mlp(list(case.sizes))


def generated(framework, case, mode, params, inputs, jit, options):
    """The generated side, as a user of wootz calls it."""
    import wootz as wz
    from wootz import nn

    model = model_of(case)
    if mode == "training":
        model = nn.training(model, loss=nn.cross_entropy, optimizer=nn.adamw(1e-3))
    else:
        inputs = {"x": inputs["x"]}
    program = wz.compile(model, inputs, backend=framework, jit=jit, **options)
    given = {name: program.framework.array(value) for name, value in inputs.items()}
    waits = framework == "jax"
    last = {}
    if mode == "inference":
        held = program.params(params)

        (name,) = program.outputs

        def infer():
            output = program(held, **given)[name]
            last["output"] = output.block_until_ready() if waits else output

        return program, infer, lambda: {"output": np.asarray(last["output"])}
    # Moments and the counter start from zero.
    dtypes = {"f32": np.float32, "i32": np.int32, "i64": np.int64, "u32": np.uint32}
    others = {name: spec for name, spec in program.held.items() if name not in params}
    zeros = {name: np.zeros(spec.shape, dtypes[repr(spec.dtype).removeprefix("wootz.")]) for name, spec in others.items()}
    last["state"] = program.state({**zeros, **params})

    def step():
        last["state"], out = program(last["state"], **given)
        last["loss"] = out["loss"].block_until_ready() if waits else out["loss"]

    def outputs():
        named = {name: np.asarray(last["state"][name]) for name in params}
        return {"loss": np.asarray(last["loss"]), **named}

    return program, step, outputs


def agree(ours, theirs):
    """Raises unless both sides have the same numbers."""
    assert ours.keys() == theirs.keys(), (ours.keys(), theirs.keys())
    for name, expected in theirs.items():
        tolerance = OUTPUT_TOLERANCE if name in ("output", "loss") else PARAMETER_TOLERANCE
        tolerance = DENSITY_TOLERANCE if name in ("value", "gradient") else tolerance
        off = np.abs(ours[name] - expected).max() / max(np.abs(expected).max(), 1.0)
        if not off <= tolerance:
            raise SystemExit(f"`{name}` is off by {off:.2e}, allowed {tolerance:.0e}: nothing is timed")


class Pair:
    """Both sides of a case: functions of no arguments, and what gives the numbers of their last calls."""

    def __init__(self, args):
        import wootz as wz

        self.jit = args.jit or args.framework == "jax"
        options = {"autodiff": args.autodiff} if args.autodiff else {}
        if args.stack_layers:
            options["stack_layers"] = True
        self.args, self.options = args, options
        self.baselines = lambda: importlib.import_module(f"handwritten_{args.framework}")
        if args.case == "histfactory":
            import analysis

            self.spec = analysis.workspace()
            self.model = wz.histfactory.load(self.spec).model()
            config = self.model.config
            order = [name.split("[")[0] for name in config.par_names]
            self.arrays = analysis.arrays(self.spec, order)
            self.point = np.asarray(config.suggested_init) + 0.05
            self.data = np.asarray([*self.spec["observations"][0]["data"], *config.auxdata], dtype=np.float64)
            return
        self.case = CASES[args.case]
        self.inputs = numbers(self.case, np.random.default_rng(0))
        initial = wz.compile(model_of(self.case), {"x": self.inputs["x"]}).init(seed=0)
        self.params = {name: np.array(value) for name, value in initial.items()}

    def ours(self):
        """The program, a call, its numbers."""
        args = self.args
        if args.case != "histfactory":
            return generated(args.framework, self.case, args.mode, self.params, self.inputs, self.jit, self.options)
        import wootz as wz

        program = wz.compile(self.model.graph("logpdf").grad(0, [0]), {}, backend=args.framework, jit=self.jit)
        point, data = (program.framework.array(value) for value in (self.point, self.data))
        given = dict(zip(program.inputs, (point, data)))
        value, gradient = program.outputs
        last = {}

        def run():
            out = program(**given)
            last["value"], last["gradient"] = out[value], out[gradient]
            if args.framework == "jax":
                last["gradient"].block_until_ready()

        return program, run, lambda: {name: np.asarray(value) for name, value in last.items()}

    def theirs(self):
        if self.args.case != "histfactory":
            return getattr(self.baselines(), self.args.mode)(self.case, self.params, self.inputs, self.jit)
        jit = {} if self.args.framework == "jax" else {"jit": self.jit}
        return self.baselines().density(self.arrays, self.point, self.data, **jit)


def steady(pair, args):
    """Calls of both sides in turn, each side in a process of its own, in several pairs of processes."""
    found = []
    for i in range(args.processes):
        order = ("ours", "theirs") if i % 2 == 0 else ("theirs", "ours")
        with tempfile.TemporaryDirectory() as folder, Served(order[0], folder) as first, Served(order[1], folder) as second:
            sides = dict(zip(order, (first, second)))
            agree(sides["ours"].ready(), sides["theirs"].ready())
            in_turn = [sides[side].seconds for side in ("ours", "theirs")]
            found.append(measure(in_turn, args.seconds / args.processes, args.rounds))
    of_processes = [[h / m for m, h in zip(*times)] for times in found]
    row = report(args, of_processes)
    mine, hand = (statistics.median(time for times in found for time in times[side]) for side in (0, 1))
    print(f"  a call: generated {mine * 1e3:.4f} ms, hand-written {hand * 1e3:.4f} ms")
    medians = [statistics.median(ratios) for ratios in of_processes]
    print(f"  of each pair of processes: {', '.join(f'{ratio:.3f}' for ratio in medians)}")
    return {**row, "processes": medians, "generated_s": mine, "handwritten_s": hand}


def compiling(pair, args):
    """First calls after the framework has forgotten what it compiled, in turn: trace, compile and one run."""
    framework = importlib.import_module(args.framework)
    forget = framework.clear_caches if args.framework == "jax" else framework.compiler.reset
    (_, ours, our_outputs), (theirs, their_outputs) = pair.ours(), pair.theirs()
    times = ([], [])
    for round_ in range(args.rounds):
        for i in (0, 1) if round_ % 2 == 0 else (1, 0):
            forget()
            start = time.perf_counter()
            (ours, theirs)[i]()
            times[i].append(time.perf_counter() - start)
    if args.mode == "inference":
        agree(our_outputs(), their_outputs())
    row = report(args, [[h / m for m, h in zip(*times)]])
    mine, hand = (statistics.median(side) for side in times)
    print(f"  first call: generated {mine:.3f} s, hand-written {hand:.3f} s ({mine / hand:.2f} of it)")
    return {**row, "generated_s": mine, "handwritten_s": hand}


def source(pair, args):
    """Wootz's own time, from the traced model to the loaded source."""
    totals = []
    for _ in range(args.rounds):
        program, call, _ = pair.ours()
        totals.append(sum(seconds for _, seconds in program.stages))
    start = time.perf_counter()
    call()
    first = time.perf_counter() - start
    median = statistics.median(totals)
    print(f"{title(args)}: {median * 1e3:.2f} ms, the first {totals[0] * 1e3:.2f} ms, {median / first:.2%} of the framework's first call")
    return {"source_s": median, "first_source_s": totals[0], "of_first_call": median / first}


# Small models, whose calls cost little beside what is around them.
SMALL = {
    "linear": Case("perceptron", (4, 4), 1),
    "mlp": Case("perceptron", (4, 4, 4, 4, 4), 1),
    "transformer": Case("transformer", (8, 4, 8, 2, 2), 1),
}
# Calls of a side in one go: what is entered once for all of them weighs little.
CALLS = 20


def overhead(pair, args):
    """A call of a small program less a call of the module's own function, in what that needs around it, such as 64-bit types."""
    import wootz as wz
    from wootz import nn

    options = {**pair.options, **({"device": args.device} if args.device else {})}
    if args.case == "histfactory":
        model = wz.histfactory.workload("simple").model()
        definition, shapes = model.graph("logpdf").grad(0, [0]), {}
        point = np.asarray(model.config.suggested_init)
        given = [point, np.asarray(model.expected_data(point))]
    else:
        case = SMALL[args.case]
        definition, shapes = model_of(case), numbers(case, np.random.default_rng(0))
        if args.mode == "training":
            definition = nn.training(definition, loss=nn.cross_entropy, optimizer=nn.adamw(1e-3))
        else:
            del shapes["y"]
        given = list(shapes.values())
    program = wz.compile(definition, shapes, backend=args.framework, jit=pair.jit, **options)
    function = getattr(program.module, program._generated.function)
    given = {name: program.framework.array(value) for name, value in zip(program.inputs, given)}
    arrays = list(given.values())
    if program.updates:
        states = [program.init(0), dict(program.init(0)._held())]

        def whole():
            for _ in range(CALLS):
                states[0], _out = program(states[0], **given)

        def inner():
            with program.framework.around(program._generated.wide):
                for _ in range(CALLS):
                    states[1], _out = function(states[1], *arrays)
    else:
        held = [program.init(0)] if program.held else []

        def whole():
            for _ in range(CALLS):
                program(*held, **given)

        def inner():
            with program.framework.around(program._generated.wide):
                for _ in range(CALLS):
                    function(*held, *arrays)

    for side in (whole, inner) * 2:
        side()
    sides = [timed(side) for side in (whole, inner)]
    times = [[seconds / CALLS for seconds in side] for side in measure(sides, args.seconds, args.rounds)]
    extra = [(w - i) * 1e6 for w, i in zip(*times)]
    low, high = interval(extra)
    allowed = 1 + 0.05 * len(program.held)
    over = f"over {statistics.median(times[1]) * 1e6:.2f} us, {allowed:.2f} us allowed"
    print(f"{title(args)}: {statistics.median(extra):.2f} us [{low:.2f}, {high:.2f}] {over}")
    return {"overhead_us": statistics.median(extra), "low_us": low, "high_us": high, "allowed_us": allowed}


def memory(pair, args):
    """The largest resident memory of fresh processes, each with one side alone: the median of several, the sides in turn."""
    sides = {"ours": [], "theirs": []}
    for _ in range(MEMORY_PROCESSES):
        for side, found in sides.items():
            command = [sys.executable, *sys.argv, "--only", side]
            found.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    row = {}
    for phase in sides["ours"][0]:
        mine, hand = (statistics.median(peaks[phase] for peaks in found) for found in sides.values())
        print(f"{title(args)}, {phase}: {mine / hand:.3f} of hand-written ({mine / 1024:.0f} and {hand / 1024:.0f} MiB)")
        row[phase] = {"of_handwritten": mine / hand, "generated_kib": mine, "handwritten_kib": hand}
    return row


def alone(pair, args):
    """One side: its largest memory, in KiB, up to the end of each phase; or calls when told to."""
    run, outputs = pair.ours()[1:] if args.only == "ours" else pair.theirs()
    if args.serve:
        return serve(run, outputs, args.serve)
    peaks = {}
    for phase, calls in (("compile", 1), (args.mode, 20)):
        for _ in range(calls):
            run()
        peaks[phase] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(peaks))


ROWS = {"steady": steady, "compile": compiling, "source": source, "overhead": overhead, "memory": memory}


def title(args):
    words = [args.framework, "compiled" * args.jit, args.case, args.mode, "stacked" * args.stack_layers, args.row]
    words += [f"{args.autodiff}'s derivatives" if args.autodiff else "", f"on {args.device}" if args.device else ""]
    return " ".join(word for word in words if word)


def report(args, groups):
    """The median ratio, of the rounds of each group of processes."""
    median = statistics.median(statistics.median(ratios) for ratios in groups)
    low, high = bootstrap(groups) if len(groups) > 1 else interval(groups[0])
    rounds = sum(map(len, groups))
    print(f"{title(args)}: ratio {median:.3f} [{low:.3f}, {high:.3f}] over {rounds} rounds")
    return {"ratio": median, "low": low, "high": high, "rounds": rounds}


MODES = ("inference", "training")


def table():
    """The command lines of every row."""
    for framework, *jit in (("jax",), ("torch",), ("torch", "--jit")):
        for case in CASES:
            yield from ([framework, case, "--mode", mode, *jit] for mode in MODES)
        yield [framework, "histfactory", *jit]
        for words in (["mlp"], ["mlp", "--mode", "training"], ["mlp", "--device", "cpu"], ["transformer"], ["histfactory"]):
            yield [framework, *words, "--row", "overhead", *jit, "--seconds", "4"]
        for case in ("mlp", "transformer"):
            # Both, so that the default is seen to be the faster one.
            for autodiff in ("wootz", "framework"):
                yield [framework, case, "--mode", "training", *jit, "--autodiff", autodiff]
        if framework == "torch":
            yield [framework, "histfactory", "--row", "source", *jit, "--rounds", "9"]
            yield [framework, "histfactory", "--row", "memory", *jit]
    for framework in ("jax", "torch"):
        for case in ("linear", "mlp", "transformer"):
            yield from ([framework, case, "--mode", mode, "--row", "memory"] for mode in MODES)
        yield from ([framework, "transformer", "--mode", mode, "--row", "source", "--rounds", "9"] for mode in MODES)
    yield ["jax", "histfactory", "--row", "source", "--rounds", "9"]
    yield ["jax", "histfactory", "--row", "memory"]
    for case in ("linear", "mlp", "transformer"):
        yield from (["torch", case, "--mode", mode, "--jit", "--row", "memory"] for mode in MODES)
    yield from (["torch", "transformer", "--mode", mode, "--jit", "--row", "source", "--rounds", "9"] for mode in MODES)
    yield ["jax", "histfactory", "--row", "compile", "--rounds", "7"]
    for case in ("linear", "mlp", "transformer"):
        yield from (["jax", case, "--mode", mode, "--row", "compile", "--rounds", "7"] for mode in MODES)
    yield ["jax", "transformer", "--mode", "training", "--row", "compile", "--stack-layers", "--rounds", "7"]


def everything(args):
    """Every row, a process each."""
    rows, failed = [], []
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "row.json"
        wanted = [words for words in table() if not args.rows or " ".join(words) in args.rows]
        for i, words in enumerate(wanted):
            name = " ".join(words)
            print(f"[{i + 1}/{len(wanted)}] {name}", file=sys.stderr, flush=True)
            defaults = [] if "--seconds" in words else ["--seconds", str(args.seconds)]
            command = [sys.executable, str(Path(__file__).parent), *words, *defaults, "--json", str(out)]
            command += ["--processes", str(args.processes)]
            try:
                subprocess.run(command, check=True, timeout=args.limit)
            except subprocess.SubprocessError as error:
                print(f"{name}: {error}", file=sys.stderr)
                failed.append(name)
            else:
                rows.append(json.loads(out.read_text()))
            keep(args, start, rows, failed)
    if failed:
        raise SystemExit(f"no figures of: {'; '.join(failed)}")


def keep(args, start, rows, failed):
    """Writes what is known so far: a run that is stopped has lost no row."""
    if not args.json:
        return
    versions = {name: importlib.metadata.version(name) for name in ("wootz", "numpy", "jax", "jaxlib", "torch")}
    report = {
        "command": "python bench/generated all",
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": {"processor": processor(), "cpus": len(os.sched_getaffinity(0)), "system": platform.platform()},
        "python": platform.python_version(),
        "versions": versions,
        "seconds": round(time.perf_counter() - start),
        "rows": rows,
        "failed": failed,
    }
    Path(args.json).write_text(json.dumps(report, indent=1) + "\n")


def processor():
    """The processor's name, where the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("framework", choices=("jax", "torch", "all"))
    parser.add_argument("case", nargs="?", choices=(*CASES, "histfactory"))
    parser.add_argument("--row", choices=ROWS, default="steady")
    parser.add_argument("--mode", choices=MODES, default="inference")
    parser.add_argument("--jit", action="store_true", help="torch.compile on both sides (JAX is always compiled)")
    parser.add_argument("--autodiff", choices=("wootz", "framework"))
    parser.add_argument("--device", help="of an overhead row, the device that the program is compiled for")
    parser.add_argument("--stack-layers", action="store_true", help="the generated side's equal layers as one scan")
    parser.add_argument("--seconds", type=float, default=12.0, help="about how long to measure a row")
    parser.add_argument("--json", help="the file to write what was measured to")
    parser.add_argument("--rows", nargs="*", help='of `all`, these rows only: "jax mlp --mode training"')
    parser.add_argument("--limit", type=float, default=900.0, help="of `all`, the seconds after which a row is given up")
    parser.add_argument("--rounds", type=int, default=31, help="of a pair of processes")
    parser.add_argument("--processes", type=int, default=5, help="pairs of processes of a steady row")
    parser.add_argument("--only", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.framework == "all":
        return everything(args)
    if args.case is None:
        parser.error("which case?")
    pair = Pair(args)
    if args.only:
        return alone(pair, args)
    measured = ROWS[args.row](pair, args)
    if args.json:
        what = {"framework": args.framework, "compiled": pair.jit, "case": args.case, "mode": args.mode, "row": args.row}
        how = {"autodiff": args.autodiff or "default", "stack_layers": args.stack_layers, "device": args.device}
        Path(args.json).write_text(json.dumps({"name": title(args), **what, **how, **measured}) + "\n")


if __name__ == "__main__":
    main()
