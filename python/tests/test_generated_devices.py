"""Programs that run as generated source: devices, precisions and compilers, and what is left behind."""

import numpy as np
import pytest
import wootz as wz
from frameworks import IMAGES, INPUTS, INSTALLED, LABELS, MODEL
from wootz import nn

pytestmark = pytest.mark.frameworks


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
