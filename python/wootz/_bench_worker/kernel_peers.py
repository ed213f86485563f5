"""Single operations of other stacks, for `wootz bench kernels`: `kernel_peers.py STACK`.

Speaks the suite's protocol; `setup` may come again, for the next operation. An operation is a function of NumPy inputs
that returns `(step, outputs)`: `step()` returns when the result is in memory, `outputs()` gives the first step's.
"""

import json
import os
import sys
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
if HERE not in sys.path:
    sys.path.insert(0, HERE)

from bench_protocol import Server, Unsupported, failure, limit_cpus, load_numpy, now_ns  # noqa: E402

EPSILON = 1e-5


def numpy_operations(_threads):
    import numpy as np

    def chain(x):
        y, size = np.empty_like(x), np.empty_like(x)

        def step():
            np.multiply(x, np.float32(1.5), out=y)
            np.add(y, np.float32(0.25), out=y)
            np.multiply(y, x, out=y)
            np.subtract(y, np.float32(0.5), out=y)
            np.maximum(y, np.float32(-1), out=y)
            np.minimum(y, np.float32(2), out=y)
            np.abs(x, out=size)
            np.multiply(y, size, out=y)
            np.add(y, x, out=y)
            np.subtract(y, np.float32(0.125), out=y)

        return step, lambda: {"output": y}

    return {"chain": chain}


def pytorch_operations(threads):
    import torch

    torch.set_num_threads(threads)

    def inference(compute):
        result = []

        def step():
            with torch.inference_mode():
                result[:] = [compute()]

        return step, lambda: {"output": result[0].numpy()}

    def softmax(x):
        x = torch.from_numpy(x)
        return inference(lambda: torch.softmax(x, -1))

    def layer_norm(x, weight, bias):
        x, weight, bias = map(torch.from_numpy, (x, weight, bias))
        return inference(lambda: torch.nn.functional.layer_norm(x, weight.shape, weight, bias, EPSILON))

    def adam(**form):
        def operation(*tensors):
            # Parameters, then their gradients.
            half = len(tensors) // 2
            parameters = [torch.from_numpy(p).requires_grad_() for p in tensors[:half]]
            for parameter, gradient in zip(parameters, tensors[half:], strict=True):
                parameter.grad = torch.from_numpy(gradient)
            optimizer = torch.optim.Adam(parameters, lr=1e-3, **form)
            outputs = {}

            def step():
                optimizer.step()
                if not outputs:
                    outputs.update((f"p{i}", p.detach().numpy().copy()) for i, p in enumerate(parameters))

            return step, lambda: outputs

        return operation

    return {
        "softmax": softmax,
        "layer_norm": layer_norm,
        "adam_fused": adam(fused=True),
        "adam_foreach": adam(foreach=True),
    }


def onnxruntime_operations(threads):
    import onnxruntime
    from peer_onnxruntime import integer, message, node, value_info

    def run(operator, *arrays):
        names = [f"x{i}" for i in range(len(arrays))]
        parts = [node(operator, names, "y"), message(2, "model")]
        parts += [value_info(11, name, array.shape) for name, array in zip(names, arrays, strict=True)]
        parts.append(value_info(12, "y", arrays[0].shape))
        model = integer(1, 8) + message(7, *parts) + message(8, message(1, ""), integer(2, 17))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        binding = session.io_binding()
        bound = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in arrays]
        for name, value in zip(names, bound, strict=True):
            binding.bind_ortvalue_input(name, value)
        y = onnxruntime.OrtValue.ortvalue_from_shape_and_type(arrays[0].shape, "float32")
        binding.bind_ortvalue_output("y", y)
        return lambda: session.run_with_iobinding(binding), lambda: {"output": y.numpy()}

    return {
        # Both normalise the last axis by default; the epsilon's default is 1e-5.
        "softmax": lambda x: run("Softmax", x),
        "layer_norm": lambda x, weight, bias: run("LayerNormalization", x, weight, bias),
    }


STACKS = {
    "numpy": numpy_operations,
    "onnxruntime": onnxruntime_operations,
    "pytorch": pytorch_operations,
}


class Session:
    def __init__(self, step, outputs):
        self.step, self.outputs = step, outputs


class OperationServer(Server):
    """Runs one operation after the other; `prepare(stack, setup)` gives a session and versions."""

    def __init__(self, stack, start_ns, prepare, dtype):
        super().__init__(stack, start_ns)
        self.prepare, self.dtype = prepare, dtype

    def setup(self, setup):
        # The threads are those of the process: one is started for each number of them.
        limit_cpus(setup["threads"])
        self.session, versions = self.prepare(self.peer, setup)
        self.session.step()
        ends = [{"phase": "process_start", "end_ns": self.start_ns}]
        return {"type": "ready", "version": setup["version"], "versions": versions, "marks": ends}


def prepare(stack, setup):
    if stack not in STACKS:
        raise Unsupported(f"no stack is called {stack!r}")
    operation = STACKS[stack](setup["threads"]).get(setup["operation"])
    if operation is None:
        raise Unsupported(f"{stack} has no operation {setup['operation']!r}")
    return Session(*operation(*[load_numpy(file) for file in setup["inputs"]])), {}


def serve(stack, prepare, dtype="f32"):
    # Responses keep the real standard output to themselves; what a stack prints goes to standard error.
    responses = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    server = OperationServer(stack, now_ns(), prepare, dtype)
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


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1], prepare))
