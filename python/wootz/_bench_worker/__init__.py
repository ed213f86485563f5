"""Workers that run other stacks for the benchmark suite, one file a stack; `docs/bench-protocol.md` describes them.

Runs as `python -m wootz._bench_worker <peer>` or, without the wootz package, as `python path/to/_bench_worker <peer>`.
"""
