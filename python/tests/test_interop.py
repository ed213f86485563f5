"""Arrays of every kind go in and out, without copies where layouts allow."""

import signal
import subprocess
import sys
import textwrap

import ml_dtypes
import numpy as np
import pytest
import wootz as wz

DTYPES = {
    "bool": np.bool_,
    "u8": np.uint8,
    "u32": np.uint32,
    "i32": np.int32,
    "i64": np.int64,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "f32": np.float32,
    "f64": np.float64,
}


@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_goes_in_and_out(name):
    x = np.array([[0, 1, 1], [1, 0, 1]]).astype(DTYPES[name])
    out = wz.jit(lambda x: (x.T, wz.concat([x, x])))(x)
    assert out[0].dtype == out[1].dtype == x.dtype
    np.testing.assert_array_equal(out[0], x.T)
    np.testing.assert_array_equal(out[1], np.concatenate([x, x]))
    params = wz.Params({"x": x})
    assert params["x"].dtype == x.dtype
    np.testing.assert_array_equal(params["x"], x)


@pytest.mark.parametrize("name", ["f16", "bf16", "f32", "f64", "i32", "i64", "u8", "u32"])
def test_arithmetic_in_every_dtype(name):
    x = np.array([1, 2, 3]).astype(DTYPES[name])
    out = wz.jit(lambda x: x * x + 1)(x)
    assert out.dtype == x.dtype
    assert out.astype(np.float64).tolist() == [2, 5, 10]


LAYOUTS = {
    "transposed": lambda x: np.asfortranarray(x),
    "strided": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "backwards": lambda x: x[::-1].copy()[::-1],
    "other byte order": lambda x: x.astype(x.dtype.newbyteorder()),
    "unaligned": lambda x: np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape),
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout):
    x = LAYOUTS[layout](np.arange(12.0).reshape(3, 4))
    np.testing.assert_array_equal(wz.jit(lambda x: x + 1)(x), x + 1)


def test_read_only_arrays_and_scalars():
    x = np.arange(3.0)
    x.flags.writeable = False
    np.testing.assert_array_equal(wz.jit(lambda x: x * 2)(x), x * 2)
    f = wz.jit(lambda x: x + 1)
    assert f(np.float32(1)) == 2
    assert f(np.float32(1)).shape == ()
    assert f(True) == 2


def test_numbers_fit_the_dtype_that_is_asked_for():
    program = wz.compile(lambda x, n: x * n, {"x": wz.f16, "n": wz.i32})
    assert program(x=1, n=2)["output"] == 2
    assert program(x=1.5, n=2)["output"] == 3
    with pytest.raises(wz.DTypeError, match="n is float32, the program takes i32"):
        program(x=1.5, n=2.5)


class Exporter:
    """What PyTorch's and JAX's tensors are to us: something with DLPack's two methods."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_dlpack_goes_in_and_out():
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    out = wz.jit(lambda x: x * 2)(Exporter(x))
    np.testing.assert_array_equal(out, 2 * x)
    np.testing.assert_array_equal(np.from_dlpack(Exporter(out)), 2 * x)
    program = wz.compile(lambda x: x + 1, {"x": wz.f32[2, 3]})
    np.testing.assert_array_equal(program(x=Exporter(x))["output"], x + 1)
    np.testing.assert_array_equal(wz.Params({"x": Exporter(x)})["x"], x)


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.frameworks
@pytest.mark.parametrize("name", ["bool", "u8", "i32", "i64", "f16", "f32", "f64"])
def test_pytorch_tensors(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = torch.tensor([[0, 1, 1], [1, 0, 1]]).to(getattr(torch, np.dtype(DTYPES[name]).name))
    array = wz._native.as_array(x)
    assert array.dtype == DTYPES[name]
    # Both ways without a copy.
    assert address(array) == x.data_ptr()
    out = wz.jit(lambda x: x.T)(x)
    assert out.dtype == DTYPES[name]
    back = torch.from_dlpack(out)
    assert back.data_ptr() == address(out)
    assert torch.equal(back, x.T)
    np.testing.assert_array_equal(wz.Params({"x": x})["x"], x.numpy())


@pytest.mark.frameworks
def test_a_pytorch_tensor_that_requires_a_gradient_says_what_to_do():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = torch.ones(3, requires_grad=True)
    for give in (wz.jit(lambda x: x * 2), lambda x: wz.Params({"x": x}), lambda x: wz.compile(lambda x: x * 2, {"x": wz.f32[3]})(x=x)):
        with pytest.raises(BufferError, match=r"require gradient, use tensor\.detach\(\)"):
            give(x)
    np.testing.assert_array_equal(wz.jit(lambda x: x * 2)(x.detach()), [2, 2, 2])


@pytest.mark.frameworks
@pytest.mark.parametrize("name", ["bool", "u8", "u32", "i32", "f16", "bf16", "f32"])
def test_jax_arrays(name):
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    x = jax.numpy.array([[0, 1, 1], [1, 0, 1]], dtype=DTYPES[name])
    array = wz._native.as_array(x)
    assert array.dtype == DTYPES[name]
    assert address(array) == x.unsafe_buffer_pointer()
    out = wz.jit(lambda x: x.T)(x)
    assert out.dtype == DTYPES[name]
    if name != "bf16":
        # NumPy gives DLPack none.
        back = jax.dlpack.from_dlpack(out)
        assert isinstance(back, jax.Array)
        # JAX takes memory as it lies where it is aligned as its own.
        assert address(out) % 64 or back.unsafe_buffer_pointer() == address(out)
        np.testing.assert_array_equal(back, np.asarray(x).T)
    np.testing.assert_array_equal(jax.numpy.asarray(out), x.T)
    np.testing.assert_array_equal(wz.Params({"x": x})["x"], np.asarray(x))


@pytest.mark.frameworks
@pytest.mark.parametrize("name", ["bool", "u8", "u32", "i32", "i64", "f16", "f32"])
def test_mlx_arrays(name):
    mx = pytest.importorskip("mlx.core", reason="MLX is not installed")
    x = mx.array(np.array([[0, 1, 1], [1, 0, 1]], dtype=DTYPES[name]))
    array = wz._native.as_array(x)
    assert array.dtype == DTYPES[name]
    assert address(array) == address(np.array(x, copy=False))
    out = wz.jit(lambda x: x.T)(x)
    np.testing.assert_array_equal(np.array(mx.array(out)), np.array(x).T)
    np.testing.assert_array_equal(wz.Params({"x": x})["x"], np.array(x))


def test_importing_is_light():
    code = "import sys, wootz; print(sorted({'numpy', 'dataclasses', 'inspect', 'wootz._ops'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_everything_listed_is_there():
    for name in wz.__all__:
        assert getattr(wz, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        wz.nothing


# Each makes `start`, and a `long` run that does not end within the test's time.
LONG_RUNS = {
    "program": """
        f = wz.jit(lambda n: wz.while_loop(lambda c: c < n, lambda c: c + 1, 0))
        start, long = lambda: f(3), lambda: f(2**62)
    """,
    "session": """
        count = lambda n: wz.while_loop(lambda c: c < n, lambda c: c + 1, 0)
        session = wz.compile(count, {"n": wz.i64[()]}).session()
        start, long = lambda: session(n=np.int64(3)), lambda: session(n=np.int64(2**62))
    """,
    "nan_check": """
        f = wz.jit(lambda n: wz.while_loop(lambda c: c < n, lambda c: c + 1, 0), nan_check=True)
        start, long = lambda: f(3), lambda: f(2**62)
    """,
}


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent as on Unix")
@pytest.mark.parametrize("runs", LONG_RUNS.values(), ids=LONG_RUNS)
def test_ctrl_c_ends_a_long_run(runs):
    # What was started in the background may have been told to ignore the signal.
    code = "import os, signal, threading\nimport numpy as np, wootz as wz\n" + textwrap.dedent(runs) + textwrap.dedent("""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        start()
        threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        try:
            long()
        except KeyboardInterrupt:
            print("interrupted")
    """)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        out, _ = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        raise
    assert out.strip() == "interrupted"
