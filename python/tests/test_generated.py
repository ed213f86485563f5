"""Programs that run as generated source: the same numbers as the native backend's, the same face."""

import gc
import re
import subprocess
import sys
import types
import weakref

import numpy as np
import pytest
import wootz as wz
from frameworks import IMAGES, INPUTS, INSTALLED, LABELS, MODEL, MODULES
from wootz import nn

pytestmark = pytest.mark.frameworks


def training():
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
    return nn.training(model, loss=nn.cross_entropy, optimizer=nn.adamw(1e-2))


@pytest.mark.parametrize("backend", INSTALLED)
def test_inference_agrees_with_the_native_backend(backend):
    native, program = wz.compile(MODEL, INPUTS), wz.compile(MODEL, INPUTS, backend=backend)
    params = native.init(seed=3)
    expected = native(params, x=IMAGES)["logits"]
    np.testing.assert_allclose(np.asarray(program(params, x=IMAGES)["logits"]), expected, rtol=1e-5, atol=1e-6)
    own = program.init(seed=3)
    np.testing.assert_array_equal(np.asarray(own["0.weight"]), params["0.weight"])
    np.testing.assert_allclose(np.asarray(program(own, x=IMAGES)["logits"]), expected, rtol=1e-5, atol=1e-6)
    assert program.inputs == {"x": wz.f32[4, 6]}
    assert program.outputs == {"logits": wz.f32[4, 3]}
    assert repr(program) == f"<wootz.Program on {backend} (x: f32[4, 6]) -> (logits: f32[4, 3])>"


@pytest.mark.parametrize("backend", INSTALLED)
def test_three_training_steps_agree_and_checkpoints_move(backend, tmp_path):
    inputs = {"x": wz.f32[4, 6], "y": wz.i64[4]}
    native, step = wz.compile(training(), inputs), wz.compile(training(), inputs, backend=backend)
    expected, state = native.init(seed=1), step.init(seed=1)
    for _ in range(3):
        expected, wanted = native(expected, x=IMAGES, y=LABELS)
        state, out = step(state, x=IMAGES, y=LABELS)
        np.testing.assert_allclose(np.asarray(out["loss"]), wanted["loss"], rtol=1e-5)
    for name, value in expected.items():
        np.testing.assert_allclose(np.asarray(state[name]), value, rtol=2e-5, atol=1e-6, err_msg=name)
    wz.save(tmp_path / "native.safetensors", expected)
    wz.save(tmp_path / "generated.safetensors", {name: np.asarray(value) for name, value in state.items()})
    resumed = step.state(wz.load(tmp_path / "native.safetensors"))
    back = native.state(wz.load(tmp_path / "generated.safetensors"))
    _, here = step(resumed, x=IMAGES, y=LABELS)
    _, there = native(back, x=IMAGES, y=LABELS)
    np.testing.assert_allclose(np.asarray(here["loss"]), there["loss"], rtol=2e-5)


@pytest.mark.parametrize("backend", [name for name in INSTALLED if name != "numpy"])
def test_both_ways_of_differentiating_agree_with_the_native_backend(backend):
    inputs = {"x": wz.f32[4, 6], "y": wz.i64[4]}
    model = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Dropout(0.2), nn.Linear(8, 3))
    step = nn.training(model, loss=nn.cross_entropy, optimizer=nn.adamw(1e-2), metrics=[nn.accuracy], clip_norm=0.5)
    native = wz.compile(step, inputs)
    for autodiff in ("wootz", "framework"):
        program = wz.compile(step, inputs, backend=backend, autodiff=autodiff)
        assert ("compute_loss" in program.source()) == (autodiff == "framework")
        expected, state = native.init(seed=1), program.init(seed=1)
        for _ in range(3):
            expected, wanted = native(expected, x=IMAGES, y=LABELS)
            state, out = program(state, x=IMAGES, y=LABELS)
            assert set(out) == set(wanted)
            np.testing.assert_allclose(np.asarray(out["loss"]), wanted["loss"], rtol=1e-5)
        for name, value in expected.items():
            np.testing.assert_allclose(np.asarray(state[name]), value, rtol=2e-4, atol=2e-5, err_msg=f"{autodiff} {name}")


# Who has f64, and derivatives of its own.
AUTODIFF = {"wootz": ("numpy", "jax", "torch"), "framework": ("jax", "torch")}

OPTIMIZERS = {
    "sgd": nn.sgd(0.1),
    "momentum": nn.sgd(0.1, momentum=0.9, weight_decay=1e-2),
    "nesterov": nn.sgd(0.1, momentum=0.9, nesterov=True),
    "scheduled nesterov": nn.sgd(("state", 0.1), momentum=0.5, nesterov=True, weight_decay=0.1),
    "dampened": nn.sgd(0.1, momentum=0.9, dampening=0.5),
    "adam": nn.adam(1e-2),
    "penalised": nn.adam(1e-2, weight_decay=0.1),
    "adamw": nn.adamw(3e-3, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.05),
    "scheduled": nn.adamw(("state", 1e-2)),
}


def tokens(shape=(2, 8)):
    return np.random.default_rng(1).integers(0, 20, shape)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("backend", INSTALLED)
def test_three_steps_of_every_optimizer(backend, optimizer):
    inputs = {"x": wz.f32[4, 6], "y": wz.i64[4]}
    step = nn.training(MODEL, loss=nn.cross_entropy, optimizer=OPTIMIZERS[optimizer])
    native = wz.compile(step, inputs)
    for autodiff in ("wootz",) if backend == "numpy" else ("wootz", "framework"):
        program = wz.compile(step, inputs, backend=backend, autodiff=autodiff)
        expected, state = native.init(seed=1), program.init(seed=1)
        for _ in range(3):
            expected, wanted = native(expected, x=IMAGES, y=LABELS)
            state, out = program(state, x=IMAGES, y=LABELS)
        np.testing.assert_allclose(np.asarray(out["loss"]), wanted["loss"], rtol=2e-5)
        assert set(state) == set(program.held)
        for name, value in expected.items():
            np.testing.assert_allclose(np.asarray(state[name]), value, rtol=2e-4, atol=2e-5, err_msg=f"{autodiff} {name}")


@pytest.mark.parametrize("backend", INSTALLED)
def test_a_transformer_and_its_training_agree(backend):
    model = nn.transformer(20, 8, width=16, heads=2, layers=3)
    given = {"x": tokens()}
    native, program = wz.compile(model, given), wz.compile(model, given, backend=backend)
    # Its layers are one function.
    assert program.source().count("def layer(") == 1
    params = native.init(seed=0)
    wanted = native(params, **given)["logits"]
    np.testing.assert_allclose(np.asarray(program(params, **given)["logits"]), wanted, rtol=1e-4, atol=1e-6)
    # The gradient by the keys' bias is rounding alone: without a larger eps Adam would make steps of it.
    step = nn.training(model, loss=nn.cross_entropy, optimizer=nn.adamw(1e-3, eps=1e-6))
    given["y"] = tokens()
    native, program = wz.compile(step, given), wz.compile(step, given, backend=backend)
    expected, state = native.init(seed=1), program.init(seed=1)
    for _ in range(3):
        expected, wanted = native(expected, **given)
        state, out = program(state, **given)
        np.testing.assert_allclose(np.asarray(out["loss"]), wanted["loss"], rtol=1e-5)
    for name, value in expected.items():
        np.testing.assert_allclose(np.asarray(state[name]), value, rtol=2e-4, atol=2e-5, err_msg=name)


@pytest.mark.parametrize(("backend", "autodiff"), [(n, how) for n in INSTALLED for how in ("wootz", "framework") if n in AUTODIFF[how]])
def test_a_transformer_of_f64_trains_to_the_last_digits(backend, autodiff):
    model = nn.transformer(20, 8, width=16, heads=2, layers=2).dtype(wz.f64)
    # Momentum, not Adam, whose first steps divide by the size of a gradient however small.
    step = nn.training(model, loss=nn.cross_entropy, optimizer=nn.sgd(0.1, momentum=0.9))
    given = {"x": tokens(), "y": tokens()[:, ::-1].copy()}
    native, program = wz.compile(step, given), wz.compile(step, given, backend=backend, autodiff=autodiff)
    expected, state = native.init(seed=1), program.init(seed=1)
    for _ in range(3):
        expected, wanted = native(expected, **given)
        state, out = program(state, **given)
        np.testing.assert_allclose(np.asarray(out["loss"]), wanted["loss"], rtol=1e-12)
    assert set(state) == set(expected)
    for name, value in expected.items():
        assert np.asarray(state[name]).dtype == value.dtype
        np.testing.assert_allclose(np.asarray(state[name]), value, rtol=1e-12, atol=1e-12 * np.abs(value).max(), err_msg=name)


@pytest.mark.skipif("jax" not in INSTALLED, reason="JAX is not installed")
def test_layers_are_stacked_when_asked():
    model = nn.transformer(20, 8, width=16, heads=2, layers=3)
    given = {"x": tokens()}
    native, program = wz.compile(model, given), wz.compile(model, given, backend="jax", stack_layers=True)
    assert "lax.scan(" in program.source()
    assert "jnp.stack(" not in program.source()
    params = native.init(seed=0)
    wanted = native(params, **given)["logits"]
    np.testing.assert_allclose(np.asarray(program(params, **given)["logits"]), wanted, rtol=1e-4, atol=1e-6)
    # Parameters come in under their layers' names and are held stacked.
    held = program.params(params)
    assert program.held.keys() == dict(params.items()).keys()
    np.testing.assert_array_equal(held["layers.*.norm1.weight"], [params[f"layers.{i}.norm1.weight"] for i in range(3)])
    np.testing.assert_array_equal(program(held, **given)["logits"], program(params, **given)["logits"])
    assert program.params(held)["layers.*.norm1.weight"] is held["layers.*.norm1.weight"]
    assert "stablehlo.while" in program.stablehlo()
    with pytest.raises(wz.ShapeError, match=r"`layers.\*.norm1.weight`: expected shape \[3, 16\], got \[2, 16\]"):
        program({**held, "layers.*.norm1.weight": held["layers.*.norm1.weight"][:2]}, **given)
    named = {name: np.asarray(value) for name, value in params.items()}
    del named["layers.1.norm1.weight"]
    with pytest.raises(wz.UnknownNameError, match="parameter `layers.1.norm1.weight` .* is missing"):
        program(named, **given)


@pytest.mark.skipif("jax" not in INSTALLED, reason="JAX is not installed")
@pytest.mark.parametrize(("optimizer", "clip"), [("adamw", None), ("sgd", 0.5), ("momentum", None), ("nesterov", 0.1)])
def test_stacked_layers_train_and_their_checkpoints_move(optimizer, clip, tmp_path):
    model = nn.transformer(20, 8, width=16, heads=2, layers=3)
    step = nn.training(model, loss=nn.cross_entropy, optimizer=OPTIMIZERS[optimizer], clip_norm=clip)
    given = {"x": tokens(), "y": tokens()}
    native, program = wz.compile(step, given), wz.compile(step, given, backend="jax", stack_layers=True)
    assert "layers.*.norm1.weight" in program.source()
    assert "jnp.stack(" not in program.source()
    expected, state = native.init(seed=1), program.init(seed=1)
    for _ in range(3):
        expected, wanted = native(expected, **given)
        state, out = program(state, **given)
        np.testing.assert_allclose(np.asarray(out["loss"]), wanted["loss"], rtol=1e-5)
    assert set(state) == set(program.held) == set(expected)
    assert len(state) == len(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(np.asarray(state[name]), value, rtol=2e-4, atol=2e-5, err_msg=name)
    with pytest.raises(wz.UnknownNameError, match="no `layers.9.norm1.weight`"):
        state["layers.9.norm1.weight"]
    # By the names of the layers, to the native backend and back.
    wz.save(tmp_path / "stacked.safetensors", {name: np.asarray(value) for name, value in state.items()})
    back = native.state(wz.load(tmp_path / "stacked.safetensors"))
    again = program.state(wz.load(tmp_path / "stacked.safetensors"))
    predict = wz.compile(model, {"x": tokens()}, backend="jax", stack_layers=True)
    logits = np.asarray(predict(state.params, x=tokens())["logits"])
    np.testing.assert_allclose(logits, wz.compile(model, {"x": tokens()})(back.params, x=tokens())["logits"], rtol=1e-4, atol=1e-5)
    _, here = program(again, **given)
    _, there = native(back, **given)
    np.testing.assert_allclose(np.asarray(here["loss"]), there["loss"], rtol=1e-5)
    with pytest.raises(wz.DonatedError):
        again["layers.0.norm1.weight"]


def test_stacking_is_refused_where_there_is_nothing_to_stack():
    with pytest.raises(wz.BackendError, match='backend `numpy` has no loop to run stacked layers in'):
        wz.compile(MODEL, INPUTS, backend="numpy", stack_layers=True)
    with pytest.raises(wz.BackendError, match='"cpu" has no `stack_layers`'):
        wz.compile(MODEL, INPUTS, stack_layers=True)


def test_autodiff_is_refused_where_there_is_nothing_to_differentiate():
    with pytest.raises(wz.BackendError, match='autodiff must be "wootz" or "framework"'):
        wz.compile(training(), {"x": wz.f32[4, 6], "y": wz.i64[4]}, backend="numpy", autodiff="other")
    with pytest.raises(wz.BackendError, match="takes no derivatives"):
        wz.compile(training(), {"x": wz.f32[4, 6], "y": wz.i64[4]}, backend="numpy", autodiff="framework")
    with pytest.raises(wz.ModelError, match="only a training step"):
        wz.compile(MODEL, INPUTS, backend="numpy", autodiff="framework")
    with pytest.raises(wz.BackendError, match='"cpu" has no `autodiff`'):
        wz.compile(MODEL, INPUTS, autodiff="wootz")


@pytest.mark.parametrize("backend", INSTALLED)
def test_a_step_consumes_its_state(backend):
    step = wz.compile(training(), {"x": wz.f32[4, 6], "y": wz.i64[4]}, backend=backend)
    state = step.init(seed=0)
    step(state, x=IMAGES, y=LABELS)
    assert state.consumed
    with pytest.raises(wz.DonatedError, match="use the state that the step returned"):
        step(state, x=IMAGES, y=LABELS)


def test_tracebacks_show_generated_lines():
    program = wz.compile(lambda x: wz.exp(x), {"x": wz.f32[2]}, backend="numpy")
    with pytest.raises(TypeError) as caught:
        program.module.forward(None)
    assert "np.exp(x)" in str(caught.traceback[-1].statement)


def test_wrong_calls_are_named():
    program = wz.compile(MODEL, INPUTS, backend="numpy")
    params = program.init()
    for inputs, error, message in [
        ({}, wz.UnknownNameError, "input `x`.*is missing"),
        ({"x": IMAGES, "z": IMAGES}, wz.UnknownNameError, "no input `z`"),
        ({"x": IMAGES[:2]}, wz.ShapeError, r"`x`: expected shape \[4, 6\], got \[2, 6\]"),
        ({"x": IMAGES.astype(np.float64)}, wz.DTypeError, "`x`: expected float32, got float64"),
    ]:
        with pytest.raises(error, match=message):
            program(params, **inputs)
    with pytest.raises(wz.UnknownNameError, match="pass them first"):
        program(x=IMAGES)


@pytest.mark.parametrize("backend", INSTALLED)
def test_wrong_parameters_are_named(backend):
    program = wz.compile(MODEL, INPUTS, backend=backend)
    params = program.init()
    expected = np.asarray(program(params, x=IMAGES)["logits"])
    missing = {name: value for name, value in params.items() if name != "0.bias"}
    with pytest.raises(wz.UnknownNameError, match=r"parameter `0.bias` .* is missing"):
        program(missing, x=IMAGES)
    # Without a check it would broadcast.
    with pytest.raises(wz.ShapeError, match=r"`0.weight`: expected shape \[8, 6\], got \[1, 6\]"):
        program({**params, "0.weight": params["0.weight"][:1]}, x=IMAGES)
    with pytest.raises(wz.DTypeError, match="`0.bias`: expected .*float32, got .*float16"):
        program({**params, "0.bias": np.zeros(8, np.float16)}, x=IMAGES)
    np.testing.assert_array_equal(np.asarray(program(params, x=IMAGES)["logits"]), expected)
    # Arrays of another framework are converted.
    arrays = {name: np.asarray(value) for name, value in params.items()}
    np.testing.assert_array_equal(np.asarray(program(arrays, x=IMAGES)["logits"]), expected)
    params["2.bias"] = params["2.bias"] + 1
    np.testing.assert_allclose(np.asarray(program(params, x=IMAGES)["logits"]), expected + 1, rtol=1e-5)
    # The same arrays under other names are not the same parameters.
    renamed = {{"0.weight": "0.scale"}.get(name, name): value for name, value in params.items()}
    with pytest.raises(wz.UnknownNameError, match=r"parameter `0.weight` .* is missing"):
        program(renamed, x=IMAGES)


@pytest.mark.parametrize("backend", INSTALLED)
def test_parameters_are_not_kept_alive(backend):
    program = wz.compile(MODEL, INPUTS, backend=backend)
    params = program.init()
    for _ in range(2):
        program(params, x=IMAGES)
    weight = weakref.ref(params["0.weight"])
    del params["0.weight"]
    gc.collect()
    assert weight() is None
    # Whatever lies where the array lay is looked at.
    with pytest.raises(wz.UnknownNameError, match=r"parameter `0.weight` .* is missing"):
        program(params, x=IMAGES)


@pytest.mark.parametrize(
    ("backend", "options", "message"),
    [
        ("jax", {"device": "nonsense"}, 'backend "jax" has no device .nonsense. here'),
        ("jax", {"precision": "nonsense"}, 'backend "jax" has no precision .nonsense.'),
        ("jax", {"jit_options": {"nonsense": 1}}, 'backend "jax" refuses `jit_options`.*nonsense'),
        ("torch", {"device": "nonsense"}, 'backend "torch" has no device .nonsense. here'),
        ("torch", {"precision": "nonsense"}, 'precision must be "highest", "high" or "medium"'),
        ("mlx", {"device": "nonsense"}, 'backend "mlx" has no device .nonsense. here'),
        ("mlx", {"precision": "high"}, 'backend "mlx" has no `precision`'),
        ("torch", {"jit": True, "jit_options": {"nonsense": 1}}, 'backend "torch" refuses `jit_options`.*nonsense'),
        ("numpy", {"jit": True}, 'backend "numpy" compiles nothing: leave `jit` out'),
        ("numpy", {"jit_options": {"mode": "default"}}, 'backend "numpy" has no `jit_options`'),
        ("torch", {"jit_options": {"mode": "default"}}, 'backend "torch" has no use for `jit_options` .*: add `jit=True`'),
        ("jax", {"jit": False, "jit_options": {"inline": True}}, 'backend "jax" has no use for `jit_options` .*: leave `jit` out'),
    ],
)
def test_what_is_not_there_is_said_before_anything_runs(backend, options, message):
    if backend not in INSTALLED:
        pytest.skip(f"{backend} is not installed here")
    with pytest.raises(wz.BackendError, match=message):
        wz.compile(MODEL, INPUTS, backend=backend, **options)


def test_a_framework_that_is_missing_or_too_old_is_named_with_what_installs_it(monkeypatch):
    old = types.ModuleType("jax")
    old.__version__ = "0.4.1"
    monkeypatch.setitem(sys.modules, "jax", old)
    message = 'backend "jax" needs jax 0.9 or newer, found 0.4.1: pip install "jax>=0.9"'
    with pytest.raises(wz.BackendError, match=f"^{re.escape(message)}$"):
        wz.compile(MODEL, INPUTS, backend="jax")
    monkeypatch.setitem(sys.modules, "torch", None)
    message = 'backend "torch" needs torch 2.5 or newer: pip install "torch>=2.5"'
    with pytest.raises(wz.BackendError, match=f"^{re.escape(message)}$"):
        wz.compile(MODEL, INPUTS, backend="torch")


@pytest.mark.parametrize(("module", "oldest"), [("torch", "2.5"), ("jax", "0.9")])
@pytest.mark.parametrize("found", [None, "0.4.1+cpu"])
def test_a_bridge_without_its_framework_says_what_installs_it(module, oldest, found):
    there = "None" if found is None else f"types.ModuleType('{module}'); sys.modules['{module}'].__version__ = '{found}'"
    code = f"import sys, types; sys.modules['{module}'] = {there}\nimport wootz as wz\ntry: wz.{module}\nexcept wz.BackendError as e: print(e)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    what = "" if found is None else f", found {found}"
    assert done.stdout == f'wootz.{module} needs {module} {oldest} or newer{what}: pip install "{module}>={oldest}"\n'


def test_what_a_framework_lacks_is_said_before_anything_runs():
    with pytest.raises(wz.BackendError, match=r"`numpy` has no bf16"):
        wz.compile(lambda x: x + 1, {"x": wz.bf16[2]}, backend="numpy")
    with pytest.raises(wz.BackendError, match="leave `device` out"):
        wz.compile(MODEL, INPUTS, backend="numpy", device="cuda")
    with pytest.raises(wz.BackendError, match='"numpy" has no `threads`'):
        wz.compile(MODEL, INPUTS, backend="numpy", threads=2)
    with pytest.raises(wz.BackendError, match='"cpu" has no `device`'):
        wz.compile(MODEL, INPUTS, device="cuda")
    for backend in set(MODULES) - set(INSTALLED):
        with pytest.raises(wz.BackendError, match="pip install"):
            wz.compile(MODEL, INPUTS, backend=backend)


class Widened(nn.Module):
    def forward(self, x):
        return wz.sum(x.astype(wz.f64) * 2.0, axis=1).astype(wz.f32)


@pytest.mark.skipif("mlx" not in INSTALLED, reason="MLX is not installed")
def test_a_dtype_that_arises_in_a_block_is_named_with_op_and_block():
    first = Widened.forward.__code__.co_firstlineno
    model = nn.Sequential(nn.Linear(6, 8), Widened())
    with pytest.raises(wz.BackendError) as caught:
        wz.compile(model, INPUTS, backend="mlx")
    assert str(caught.value) == f"backend `mlx` has no f64, which `cast` needs (at 1, test_generated.py:{first + 1})"
    with pytest.raises(wz.BackendError) as caught:
        wz.compile(nn.Sequential(nn.ReLU(), nn.Linear(6, 8).dtype(wz.f64)), {"x": wz.f64[4, 6]}, backend="mlx")
    assert str(caught.value) == "backend `mlx` has no f64, which input `x` of `relu` needs (at 0)"


@wz.custom_vjp
def straight_through(x):
    return wz.floor(x)


straight_through.defvjp(lambda x: (wz.floor(x), wz.exp(-x * x)), lambda residual, g: (g * residual,))


@wz.custom_vjp
def sum_and_picked(x, index):
    return x + x, x[index]


sum_and_picked.defvjp(
    lambda x, index: ((x + x, x[index]), (x, index)),
    lambda residuals, g: (g[0] * 3 + g[1] * residuals[0], wz.zeros_like(residuals[1])),
)


def stopped(x):
    return (x * wz.stop_gradient(x) + wz.exp(x)).sum()


def custom(x):
    return (straight_through(x) * wz.sin(x)).sum()


def several(x):
    doubled, picked = sum_and_picked(x, wz.stop_gradient(x[0]).astype(wz.i64))
    return (doubled * x).sum() + picked


def framework_gradient(backend, program, x):
    """The framework's own gradient of the program's function."""
    function = program.function
    if backend == "jax":
        import jax

        with jax.enable_x64(True):
            return np.asarray(jax.grad(lambda x: function(x)["output"])(x))
    if backend == "torch":
        import torch

        x = torch.tensor(x, requires_grad=True)
        function(x)["output"].backward()
        return x.grad.numpy()
    import mlx.core as mx

    return np.asarray(mx.grad(lambda x: function(x)["output"])(mx.array(x)))


@pytest.mark.parametrize("optimize", ["none", "basic", "full"])
@pytest.mark.parametrize("model", [stopped, custom, several])
@pytest.mark.parametrize("backend", [name for name in INSTALLED if name != "numpy"])
def test_a_framework_differentiates_what_was_defined(backend, model, optimize):
    """Stopped gradients and derivatives of one's own hold where the framework takes the derivative."""
    dtype = np.float32 if backend == "mlx" else np.float64
    x = np.array([0.3, 1.7, -2.2], dtype=dtype)
    expected = wz.grad(model)(x)
    program = wz.compile(model, {"x": (wz.f32 if backend == "mlx" else wz.f64)[3]}, backend=backend, optimize=optimize)
    np.testing.assert_allclose(np.asarray(program(x=x)["output"]), wz.jit(model)(x), rtol=1e-6)
    np.testing.assert_allclose(framework_gradient(backend, program, x), expected, rtol=1e-5 if backend == "mlx" else 1e-12)


@pytest.mark.parametrize("backend", [name for name in INSTALLED if name != "numpy"])
def test_the_padding_row_of_an_embedding_is_not_trained(backend):
    model = nn.Sequential(nn.Embedding(4, 3, padding_idx=-1), nn.Linear(3, 2))
    step = nn.training(model, nn.cross_entropy, nn.sgd(0.5))
    inputs, moved = {"x": wz.i64[4], "y": wz.i64[4]}, {}
    for autodiff in ("wootz", "framework"):
        program = wz.compile(step, inputs, backend=backend, autodiff=autodiff)
        state = program.init(0)
        before = np.asarray(state["0.weight"]).copy()
        state, _ = program(state, x=np.array([0, 3, 3, 1]), y=np.array([0, 1, 0, 1]))
        moved[autodiff] = np.abs(np.asarray(state["0.weight"]) - before).max(1)
    assert moved["framework"][3] == 0
    np.testing.assert_allclose(moved["framework"], moved["wootz"], rtol=1e-5)
