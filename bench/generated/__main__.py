"""Generated source against hand-written code of the same framework: `python bench/generated jax transformer --mode training`.

Both sides are built from the same numbers, agree before anything is timed, and take turns: rounds of several calls each, the order
changing from round to round. The ratio of a round is the hand-written side's time over the generated one's; what is printed is the
median of the ratios with the interval that holds the true median with a probability of 95 %.
"""

import argparse
import importlib
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))


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
PARAMETER_TOLERANCE = 2e-3


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
    started = {name: np.asarray(value) for name, value in program.init(0).items()}
    last["state"] = program.state({**started, **params})

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
        off = np.abs(ours[name] - expected).max() / max(np.abs(expected).max(), 1.0)
        if not off <= tolerance:
            raise SystemExit(f"`{name}` is off by {off:.2e}, allowed {tolerance:.0e}: nothing is timed")


def interval(values):
    """The 95 % interval of the median, from order statistics (binomial, by its normal approximation)."""
    ordered, n = sorted(values), len(values)
    half = 0.98 * n**0.5
    low, high = int(np.floor(n / 2 - half)), int(np.ceil(n / 2 + half))
    return ordered[max(low, 0)], ordered[min(high, n - 1)]


def measure(sides, seconds, rounds):
    """Seconds a call of each side, round by round."""
    start = time.perf_counter()
    sides[0]()
    once = time.perf_counter() - start
    calls = max(1, min(10_000, int(seconds / rounds / 2 / max(once, 1e-7))))
    times = ([], [])
    for round_ in range(rounds):
        for i in (0, 1) if round_ % 2 == 0 else (1, 0):
            start = time.perf_counter()
            for _ in range(calls):
                sides[i]()
            times[i].append((time.perf_counter() - start) / calls)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("framework", choices=("jax", "torch"))
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--mode", choices=("inference", "training"), default="inference")
    parser.add_argument("--jit", action="store_true", help="torch.compile on both sides (JAX is always compiled)")
    parser.add_argument("--autodiff", choices=("wootz", "framework"))
    parser.add_argument("--seconds", type=float, default=20.0, help="about how long to measure")
    parser.add_argument("--rounds", type=int, default=31)
    args = parser.parse_args()
    import wootz as wz

    case, jit = CASES[args.case], args.jit or args.framework == "jax"
    inputs = numbers(case, np.random.default_rng(0))
    initial = wz.compile(model_of(case), {"x": inputs["x"]}).init(seed=0)
    params = {name: np.array(value) for name, value in initial.items()}
    options = {"autodiff": args.autodiff} if args.autodiff else {}
    program, ours, our_outputs = generated(args.framework, case, args.mode, params, inputs, jit, options)
    baselines = importlib.import_module(f"handwritten_{args.framework}")
    theirs, their_outputs = getattr(baselines, args.mode)(case, params, inputs, jit)
    first = []
    for side in (ours, theirs):
        start = time.perf_counter()
        side()
        first.append(time.perf_counter() - start)
    agree(our_outputs(), their_outputs())
    # Both once more: what a first call leaves to a second.
    ours(), theirs()
    mine, hand = measure((ours, theirs), args.seconds, args.rounds)
    ratios = [h / m for m, h in zip(mine, hand)]
    low, high = interval(ratios)
    what = f"{args.framework}{' compiled' if args.jit else ''} {args.case} {args.mode}"
    print(f"{what}: ratio {statistics.median(ratios):.3f} [{low:.3f}, {high:.3f}] over {args.rounds} rounds")
    print(f"  a call: generated {statistics.median(mine) * 1e3:.4f} ms, hand-written {statistics.median(hand) * 1e3:.4f} ms")
    stages = dict(program.stages)
    print(f"  first call: generated {first[0]:.3f} s, hand-written {first[1]:.3f} s; model to source {sum(stages.values()) * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
