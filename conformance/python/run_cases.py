"""Runs generated sources: `run_cases.py FRAMEWORK FOLDER`.

Reads cases.jsonl and cases.bin in the folder, writes results.jsonl and results.bin. Arrays go in and out as NumPy's; 16-bit
brain floats, which NumPy lacks, as their bits.
"""

import contextlib
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


def read(tensors, entry):
    dtype = np.dtype(DTYPES[entry["dtype"]])
    count = int(np.prod(entry["dims"], dtype=np.int64))
    return (
        np.frombuffer(tensors, dtype, count, entry["at"]).reshape(entry["dims"]).copy()
    )


def run(case, framework, tensors):
    module = types.ModuleType("case")
    exec(compile(case["source"], "case.py", "exec"), module.__dict__)
    held, given = {}, []
    for entry in case["inputs"]:
        array = framework.take(read(tensors, entry["tensor"]), entry["tensor"]["dtype"])
        if entry["role"] == "input":
            given.append(array)
        else:
            held[entry["name"]] = array
    function = getattr(module, case["function"])
    results = function(held, *given) if case["held"] else function(*given)
    state, outputs = results if case["function"] == "step" else ({}, results)
    named = ((o["name"], o["held"]) for o in case["outputs"])
    return [
        framework.give(outputs[name] if key is None else state[key])
        for name, key in named
    ]


def main():
    name, folder = sys.argv[1], Path(sys.argv[2])
    framework = {"numpy": Numpy, "jax": Jax, "torch": Torch, "mlx": Mlx}[name]()
    tensors = (folder / "cases.bin").read_bytes()
    with (
        (folder / "cases.jsonl").open() as cases,
        (folder / "results.jsonl").open("w") as results,
        (folder / "results.bin").open("wb") as out,
    ):
        for line in cases:
            case = json.loads(line)
            try:
                with framework.around(case["wide"]):
                    outputs = run(case, framework, tensors)
                entries = []
                for dtype, array in outputs:
                    entries.append(
                        {"dtype": dtype, "dims": array.shape, "at": out.tell()}
                    )
                    out.write(np.ascontiguousarray(array).tobytes())
                results.write(json.dumps({"outputs": entries}) + "\n")
            except Exception as error:
                results.write(
                    json.dumps({"error": f"{type(error).__name__}: {error}"}) + "\n"
                )


if __name__ == "__main__":
    main()
