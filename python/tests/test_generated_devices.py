"""Programs that run as generated source: devices, precisions and compilers, and what is left behind."""

import os
import subprocess
import sys

import numpy as np
import pytest
import wootz as wz
from frameworks import IMAGES, INPUTS, INSTALLED, LABELS, MODEL
from wootz import nn

pytestmark = pytest.mark.frameworks

STEP = {"x": wz.f32[4, 6], "y": wz.i64[4]}


def tokens(shape=(2, 8)):
    return np.random.default_rng(1).integers(0, 20, shape)


@pytest.mark.skipif("jax" not in INSTALLED, reason="JAX is not installed here")
def test_jax_leaves_no_global_state_behind():
    import jax

    program = wz.compile(lambda x: x * 2, {"x": wz.f64[3]}, backend="jax")
    assert program(x=np.ones(3))["output"].dtype == np.float64
    assert not jax.config.jax_enable_x64


@pytest.mark.skipif("torch" not in INSTALLED, reason="PyTorch is not installed here")
@pytest.mark.parametrize("autodiff", [None, "wootz", "framework"])
def test_every_array_is_made_on_the_device(autodiff):
    """The `meta` device computes no numbers, and refuses to meet arrays of another device."""
    import torch

    model = nn.transformer(20, 8, width=16, heads=2, layers=2)
    given = {"x": tokens()}
    if autodiff is None:
        program = wz.compile(model, given, backend="torch", device="meta")
        params = {name: torch.empty(spec.shape, device="meta") for name, spec in program.held.items()}
        out = program(params, **given)["logits"]
    else:
        step = nn.training(model, loss=nn.cross_entropy, optimizer=nn.adamw(1e-3))
        given["y"] = tokens()
        program = wz.compile(step, given, backend="torch", device="meta", autodiff=autodiff)
        state, out = program(program.init(0), **given)
        assert all(value.device.type == "meta" for value in state.values())
        out = out["loss"]
    assert out.device.type == "meta"


@pytest.mark.skipif("jax" not in INSTALLED, reason="JAX is not installed here")
def test_jax_computes_in_the_precision_and_on_the_device_asked_for_and_leaves_neither():
    import jax

    before = jax.config.jax_default_matmul_precision, jax.config.jax_default_device
    program = wz.compile(MODEL, INPUTS, backend="jax", precision="highest", device="cpu")
    assert "HIGHEST" in program.stablehlo()
    assert "HIGHEST" not in wz.compile(MODEL, INPUTS, backend="jax").stablehlo()
    program(program.init(), x=IMAGES)
    with pytest.raises(wz.ShapeError):
        program(program.init(), x=IMAGES[:2])
    assert before == (jax.config.jax_default_matmul_precision, jax.config.jax_default_device)


@pytest.mark.skipif("mlx" not in INSTALLED, reason="MLX is not installed here")
@pytest.mark.parametrize("jit", [False, True])
def test_mlx_computes_on_the_device_asked_for(jit):
    import mlx.core as mx

    there = [kind for kind in (mx.cpu, mx.gpu) if mx.is_available(kind)]
    before, expected = mx.default_device(), np.asarray(wz.compile(MODEL, INPUTS)(wz.compile(MODEL, INPUTS).init(0), x=IMAGES)["logits"])
    for kind in (mx.cpu, mx.gpu):
        for device in (kind.name, kind, mx.Device(kind)):
            if kind not in there:
                with pytest.raises(wz.BackendError, match='backend "mlx" has no device'):
                    wz.compile(MODEL, INPUTS, backend="mlx", device=device)
                continue
            program = wz.compile(MODEL, INPUTS, backend="mlx", device=device, jit=jit)
            np.testing.assert_allclose(np.asarray(program(program.init(0), x=IMAGES)["logits"]), expected, rtol=1e-5, atol=1e-6)
            seen = program.framework.wrap(mx.default_device, False, False)()
            assert seen == mx.Device(kind)
            assert mx.default_device() == before


@pytest.mark.skipif("torch" not in INSTALLED, reason="PyTorch is not installed here")
def test_torch_leaves_its_precision_as_it_was():
    import torch

    program = wz.compile(MODEL, INPUTS, backend="torch", precision="medium")
    params, seen = program.init(), []
    program(params, x=IMAGES)
    assert torch.get_float32_matmul_precision() == "highest"

    class Failing(Exception):
        pass

    def failing(*_):
        seen.append(torch.get_float32_matmul_precision())
        raise Failing

    with pytest.raises(Failing):
        program.framework.wrap(failing, False, False)()
    assert (seen, torch.get_float32_matmul_precision()) == (["medium"], "highest")


@pytest.mark.skipif("torch" not in INSTALLED, reason="PyTorch is not installed here")
@pytest.mark.parametrize("autodiff", ["wootz", "framework"])
def test_torch_compiles_training_steps(autodiff):
    """Through torch.compile's tracing, of which nothing is left out, and derivatives; all but its C++ compiler."""
    inputs = {"x": wz.f32[4, 6], "y": wz.i64[4]}
    step = nn.training(MODEL, loss=nn.cross_entropy, optimizer=nn.adamw(1e-2))
    options = {"backend": "aot_eager", "fullgraph": True}
    program = wz.compile(step, inputs, backend="torch", jit=True, jit_options=options, autodiff=autodiff)
    native = wz.compile(step, inputs)
    expected, state = native.init(seed=1), program.init(seed=1)
    for _ in range(3):
        expected, wanted = native(expected, x=IMAGES, y=LABELS)
        state, out = program(state, x=IMAGES, y=LABELS)
        np.testing.assert_allclose(np.asarray(out["loss"]), wanted["loss"], rtol=1e-5)


@pytest.mark.parametrize("autodiff", ["wootz", "framework"])
@pytest.mark.parametrize(("backend", "jit"), [(name, jit) for name, jit in (("mlx", True), ("jax", False)) if name in INSTALLED])
def test_training_steps_compiled_by_mlx_and_not_by_jax(backend, jit, autodiff):
    step = nn.training(MODEL, loss=nn.cross_entropy, optimizer=nn.adamw(1e-2))
    native, program = wz.compile(step, STEP), wz.compile(step, STEP, backend=backend, jit=jit, autodiff=autodiff)
    assert ("@mx.compile" in program.source()) == jit
    assert "jax.jit" not in program.source()
    expected, state = native.init(seed=1), program.init(seed=1)
    for _ in range(3):
        expected, wanted = native(expected, x=IMAGES, y=LABELS)
        state, out = program(state, x=IMAGES, y=LABELS)
        np.testing.assert_allclose(np.asarray(out["loss"]), wanted["loss"], rtol=1e-5)
    for name, value in expected.items():
        np.testing.assert_allclose(np.asarray(state[name]), value, rtol=2e-4, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("backend", [name for name in INSTALLED if name in ("jax", "mlx")])
def test_what_decides_by_values_runs_compiled_or_as_it_is(backend):
    """MLX compiles nothing that decides by values: such programs are left to run as they are."""

    def halved(x):
        small = wz.cond(x.sum() > 4, lambda x: x / 2, lambda x: x, x)
        return wz.while_loop(lambda c: c.sum() > 1, lambda c: c * 0.5, small)

    program = wz.compile(halved, {"x": wz.f32[3]}, backend=backend, jit=True)
    assert ("@mx.compile" in program.source()) is False
    for x in ([1.0, 2.0, 3.0], [0.1, 0.2, 0.3], [1.0, 1.0, 1.0]):
        x = np.array(x, np.float32)
        np.testing.assert_allclose(np.asarray(program(x=x)["output"]), wz.jit(halved)(x), rtol=1e-6)
    if backend == "mlx":
        assert "@mx.compile" in wz.compile(lambda x: wz.exp(x), {"x": wz.f32[3]}, backend="mlx", jit=True).source()


@pytest.mark.skipif("torch" not in INSTALLED, reason="PyTorch is not installed here")
def test_torch_compiles_when_asked():
    program = wz.compile(MODEL, INPUTS, backend="torch", jit=True, jit_options={"backend": "eager"})
    assert '@torch.compile(backend="eager")' in program.source()
    params = program.init(seed=3)
    expected = wz.compile(MODEL, INPUTS)(wz.compile(MODEL, INPUTS).init(seed=3), x=IMAGES)["logits"]
    np.testing.assert_allclose(program(params, x=IMAGES)["logits"].numpy(), expected, rtol=1e-5, atol=1e-6)


TWO_DEVICES = """
import jax
import numpy as np
import wootz as wz
from frameworks import IMAGES, INPUTS, LABELS, MODEL
from wootz import nn

here, there = jax.devices("cpu")
images = {"numpy": IMAGES, "uncommitted": jax.numpy.asarray(IMAGES), "elsewhere": jax.device_put(IMAGES, here),
          "there": jax.device_put(IMAGES, there)}
expected = wz.compile(MODEL, INPUTS)(wz.compile(MODEL, INPUTS).init(0), x=IMAGES)["logits"]
for jit in (True, False):
    program = wz.compile(MODEL, INPUTS, backend="jax", device="cpu:1", jit=jit)
    params = program.init(0)
    assert all(value.devices() == {there} for value in params.values())
    elsewhere = {name: jax.device_put(value, here) for name, value in params.items()}
    # Twice each: a call like one that was right is not looked at.
    for kind, x in [(kind, x) for kind in ("there", "numpy", "uncommitted", "elsewhere", "there") for x in [images[kind]] * 2]:
        for held in (params, elsewhere):
            out = program(held, x=x)["logits"]
            assert out.devices() == {there}, (jit, kind, out.devices())
            np.testing.assert_allclose(np.asarray(out), expected, rtol=1e-5, atol=1e-6)

alone = wz.compile(lambda x: x * 2.0, {"x": wz.f32[4, 6]}, backend="jax", device=there)
for kind in ("there", "there", "elsewhere", "uncommitted", "numpy"):
    assert alone(x=images[kind])["output"].devices() == {there}, kind
traced = jax.jit(lambda x: alone(x=x)["output"])(images["there"])
assert traced.devices() == {there}

step = wz.compile(nn.training(MODEL, loss=nn.cross_entropy, optimizer=nn.adamw(1e-2)), {**INPUTS, "y": wz.i64[4]}, backend="jax", device="cpu:1")
given = {name: jax.device_put(value, here) for name, value in step.init(0).items()}
state = step.state(given)
for labels in (LABELS, LABELS):
    state, out = step(state, x=images["elsewhere"], y=labels)
    assert out["loss"].devices() == {there}
    assert all(value.devices() == {there} for value in state.values())
# What was given is neither moved nor donated.
assert all(value.devices() == {here} and not value.is_deleted() for value in given.values())
assert jax.numpy.zeros(1).devices() == {here}
"""


@pytest.mark.skipif("jax" not in INSTALLED, reason="JAX is not installed here")
def test_jax_runs_on_the_second_of_two_devices():
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    environment = {**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", TWO_DEVICES], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def calls_looked_at(program, calls):
    """How many of these calls were looked at instead of being known."""
    looked_at, look = [], program._call
    program._call = lambda *args, **inputs: looked_at.append(1) or look(*args, **inputs)
    for call in calls:
        call()
    return len(looked_at)


# PyTorch's cache takes its slow compiler, and is looked into in the same way.
KNOWN = {"plain": INSTALLED, "device": ("jax", "torch", "mlx"), "cache": ("jax",)}


@pytest.mark.parametrize(
    ("backend", "how"),
    [(name, how) for how, names in KNOWN.items() for name in names if name in INSTALLED],
)
def test_a_call_like_the_last_is_known(backend, how, tmp_path):
    options = {"plain": {}, "device": {"device": "cpu"}, "cache": {"cache": tmp_path}}[how]
    program = wz.compile(MODEL, INPUTS, backend=backend, **options)
    params = program.init(0)
    x = program.framework.array(IMAGES)
    program(params, x=x)
    # The first call fills the cache, the second is the one that is remembered.
    assert calls_looked_at(program, [lambda: program(params, x=x)] * 4) == (1 if how == "cache" else 0)
    other = {**params, "0.bias": params["0.bias"] + 1}
    assert calls_looked_at(program, [lambda: program(other, x=x)]) == 1


@pytest.mark.skipif("jax" not in INSTALLED, reason="JAX is not installed here")
def test_jax_donates_the_state_and_leaves_alone_what_it_was_made_of():
    step = wz.compile(nn.training(MODEL, loss=nn.cross_entropy, optimizer=nn.adamw(1e-2)), STEP, backend="jax")
    native = wz.compile(nn.training(MODEL, loss=nn.cross_entropy, optimizer=nn.adamw(1e-2)), STEP)
    # Arrays of JAX's, the counter of 64 bits, while JAX has none.
    given = dict(step.init(seed=1).items())
    wide = [name for name, value in given.items() if value.dtype == np.int64]
    assert wide
    first = step.state(given)
    assert all(first[name].dtype == np.int64 for name in wide)
    held = dict(first.items())
    expected, state = native.init(seed=1), first
    for _ in range(3):
        expected, _ = native(expected, x=IMAGES, y=LABELS)
        state, _ = step(state, x=IMAGES, y=LABELS)
    # The step's own memory is donated: all that has the size of what takes its place.
    assert all(value.is_deleted() for value in held.values())
    assert not any(value.is_deleted() for value in given.values())
    for name, value in expected.items():
        assert np.asarray(state[name]).dtype == np.asarray(value).dtype
        np.testing.assert_allclose(np.asarray(state[name]), value, rtol=2e-4, atol=2e-5, err_msg=name)


@pytest.mark.skipif("torch" not in INSTALLED, reason="PyTorch is not installed here")
@pytest.mark.parametrize("autodiff", ["wootz", "framework"])
def test_torch_updates_the_state_where_it_lies(autodiff):
    step = nn.training(MODEL, loss=nn.cross_entropy, optimizer=nn.adamw(1e-2))
    program = wz.compile(step, STEP, backend="torch", autodiff=autodiff)
    given = dict(program.init(seed=1).items())
    before = {name: value.clone() for name, value in given.items()}
    state = program.state(given)
    # All but the counter, a number.
    places = {name: value.data_ptr() for name, value in state.items() if value.shape}
    for _ in range(2):
        state, _ = program(state, x=IMAGES, y=LABELS)
    assert {name: state[name].data_ptr() for name in places} == places
    for name, value in given.items():
        assert value.data_ptr() != state[name].data_ptr()
        assert (value == before[name]).all()
        assert not (state[name] == before[name]).all(), name
