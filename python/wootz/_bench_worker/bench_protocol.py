"""The worker side of the protocol for Python stacks.

A stack is a module `peer_<name>` with `prepare(setup, marks) -> Session`: it imports its framework, loads, builds and
compiles, and calls `marks.end(phase)` as each phase ends. NumPy has been imported before, as a phase of its own. The session has `step()` (returns when the result is in
memory), `outputs() -> {name: array}` and `versions`.
"""

import importlib
import json
import os
import sys
import time
import traceback

VERSION = 1
PEERS = {
    "jax": "peer_jax",
    "numpy": "peer_numpy",
    "onnxruntime": "peer_onnxruntime",
    "pytorch": "peer_pytorch",
    "torch-compile": "peer_torch_compile",
    "wootz-python": "peer_wootz",
}


class Unsupported(Exception):
    """The stack cannot do this case at all."""


def now_ns():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


class Marks:
    """Ends of phases and, if asked for, their peak memory."""

    def __init__(self, measure_memory, start_ns):
        self.ends = []
        self.memory = []
        self._measure_memory = measure_memory
        self._end("process_start", start_ns)

    def end(self, phase):
        self._end(phase, now_ns())

    def _end(self, phase, end_ns):
        self.ends.append({"phase": phase, "end_ns": end_ns})
        if self._measure_memory:
            peak = peak_resident_bytes()
            if peak is not None:
                self.memory.append({"phase": phase, "peak_bytes": peak})
                reset_peak_resident()


def peak_resident_bytes():
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def reset_peak_resident():
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        # Later peaks then cover the earlier phases too, which is still an upper bound.
        pass


def limit_cpus(threads):
    """Holds the process to its first `threads` CPUs, whatever thread pool the stack has."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def dims(setup):
    return setup["case"]["model"]["dims"]


def layers(setup):
    return len(dims(setup)) - 1


def training(setup):
    return setup["case"]["mode"] == "training"


def cross_entropy(setup):
    return setup["case"]["model"]["loss"] == "cross_entropy"


def load_numpy(file):
    """The array of a tensor file."""
    import numpy as np

    dtype = {"f32": "<f4", "f64": "<f8", "i64": "<i8"}[file["dtype"]]
    return np.fromfile(file["path"], dtype=dtype).reshape(file["shape"])


class Server:
    # Of the outputs that are checked.
    dtype = "f32"

    def __init__(self, peer, start_ns):
        self.peer = peer
        self.start_ns = start_ns
        self.session = None
        self.marks = None

    def answer(self, request):
        kind = request["type"]
        if kind == "setup":
            return self.setup(request)
        if self.session is None:
            raise RuntimeError(f"{kind} came before a successful setup")
        if kind == "check":
            return {"type": "outputs", "outputs": self.write_outputs(request["directory"])}
        if kind == "run":
            return {"type": "samples", "samples_ns": self.run(request)}
        if kind == "memory":
            peak = peak_resident_bytes()
            last = [] if peak is None else [{"phase": "run", "peak_bytes": peak}]
            return {"type": "memory", "phases": self.marks.memory + last}
        raise RuntimeError(f"unknown request {kind!r}")

    def setup(self, setup):
        if setup["version"] != VERSION:
            raise RuntimeError(f"this worker speaks protocol {VERSION}, the orchestrator {setup['version']}")
        limit_cpus(setup["case"]["threads"])
        self.marks = Marks(setup["measure_memory"], self.start_ns)
        import numpy  # noqa: F401

        self.marks.end("import_numpy")
        module = importlib.import_module(PEERS[self.peer])
        self.session = module.prepare(setup, self.marks)
        # A stack that compiles inside its first call has made its first result already.
        if not getattr(self.session, "ran", False):
            self.session.step()
            self.marks.end("first_run")
        versions = {"python": sys.version.split()[0], **self.session.versions}
        return {"type": "ready", "version": VERSION, "versions": versions, "marks": self.marks.ends}

    def run(self, request):
        step = self.session.step
        # A session that is timed in part takes its times itself.
        measure = getattr(self.session, "measure", None)
        if measure is not None:
            return [measure(request["iterations"]) for _ in range(request["repeats"])]
        for _ in range(request["warmup"]):
            step()
        samples = []
        iterations = range(request["iterations"])
        for _ in range(request["repeats"]):
            start = now_ns()
            for _ in iterations:
                step()
            samples.append(now_ns() - start)
        return samples

    def write_outputs(self, directory):
        import numpy as np

        files = []
        for name, value in self.session.outputs().items():
            array = np.ascontiguousarray(value, dtype={"f32": "<f4", "f64": "<f8"}[self.dtype])
            path = os.path.join(directory, f"{name}.bin")
            array.tofile(path)
            files.append({"name": name, "dtype": self.dtype, "shape": list(np.shape(value)), "path": path})
        return files


def failure(error):
    if isinstance(error, Unsupported):
        kind, message = "unsupported", str(error)
    elif isinstance(error, ModuleNotFoundError):
        kind, message = "missing", f"the Python package {error.name!r} is not installed in {sys.prefix}"
    else:
        kind, message = "failed", f"{type(error).__name__}: {error}"
    return {"type": "error", "kind": kind, "message": message}


def main(arguments, start_ns):
    if len(arguments) != 1 or arguments[0] not in PEERS:
        print(f"usage: python -m wootz._bench_worker {{{','.join(sorted(PEERS))}}}", file=sys.stderr)
        return 2
    # Responses keep the real standard output to themselves; what a stack prints goes to standard error.
    responses = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    server = Server(arguments[0], start_ns)
    for line in sys.stdin:
        request = json.loads(line)
        if request["type"] == "shutdown":
            break
        try:
            response = server.answer(request)
        except Exception as error:
            if not isinstance(error, (Unsupported, ModuleNotFoundError)):
                traceback.print_exc()
            response = failure(error)
        responses.write(json.dumps(response) + "\n")
        responses.flush()
    return 0
