"""ONNX Runtime: inference through bound input and output buffers."""

from bench_protocol import Unsupported, dims, layers, load_numpy, training


def prepare(setup, marks):
    if training(setup):
        raise Unsupported("training is not supported by this stack")
    import onnx
    import onnxruntime

    marks.end("import")
    parameters = {file["name"]: load_numpy(file) for file in setup["parameters"]}
    x = load_numpy(setup["input"])
    marks.end("load")
    model = build(onnx, setup, parameters).SerializeToString()
    marks.end("build")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = setup["case"]["threads"]
    options.inter_op_num_threads = 1
    # Optimises the graph and packs the constant weights: ONNX Runtime does both here.
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    marks.end("compile")
    return Session(onnxruntime, onnx, session, x, dims(setup)[-1])


def build(onnx, setup, parameters):
    from onnx import TensorProto, helper, numpy_helper

    nodes, value, sizes = [], "x", dims(setup)
    names = list(parameters)
    for i in range(layers(setup)):
        last = i + 1 == layers(setup)
        result = "y" if last else f"h{i}"
        nodes.append(helper.make_node("Gemm", [value, names[2 * i], names[2 * i + 1]], [result], transB=1))
        if not last:
            nodes.append(helper.make_node("Relu", [result], [f"r{i}"]))
            result = f"r{i}"
        value = result
    batch = setup["case"]["batch"]
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, sizes[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, sizes[-1]])],
        [numpy_helper.from_array(array, name) for name, array in parameters.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


class Session:
    def __init__(self, onnxruntime, onnx, session, x, outputs):
        self.versions = {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__}
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
