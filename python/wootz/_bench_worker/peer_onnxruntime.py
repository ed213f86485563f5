"""ONNX Runtime: inference through bound input and output buffers.

The model is serialized here (protocol buffers, field numbers of onnx.proto3): the `onnx` package would do the same and
take most of the import time, which somebody who ships a model file does not pay either.
"""

from bench_protocol import Unsupported, dims, layers, load_numpy, training

# TensorProto.DataType.FLOAT, AttributeProto.AttributeType.INT
FLOAT, INT = 1, 2


def prepare(setup, marks):
    if training(setup):
        raise Unsupported("training is not supported by this stack")
    import onnxruntime

    marks.end("import")
    parameters = {file["name"]: load_numpy(file) for file in setup["parameters"]}
    x = load_numpy(setup["input"])
    marks.end("load")
    model = build(setup, parameters)
    marks.end("build")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = setup["case"]["threads"]
    options.inter_op_num_threads = 1
    # Optimises the graph and packs the constant weights: ONNX Runtime does both here.
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    marks.end("compile")
    return Session(onnxruntime, session, x, dims(setup)[-1])


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def integer(field, value):
    return varint(field << 3) + varint(value)


def message(field, *parts):
    """A length-delimited field: a string, bytes, or an embedded message made of `parts`."""
    body = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    return varint(field << 3 | 2) + varint(len(body)) + body


def node(operator, inputs, output, *attributes):
    values = [message(1, name) for name in inputs]
    return message(1, *values, message(2, output), message(4, operator), *attributes)


def tensor(name, array):
    shape = [integer(1, size) for size in array.shape]
    return message(5, *shape, integer(2, FLOAT), message(8, name), message(9, array.tobytes()))


def value_info(field, name, shape):
    sizes = message(2, *(message(1, integer(1, size)) for size in shape))
    return message(field, message(1, name), message(2, message(1, integer(1, FLOAT), sizes)))


def build(setup, parameters):
    """A serialized ModelProto: Gemm and Relu nodes, the parameters as initializers."""
    transposed = message(5, message(1, "transB"), integer(3, 1), integer(20, INT))
    names, sizes, batch = list(parameters), dims(setup), setup["case"]["batch"]
    parts, value = [], "x"
    for i in range(layers(setup)):
        last = i + 1 == layers(setup)
        linear = "y" if last else f"linear{i}"
        parts.append(node("Gemm", [value, names[2 * i], names[2 * i + 1]], linear, transposed))
        if not last:
            value = f"relu{i}"
            parts.append(node("Relu", [linear], value))
    parts.append(message(2, "model"))
    parts.extend(tensor(name, array) for name, array in parameters.items())
    parts.append(value_info(11, "x", [batch, sizes[0]]))
    parts.append(value_info(12, "y", [batch, sizes[-1]]))
    opset = message(8, message(1, ""), integer(2, 17))
    return integer(1, 8) + message(7, *parts) + opset


class Session:
    def __init__(self, onnxruntime, session, x, outputs):
        self.versions = {"onnxruntime": onnxruntime.__version__}
        self.session = session
        self.x = onnxruntime.OrtValue.ortvalue_from_numpy(x)
        self.y = onnxruntime.OrtValue.ortvalue_from_shape_and_type([x.shape[0], outputs], "float32")
        self.binding = session.io_binding()
        self.binding.bind_ortvalue_input("x", self.x)
        self.binding.bind_ortvalue_output("y", self.y)

    def step(self):
        self.session.run_with_iobinding(self.binding)

    def outputs(self):
        return {"output": self.y.numpy()}
