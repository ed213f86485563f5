"""Programs as StableHLO text: XLA's compiler takes the text alone and gives the program's numbers."""

import frameworks
import numpy as np
import pytest
import wootz as wz
from wootz import nn

pytestmark = [pytest.mark.frameworks, pytest.mark.skipif("jax" not in frameworks.INSTALLED, reason="JAX is not installed")]

MODEL = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 3))
INPUTS = {"x": wz.f32[4, 6]}
TRANSFORMER = nn.transformer(50, 8, width=16, heads=2, layers=2)
TOKENS = np.random.default_rng(0).integers(0, 50, (2, 8))


def test_stablehlo():
    inference = wz.compile(MODEL, INPUTS, backend="jax").stablehlo()
    assert "module @jit_forward" in inference
    assert inference.count("stablehlo.dot_general") == 2
    step = nn.training(nn.Linear(6, 3), loss=nn.cross_entropy, optimizer=nn.sgd(0.1))
    text = wz.compile(step, {"x": wz.f32[4, 6], "y": wz.i64[4]}, backend="jax", jit=False).stablehlo()
    assert "tensor<4xi64>" in text
    with pytest.raises(wz.BackendError, match='backend="jax", not "numpy"'):
        wz.compile(MODEL, INPUTS, backend="numpy").stablehlo()


def doubled_until(x, bound):
    return wz.while_loop(lambda x: wz.max(x) < bound, lambda x: x * 2, x)


class Compiled:
    """A text as XLA compiles it for the CPU."""

    def __init__(self, text):
        import jax
        from jaxlib import xla_client

        (device, *_) = jax.devices("cpu")
        self.executable = device.client.compile_and_load(text.encode(), xla_client.DeviceList((device,)), xla_client.CompileOptions())

    def __call__(self, *arrays):
        import jax

        with jax.enable_x64(True):
            # Copies: a step's memory is donated.
            arrays = [jax.numpy.array(x, copy=True) for x in arrays]
            outputs = self.executable.execute_sharded(arrays).disassemble_into_single_device_arrays()
        return [np.asarray(shards[0]) for shards in outputs]


def leaves(tree):
    """In the order in which JAX flattens: dicts by their sorted names."""
    if isinstance(tree, dict):
        return [leaf for name in sorted(tree) for leaf in leaves(tree[name])]
    return [leaf for item in tree for leaf in leaves(item)] if isinstance(tree, (tuple, list)) else [tree]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for got, wanted in zip(found, expected, strict=True):
        wanted = np.asarray(wanted)
        assert got.dtype == wanted.dtype
        # The same compiler on the same program, which it may yet fuse in another way.
        rtol = 1e-12 if got.dtype == np.float64 else 1e-6
        np.testing.assert_allclose(got, wanted, rtol=rtol, atol=rtol * max(np.abs(wanted).max(initial=0.0), 1e-3))


@pytest.mark.parametrize("options", [{}, {"stack_layers": True}], ids=["as it is", "stacked"])
def test_a_model(options):
    program = wz.compile(TRANSFORMER, {"x": TOKENS}, backend="jax", **options)
    text = program.stablehlo()
    assert "stablehlo.dot_general" in text and "tensor<2x8x50xf32>" in text
    assert ("stablehlo.while" in text) == bool(options)
    params = program.params(program.init(0))
    assert_same(Compiled(text)(*leaves(params), TOKENS), list(program(params, x=TOKENS).values()))


@pytest.mark.parametrize("options", [{}, {"stack_layers": True}], ids=["wootz's derivatives", "stacked, JAX's"])
def test_a_training_step(options):
    step = nn.training(TRANSFORMER, loss=nn.cross_entropy, optimizer=nn.adamw(1e-3))
    given = {"x": TOKENS, "y": TOKENS[:, ::-1].copy()}
    program = wz.compile(step, given, backend="jax", **options)
    text = program.stablehlo()
    assert "tf.aliasing_output" in text and "tensor<2x8xi64>" in text
    compiled, state = Compiled(text), program.init(0)
    held = {name: np.array(value) for name, value in state._held().items()}
    found = compiled(*leaves(held), given["x"], given["y"])
    state, out = program(state, **given)
    assert_same(found, leaves([state._held(), out]))
    # And a second step from what the first one gave.
    found = compiled(*found[: len(held)], given["x"], given["y"])
    state, out = program(state, **given)
    assert_same(found, leaves([state._held(), out]))


@wz.custom_vjp
def rounded(x):
    return wz.floor(x)


rounded.defvjp(lambda x: (wz.floor(x), x), lambda x, g: (g * x,))


def test_loops_and_derivatives_of_ones_own():
    x = np.array([0.5, 1.5, -2.5], np.float32)
    program = wz.compile(doubled_until, {"x": wz.f32[3], "bound": wz.f32}, backend="jax")
    text = program.stablehlo()
    assert "stablehlo.while" in text
    assert_same(Compiled(text)(x, np.float32(9)), [np.float32([4, 12, -20])])
    gradient = wz.compile(lambda x: wz.grad(lambda x: (rounded(x) * x).sum())(x), {"x": wz.f32[3]}, backend="jax")
    assert_same(Compiled(gradient.stablehlo())(x), [np.floor(x) + x * x])


@pytest.mark.parametrize("what", ["logpdf", "fit", "q0"])
def test_histfactory(what):
    """Densities, fits and test statistics with their derivatives."""
    workspace = wz.histfactory.workload("simple")
    model = workspace.model()
    data, config = np.asarray(workspace.data(model)), model.config
    if what == "q0":
        graph, given = model.test_statistic_graph("q0").grad(0, [0, 1]), [np.array(0.0), data * 1.1]
    elif what == "fit":
        graph = model.graph("fit")
        given = [config.suggested_init, data, 1.0 - config.suggested_fixed, *config.suggested_bounds.T, np.array(1e-10)]
    else:
        graph, given = model.graph("logpdf").grad(0, [0]), [config.suggested_init, data]
    program = wz.compile(graph, {}, backend="jax")
    text = program.stablehlo()
    assert ("stablehlo.while" in text) == (what != "logpdf")
    results = dict(zip(program.outputs, program.positional(given), strict=True))
    assert_same(Compiled(text)(*given), leaves(results))
    native = wz.compile(graph, {})
    for name, value in native(**dict(zip(native.inputs, given, strict=True))).items():
        np.testing.assert_allclose(np.asarray(results[name], float), np.asarray(value, float), rtol=1e-8, atol=1e-8, err_msg=name)
