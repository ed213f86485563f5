"""Rounds of calls of two sides in turn, the sides in processes of their own, and what their ratios say."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np


def interval(values):
    """The 95 % interval of the median, from order statistics (binomial, by its normal approximation)."""
    ordered, n = sorted(values), len(values)
    half = 0.98 * n**0.5
    low, high = int(np.floor(n / 2 - half)), int(np.ceil(n / 2 + half))
    return ordered[max(low, 0)], ordered[min(high, n - 1)]


def bootstrap(groups, resamples=2000):
    """The 95 % interval of the median of the groups' medians: groups drawn with replacement, and then values of each."""
    rng = np.random.default_rng(0)
    values = np.array(groups)
    chosen = values[rng.integers(0, len(values), (resamples, len(values)))]
    drawn = np.take_along_axis(chosen, rng.integers(0, values.shape[1], chosen.shape), axis=2)
    medians = np.median(np.median(drawn, axis=2), axis=1)
    return tuple(float(bound) for bound in np.percentile(medians, (2.5, 97.5)))


def timed(call):
    """Seconds a call, of so many calls."""

    def seconds(calls):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return (time.perf_counter() - start) / calls

    return seconds


def measure(sides, seconds, rounds):
    """Seconds a call of each side, round by round; a side gives the seconds a call of so many calls."""
    calls = max(1, min(10_000, int(seconds / rounds / 2 / max(sides[0](1), 1e-7))))
    times = ([], [])
    for round_ in range(rounds):
        for i in (0, 1) if round_ % 2 == 0 else (1, 0):
            times[i].append(sides[i](calls))
    return times


# The other side's threads look for work for some milliseconds after their last.
REST = 0.03


class Served:
    """One side in a process of its own, which makes calls when it is told to."""

    def __init__(self, side, folder):
        self.numbers = Path(folder) / f"{side}.npz"
        command = [sys.executable, *sys.argv, "--only", side, "--serve", str(self.numbers)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def ready(self):
        """Waits until its first calls are made; their numbers."""
        if self.process.stdout.readline() != "ready\n":
            raise SystemExit("a side was not built: see above")
        with np.load(self.numbers) as numbers:
            return dict(numbers)

    def seconds(self, calls):
        """Seconds a call."""
        time.sleep(REST)
        self.process.stdin.write(f"{calls}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline()) / calls


def serve(run, outputs, numbers):
    """The other end of `Served`."""
    run()
    np.savez(numbers, **outputs())
    # Once more: what a first call leaves to a second.
    run()
    print("ready", flush=True)
    for line in sys.stdin:
        # Brings what the side reads back into the caches.
        run()
        start = time.perf_counter()
        for _ in range(int(line)):
            run()
        print(time.perf_counter() - start, flush=True)
