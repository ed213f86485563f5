"""Programs inside PyTorch and JAX."""

import copy
import importlib.util

import numpy as np
import pytest
import wootz as wz
from wootz import nn

MODEL = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 3))
INPUTS = {"x": wz.f32[4, 6]}
X = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)

pytestmark = pytest.mark.frameworks
with_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
with_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")


def reference(torch):
    layers = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.GELU(), torch.nn.LayerNorm(8), torch.nn.Linear(8, 3))
    return layers


def pair(torch, backend):
    """The module of a program, and the same model written in PyTorch with the same parameters."""
    module = wz.torch.as_module(wz.compile(MODEL, INPUTS, backend=backend), seed=3)
    expected = reference(torch)
    expected.load_state_dict(module.state_dict())
    return module, expected


@with_torch
@pytest.mark.parametrize("backend", ["cpu", "torch"])
def test_a_module_has_the_values_and_gradients_of_pytorchs_own(backend):
    import torch

    module, expected = pair(torch, backend)
    assert isinstance(module, torch.nn.Module)
    assert list(module.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias", "3.weight", "3.bias"]
    x, y = torch.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    out, wanted = module(x), expected(y)
    torch.testing.assert_close(out, wanted, rtol=1e-5, atol=1e-6)
    (out * out).sum().backward()
    (wanted * wanted).sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-4, atol=1e-5)
    for (name, p), q in zip(module.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-5, msg=name)


@with_torch
@pytest.mark.parametrize("backend", ["cpu", "torch"])
def test_a_module_trains_with_pytorchs_optimizers(backend):
    import torch

    module, expected = pair(torch, backend)
    for model in (module, expected):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.tensor(X)).square().mean().backward()
            optimizer.step()
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(module.state_dict()[name], value, rtol=1e-4, atol=1e-5, msg=name)
    # What was packed for evaluation before the parameters changed must not be used after it.
    for training in (False, True, False):
        module.train(training)
        torch.testing.assert_close(module(torch.tensor(X)), expected(torch.tensor(X)), rtol=1e-4, atol=1e-5)
        with torch.no_grad():
            for model in (module, expected):
                next(model.parameters()).mul_(2.0)
        torch.testing.assert_close(module(torch.tensor(X)), expected(torch.tensor(X)), rtol=1e-4, atol=1e-5)


@with_torch
def test_a_module_is_one_operator_to_torch_compile():
    import torch

    module, expected = pair(torch, "cpu")
    # The whole graph with its derivative and nothing that falls out of it; how PyTorch compiles it further is not ours.
    compiled = torch.compile(lambda x: module(x * 2.0).square().sum(), backend="aot_eager", fullgraph=True)
    x, y = torch.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    compiled(x).backward()
    expected(y * 2.0).square().sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-4, atol=1e-5)


@with_torch
def test_copies_of_a_module_are_independent():
    import torch

    module, _ = pair(torch, "cpu")
    other = copy.deepcopy(module)
    before = module(torch.tensor(X))
    with torch.no_grad():
        next(other.parameters()).zero_()
    torch.testing.assert_close(module(torch.tensor(X)), before, rtol=0, atol=0)
    assert not torch.equal(other(torch.tensor(X)), before)


@with_torch
def test_what_modules_refuse():
    import torch

    module, _ = pair(torch, "cpu")
    with pytest.raises(wz.ShapeError, match=r"`x`: expected shape \[4, 6\], got \[2, 6\]"):
        module(torch.zeros(2, 6))
    with pytest.raises(wz.DTypeError, match="`x`: expected torch.float32, got torch.float64"):
        module(torch.zeros(4, 6, dtype=torch.float64))
    with pytest.raises(wz.UnknownNameError, match="the module takes x"):
        module(torch.zeros(4, 6), y=torch.zeros(1))
    step = nn.training(nn.Linear(6, 3), loss=nn.cross_entropy, optimizer=nn.sgd(0.1))
    for backend in ("cpu", "torch"):
        program = wz.compile(step, {"x": wz.f32[4, 6], "y": wz.i64[4]}, backend=backend)
        with pytest.raises(wz.ModelError, match="updates its state"):
            wz.torch.as_module(program)
    with pytest.raises(wz.BackendError, match='not "numpy"'):
        wz.torch.as_module(wz.compile(MODEL, INPUTS, backend="numpy"))


@with_jax
def test_a_function_under_jit_grad_and_vmap():
    import jax
    import jax.numpy as jnp

    program = wz.compile(MODEL, INPUTS)
    function = wz.jax.as_function(program)
    params = {name: jnp.asarray(x) for name, x in program.init(seed=3).items()}
    own = wz.compile(MODEL, INPUTS, backend="jax").function

    def loss(run):
        return lambda params, x: (run(params, x) ** 2).sum()

    def through_jax(params, x):
        (out,) = own(params, x).values()
        return out

    expected, wanted = jax.value_and_grad(loss(through_jax), argnums=(0, 1))(params, jnp.asarray(X))
    for run in (function, jax.jit(function)):
        value, gradients = jax.value_and_grad(loss(run), argnums=(0, 1))(params, jnp.asarray(X))
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), gradients, wanted)
    batch = jnp.stack([jnp.asarray(X), jnp.asarray(X) * 0.5])
    several = jax.jit(jax.vmap(function, in_axes=(None, 0)))(params, batch)
    np.testing.assert_allclose(several[1], through_jax(params, batch[1]), rtol=1e-5, atol=1e-6)
    by_example = jax.vmap(jax.grad(loss(function), argnums=1), in_axes=(None, 0))(params, batch)
    np.testing.assert_allclose(by_example[1], jax.grad(loss(through_jax), argnums=1)(params, batch[1]), rtol=1e-4, atol=1e-5)


@with_jax
def test_functions_of_integers_and_64_bit_types():
    import jax
    import jax.numpy as jnp

    program = wz.compile(lambda table, rows: (table[rows] * 2.0).sum(), {"table": wz.f32[5, 2], "rows": wz.i32[3]})
    function = wz.jax.as_function(program)
    table, rows = jnp.ones((5, 2)), jnp.array([1, 1, 4], dtype=jnp.int32)
    assert function(table, rows) == 12.0
    gradient = jax.grad(function)(table, rows)
    np.testing.assert_array_equal(gradient[:, 0], [0, 4, 0, 0, 2])
    wide = wz.jax.as_function(wz.compile(lambda x: x * 2.0, {"x": wz.f64[3]}))
    with pytest.raises(wz.DTypeError, match="jax_enable_x64"):
        wide(np.ones(3))
    with jax.enable_x64(True):
        np.testing.assert_array_equal(wide(np.ones(3)), np.full(3, 2.0))
    with pytest.raises(wz.UnknownNameError, match="takes table, rows"):
        function(table)
    with pytest.raises(wz.ShapeError, match="`rows`"):
        function(table, rows[:2])


@with_jax
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


def exported():
    """Programs, and what their StableHLO has in it."""
    transformer = nn.transformer(50, 8, width=16, heads=2, layers=2)
    tokens = {"x": wz.i64[2, 8], "y": wz.i64[2, 8]}
    yield transformer, {"x": tokens["x"]}, {}, ["stablehlo.dot_general", "tensor<2x8x50xf32>"]
    step = nn.training(transformer, loss=nn.cross_entropy, optimizer=nn.adamw(1e-3))
    yield step, tokens, {"autodiff": "framework"}, ["tf.aliasing_output", "tensor<2x8xi64>"]
    yield step, tokens, {"autodiff": "wootz"}, ["tf.aliasing_output", "tensor<2x8xi64>"]
    density = wz.histfactory.workload("complex-8p").model().graph("logpdf").grad(0, [0])
    yield density, {}, {}, ["tensor<8xf64>", "stablehlo.log"]
    yield doubled_until, {"x": wz.f32[3], "bound": wz.f32}, {}, ["stablehlo.while"]


@with_jax
@pytest.mark.parametrize(("model", "inputs", "options", "expected"), list(exported()))
def test_stablehlo_of_any_program_can_be_read(model, inputs, options, expected):
    from jax._src.interpreters import mlir
    from jaxlib.mlir import ir

    text = wz.compile(model, inputs, backend="jax", **options).stablehlo()
    for part in expected:
        assert part in text
    with mlir.make_ir_context():
        module = ir.Module.parse(text)
        assert module.operation.verify()
        assert [str(op.name) for op in module.body.operations][0].strip('"') == "main"


@wz.custom_vjp
def straight_through(x):
    return wz.floor(x)


straight_through.defvjp(lambda x: (wz.floor(x), x), lambda x, g: (g * x,))


def model_with_given_derivatives(x):
    return (x * wz.stop_gradient(x) + straight_through(x)).sum()


@with_torch
@pytest.mark.parametrize("backend", ["cpu", "torch"])
def test_a_module_keeps_stopped_and_given_gradients(backend):
    import torch

    module = wz.torch.as_module(wz.compile(model_with_given_derivatives, {"x": wz.f32[3]}, backend=backend))
    x = torch.tensor([0.5, 1.5, -2.5], requires_grad=True)
    module(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), [1.0, 3.0, -5.0])


@with_jax
def test_a_function_keeps_stopped_and_given_gradients():
    import jax

    function = wz.jax.as_function(wz.compile(model_with_given_derivatives, {"x": wz.f32[3]}))
    gradient = jax.grad(function)(jax.numpy.array([0.5, 1.5, -2.5]))
    np.testing.assert_allclose(gradient, [1.0, 3.0, -5.0])
