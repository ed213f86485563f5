"""Runs generated sources: `run_cases.py FRAMEWORK TENSORS FOLDER`.

Reads cases.jsonl in the folder, whose arguments are in the file of tensors; writes results.jsonl and results.bin. Arrays go in
and out as NumPy's; 16-bit brain floats, which NumPy lacks, as their bits.
"""

import contextlib
import itertools
import json
import sys
import types
from pathlib import Path

import numpy as np

DTYPES = {
    "bool": np.bool_,
    "u8": np.uint8,
    "u32": np.uint32,
    "i32": np.int32,
    "i64": np.int64,
    "f16": np.float16,
    "bf16": np.uint16,
    "f32": np.float32,
    "f64": np.float64,
}


class Numpy:
    """Arrays as they are."""

    # How many sources run as one.
    batch = 1

    def run(self, functions, arguments):
        """The results of each function for each of its arguments."""
        return [[f(*given) for given in a] for f, a in zip(functions, arguments)]

    def take(self, array, dtype):
        return array

    def give(self, array):
        array = np.asarray(array)
        names = [
            name
            for name, dtype in DTYPES.items()
            if dtype == array.dtype and name != "bf16"
        ]
        return names[0] if names else str(array.dtype), array

    def around(self, wide):
        return np.errstate(all="ignore")


class Jax(Numpy):
    # XLA takes less time over one large program than over many small ones.
    batch = 96

    def run(self, functions, arguments):
        import jax

        every = jax.jit(lambda given: [f(*x) for f, x in zip(functions, given)])
        rounds = max(map(len, arguments))
        # Those that have no more arguments take their last ones again.
        filled = [a + a[-1:] * (rounds - len(a)) for a in arguments]
        results = zip(*[every(list(given)) for given in zip(*filled)])
        return [list(r)[: len(a)] for r, a in zip(results, arguments)]

    def take(self, array, dtype):
        import jax.numpy as jnp

        return jnp.asarray(array.view(jnp.bfloat16) if dtype == "bf16" else array)

    def give(self, array):
        if str(array.dtype) == "bfloat16":
            return "bf16", np.asarray(array).view(np.uint16)
        return super().give(array)

    def around(self, wide):
        import jax

        return jax.enable_x64(wide)

    def vjp(self, function, values, cotangents):
        import jax

        return jax.vjp(function, *values)[1](cotangents)


class Torch(Numpy):
    def take(self, array, dtype):
        import torch

        tensor = torch.from_numpy(array.copy())
        return tensor.view(torch.bfloat16) if dtype == "bf16" else tensor

    def give(self, tensor):
        import torch

        if tensor.dtype == torch.bfloat16:
            return "bf16", tensor.contiguous().view(torch.uint16).numpy()
        return super().give(tensor.numpy())

    def around(self, wide):
        import torch

        return torch.no_grad()

    def vjp(self, function, values, cotangents):
        import torch

        with torch.enable_grad():
            values = [value.requires_grad_() for value in values]
            results = zip(function(*values), cotangents)
            results = [(r, ct) for r, ct in results if r.requires_grad]
            if not results:
                return [torch.zeros_like(value) for value in values]
            results, cotangents = zip(*results)
            return torch.autograd.grad(
                results, values, cotangents, materialize_grads=True
            )


class Mlx(Numpy):
    def take(self, array, dtype):
        import mlx.core as mx

        out = mx.array(array)
        return out.view(mx.bfloat16) if dtype == "bf16" else out

    def give(self, array):
        import mlx.core as mx

        if array.dtype == mx.bfloat16:
            return "bf16", np.array(array.view(mx.uint16))
        return super().give(np.array(array))

    def around(self, wide):
        return contextlib.nullcontext()

    def vjp(self, function, values, cotangents):
        import mlx.core as mx

        return mx.vjp(function, values, cotangents)[1]


def read(tensors, entry):
    dtype = np.dtype(DTYPES[entry["dtype"]])
    count = int(np.prod(entry["dims"], dtype=np.int64))
    return (
        np.frombuffer(tensors, dtype, count, entry["at"]).reshape(entry["dims"]).copy()
    )


def function(case, framework):
    """The function of a source, or its derivative by the framework."""
    module = types.ModuleType("case")
    exec(compile(case["source"], "case.py", "exec"), module.__dict__)
    written = getattr(module, case["function"])
    if "derivative" not in case:
        return written
    derivative = case["derivative"]
    wrt, count = derivative["wrt"], derivative["given"]

    def differentiated(*arguments):
        given, cotangents = list(arguments[:count]), list(arguments[count:])

        def chosen(*values):
            """The outputs that have a cotangent, of the inputs by which they are differentiated."""
            for at, value in zip(wrt, values):
                given[at] = value
            results = written(*given)
            return [results[name] for name in derivative["outputs"]]

        results = written(*given)
        slopes = framework.vjp(chosen, [given[at] for at in wrt], cotangents)
        return {**results, **dict(zip(derivative["gradients"], slopes))}

    return differentiated


def arguments(case, framework, tensors):
    """What the function is called with."""
    held, given = {}, []
    for entry in case["inputs"]:
        array = framework.take(read(tensors, entry["tensor"]), entry["tensor"]["dtype"])
        if entry["role"] == "input":
            given.append(array)
        else:
            held[entry["name"]] = array
    return (held, *given) if case["held"] else tuple(given)


def named(case, results, framework):
    """The results in order, as NumPy has them."""
    state, outputs = results if case["function"] == "step" else ({}, results)
    pairs = ((o["name"], o.get("held")) for o in case["outputs"])
    return [
        framework.give(outputs[name] if key is None else state[key])
        for name, key in pairs
    ]


def run(group, framework, tensors):
    """Results of each case of some sources, or what went wrong."""
    try:
        with framework.around(group[0][0]["wide"]):
            functions = [function(cases[0], framework) for cases in group]
            given = [[arguments(c, framework, tensors) for c in cases] for cases in group]
            results = framework.run(functions, given)
            return [
                named(case, result, framework)
                for cases, of_cases in zip(group, results)
                for case, result in zip(cases, of_cases)
            ]
    except Exception as error:
        if len(group) > 1:
            return [r for cases in group for r in run([cases], framework, tensors)]
        if len(group[0]) > 1:
            return [r for case in group[0] for r in run([[case]], framework, tensors)]
        return [f"{type(error).__name__}: {error}"]


def batches(cases, size):
    """The cases of each source, in groups of sources that follow each other and agree about 64-bit types."""
    for _, alike in itertools.groupby(cases, key=lambda case: case["wide"]):
        sources = itertools.groupby(
            alike, key=lambda case: (case["source"], case.get("derivative"))
        )
        of_source = (list(cases) for _, cases in sources)
        while batch := list(itertools.islice(of_source, size)):
            yield batch


def main():
    name, folder = sys.argv[1], Path(sys.argv[3])
    framework = {"numpy": Numpy, "jax": Jax, "torch": Torch, "mlx": Mlx}[name]()
    tensors = Path(sys.argv[2]).read_bytes()
    with (
        (folder / "cases.jsonl").open() as cases,
        # Not held back: a framework that crashes must not take the results before along.
        (folder / "results.jsonl").open("w", buffering=1) as lines,
        (folder / "results.bin").open("wb", buffering=0) as out,
    ):
        for batch in batches(map(json.loads, cases), framework.batch):
            for result in run(batch, framework, tensors):
                if isinstance(result, str):
                    lines.write(json.dumps({"error": result}) + "\n")
                    continue
                entries = []
                for dtype, array in result:
                    entries.append(
                        {"dtype": dtype, "dims": array.shape, "at": out.tell()}
                    )
                    out.write(np.ascontiguousarray(array).tobytes())
                lines.write(json.dumps({"outputs": entries}) + "\n")


if __name__ == "__main__":
    main()
