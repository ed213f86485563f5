"""Entry point: the phase `process_start` ends with the first statement below."""

import time

START_NS = time.clock_gettime_ns(time.CLOCK_MONOTONIC)

import os  # noqa: E402
import sys  # noqa: E402

# The modules of this folder have names that shadow nothing, so that both ways of running it find them and the stacks.
HERE = os.path.dirname(os.path.abspath(__file__))
if HERE not in sys.path:
    sys.path.insert(0, HERE)

from bench_protocol import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], START_NS))
