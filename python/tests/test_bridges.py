"""Programs inside PyTorch and JAX."""

import copy
import importlib.util
import os
import shutil

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


def several(x, y):
    return {"product": (x * y).sum(), "square": x * x, "largest": wz.argmax(x).astype(wz.i32)}


SEVERAL = {"x": wz.f32[3], "y": wz.f32[3]}


@with_jax
def test_a_function_with_several_outputs_and_its_second_derivatives():
    import jax
    import jax.numpy as jnp

    function = wz.jax.as_function(wz.compile(several, SEVERAL))
    x, y = jnp.array([1.0, 2.0, 3.0]), jnp.array([0.5, 4.0, -1.0])
    assert list(function(x, y)) == ["product", "square", "largest"]
    outputs = jax.jit(function)(x, y)
    assert (outputs["product"], outputs["largest"]) == (5.5, 2)
    np.testing.assert_array_equal(outputs["square"], x * x)
    # The other outputs have no cotangent.
    by_x, by_y = jax.jit(jax.grad(lambda x, y: function(x, y)["product"], argnums=(0, 1)))(x, y)
    np.testing.assert_array_equal(by_x, y)
    np.testing.assert_array_equal(by_y, x)
    both = jax.grad(lambda x: function(x, y)["product"] + function(x, y)["square"].sum())
    np.testing.assert_array_equal(both(x), y + 2 * x)
    with pytest.raises(wz.BackendError, match='no second derivatives: the `function` of a program of backend="jax" has'):
        jax.grad(lambda x: both(x).sum())(x)
    own = wz.compile(several, SEVERAL, backend="jax").function
    np.testing.assert_array_equal(jax.hessian(lambda x: own(x, y)["square"].sum())(x), 2 * np.eye(3))


@with_torch
@pytest.mark.parametrize("backend", ["cpu", "torch"])
def test_a_module_with_several_outputs_and_its_second_derivatives(backend):
    import torch

    module = wz.torch.as_module(wz.compile(several, SEVERAL, backend=backend))
    x, y = torch.tensor([1.0, 2.0, 3.0], requires_grad=True), torch.tensor([0.5, 4.0, -1.0])
    outputs = module(x, y)
    assert list(outputs) == ["product", "square", "largest"]
    assert (float(outputs["product"].detach()), int(outputs["largest"])) == (5.5, 2)
    (by_x,) = torch.autograd.grad(outputs["product"], x)
    torch.testing.assert_close(by_x, y)
    (by_x,) = torch.autograd.grad(module(x, y)["square"].sum(), x, create_graph=True)
    torch.testing.assert_close(by_x.detach(), 2 * x.detach())
    if backend == "torch":
        torch.testing.assert_close(torch.autograd.grad(by_x.sum(), x)[0], torch.full((3,), 2.0))
    else:
        with pytest.raises(wz.BackendError, match='no second derivatives: a program of backend="torch" has'):
            torch.autograd.grad(by_x.sum(), x)


HALF = nn.Sequential(nn.Linear(3, 2), nn.Tanh()).dtype(wz.bf16)


@with_torch
@pytest.mark.parametrize("backend", ["cpu", "torch"])
def test_a_module_of_bfloat16(backend):
    import torch

    module = wz.torch.as_module(wz.compile(HALF, {"x": wz.bf16[4, 3]}, backend=backend), seed=1)
    layer = torch.nn.Linear(3, 2, dtype=torch.bfloat16)
    layer.load_state_dict({name.removeprefix("0."): value for name, value in module.state_dict().items()})
    x = torch.linspace(-1, 1, 12).reshape(4, 3).to(torch.bfloat16).requires_grad_()
    for run in (module, lambda x: torch.tanh(layer(x))):
        run(x).sum().backward()
    out = module(x)
    assert out.dtype == torch.bfloat16
    # bfloat16 has 8 bits: intermediate results are rounded here and not there.
    torch.testing.assert_close(out, torch.tanh(layer(x)), rtol=2**-6, atol=2**-7)
    torch.testing.assert_close(module.state_dict()["0.weight"], layer.weight.data, rtol=0, atol=0)
    (own,) = (p.grad for name, p in module.named_parameters() if name == "0.weight")
    assert own.dtype == torch.bfloat16
    torch.testing.assert_close(own, layer.weight.grad, rtol=2**-5, atol=2**-6)


@with_jax
def test_a_function_of_bfloat16():
    import jax
    import jax.numpy as jnp

    program = wz.compile(HALF, {"x": wz.bf16[4, 3]})
    params = {name: jnp.asarray(value) for name, value in program.init(seed=1).items()}
    x = jnp.linspace(-1, 1, 12).reshape(4, 3).astype(jnp.bfloat16)
    value, by = jax.jit(jax.value_and_grad(lambda x: wz.jax.as_function(program)(params, x).astype(jnp.float32).sum()))(x)

    def expected(x):
        return jnp.tanh(x @ params["0.weight"].T + params["0.bias"]).astype(jnp.float32).sum()

    wanted, wanted_by = jax.value_and_grad(expected)(x)
    np.testing.assert_allclose(value, wanted, rtol=2**-6)
    assert by.dtype == jnp.bfloat16
    np.testing.assert_allclose(by.astype(jnp.float32), wanted_by.astype(jnp.float32), rtol=2**-5, atol=2**-6)


@with_torch
# PyTorch's own test reads gradients of what it has made.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("training", [True, False])
def test_the_operators_keep_what_pytorch_asks_of_operators(training):
    import torch

    module = wz.torch.as_module(wz.compile(MODEL, INPUTS))
    parameters, x = iter(module.parameters()), torch.tensor(X, requires_grad=True)
    given = [next(parameters) if held else x for held in module._is_held]
    assert len(given) == 7
    passed = torch.library.opcheck(torch.ops.wootz.run.default, (given, module._handle, training))
    given, cotangents = [x.detach() for x in given], [torch.ones(4, 3)]
    passed.update(torch.library.opcheck(torch.ops.wootz.vjp.default, (given, cotangents, list(range(7)), module._handle, training)))
    assert set(passed.values()) == {"SUCCESS"}


@with_torch
def test_a_module_in_what_pytorch_compiles_to_machine_code():
    import torch

    if shutil.which(os.environ.get("CXX", "g++")) is None:
        pytest.skip("torch.compile needs a C++ compiler, and there is none here")
    module, expected = pair(torch, "cpu")
    compiled = torch.compile(lambda x: module(x * 2.0).square().sum())
    x, y = torch.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    (out, wanted) = compiled(x), expected(y * 2.0).square().sum()
    torch.testing.assert_close(out, wanted, rtol=1e-5, atol=1e-6)
    out.backward(), wanted.backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-4, atol=1e-5)


@with_jax
def test_histfactory_through_functions():
    """A fit whose result is its next start and a density, native programs, under JAX's transformations."""
    import jax

    workspace = wz.histfactory.workload("simple")
    model = workspace.model()
    data, config = np.asarray(workspace.data(model)), model.config
    low, high = config.suggested_bounds.T
    rest = (1.0 - config.suggested_fixed, low, high, np.array(1e-10))
    fit = wz.jax.as_function(wz.compile(model.graph("fit"), {}))
    density = wz.jax.as_function(wz.compile(model.graph("logpdf"), {}))
    toys = np.stack([data, data * 1.1, data * 0.9])
    with jax.enable_x64(True):
        fits = jax.jit(jax.vmap(lambda start, toy: fit(start, toy, *rest)))
        cold = fits(np.stack([config.suggested_init] * 3), toys)
        warm = fits(cold["parameters"], toys)
        gradients = jax.jit(jax.vmap(jax.grad(density), in_axes=(None, 0)))(config.suggested_init, toys)
    assert all(cold["converged"]) and all(warm["converged"])
    assert (np.asarray(warm["evaluations"]) == 1).all() and (np.asarray(cold["evaluations"]) > 1).all()
    np.testing.assert_array_equal(warm["parameters"], cold["parameters"])
    for i, toy in enumerate(toys):
        np.testing.assert_allclose(cold["parameters"][i], model.fit(toy, tolerance=1e-10).parameters, rtol=1e-8)
        np.testing.assert_allclose(gradients[i], model.gradient(config.suggested_init, toy), rtol=1e-10)
