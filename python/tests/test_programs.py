"""Compiled programs: calls, parameters, training state, files, sessions, caches, and what is said of wrong inputs."""

import inspect
import os
import threading

import numpy as np
import pytest
import wootz as wz
from wootz import nn

MODEL = nn.mlp([6, 8, 3])
INPUTS = {"x": wz.f32[4, 6]}
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(4, 6)).astype(np.float32)
LABELS = np.array([0, 2, 1, 1])


@pytest.fixture
def program():
    return wz.compile(MODEL, INPUTS)


@pytest.fixture
def step():
    training = nn.training(MODEL, loss=nn.cross_entropy, optimizer=nn.adamw(1e-2), metrics=[nn.accuracy])
    return wz.compile(training, {"x": wz.f32[4, 6], "y": wz.i64[4]})


def forward(params, x):
    hidden = np.maximum(x @ params["0.weight"].T + params["0.bias"], 0)
    return hidden @ params["2.weight"].T + params["2.bias"]


def test_inference(program):
    params = program.init(seed=3)
    assert list(params) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert params["0.weight"].shape == (8, 6)
    logits = program(params, x=IMAGES)["logits"]
    # Sums of 6 and 8 products in f32.
    np.testing.assert_allclose(logits, forward(params, IMAGES), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(program({k: v.copy() for k, v in params.items()}, x=IMAGES)["logits"], logits)
    same = wz.compile(MODEL, INPUTS).init(seed=3)
    np.testing.assert_array_equal(same["2.weight"], params["2.weight"])
    assert not np.array_equal(program.init(seed=4)["2.weight"], params["2.weight"])
    assert repr(program) == "<wootz.Program (x: f32[4, 6]) -> (logits: f32[4, 3])>"
    assert program.inputs == {"x": wz.f32[4, 6]}
    assert program.outputs == {"logits": wz.f32[4, 3]}


@pytest.mark.parametrize("optimize", ["none", "basic", "full"])
@pytest.mark.parametrize("threads", [1, 2, None])
def test_every_level_and_thread_count_computes_the_same_model(optimize, threads):
    program = wz.compile(MODEL, INPUTS, optimize=optimize, threads=threads)
    params = program.init(seed=0)
    np.testing.assert_allclose(program(params, x=IMAGES)["logits"], forward(params, IMAGES), rtol=1e-5, atol=1e-6)


def test_parameters_can_be_changed_and_are_read_only_otherwise(program):
    params = program.init(seed=0)
    before = program(params, x=IMAGES)["logits"]
    with pytest.raises(ValueError, match="read-only"):
        params["2.bias"][0] = 1.0
    params["2.bias"] = params["2.bias"] + np.float32(1)
    np.testing.assert_allclose(program(params, x=IMAGES)["logits"], before + 1, rtol=1e-5, atol=1e-6)
    with pytest.raises(wz.ShapeError, match=r"2\.bias.*f32\[4\]"):
        params["2.bias"] = np.zeros(4, np.float32)
    with pytest.raises(wz.UnknownNameError, match="3.bias"):
        params["3.bias"]


def test_a_model_learns(step):
    state = step.init(seed=0)
    losses = []
    for _ in range(200):
        state, out = step(state, x=IMAGES, y=LABELS)
        losses.append(float(out["loss"]))
    assert losses[-1] < 0.1 < losses[0]
    assert out["accuracy"] == 1.0
    assert state["optimizer.step"] == 200
    logits = wz.compile(MODEL, INPUTS)(state.params, x=IMAGES)["logits"]
    assert logits.argmax(1).tolist() == LABELS.tolist()


def test_a_step_consumes_its_state(step):
    state = step.init(seed=0)
    after, _ = step(state, x=IMAGES, y=LABELS)
    assert state.consumed and not after.consumed
    for use in (lambda: step(state, x=IMAGES, y=LABELS), lambda: state["0.weight"], lambda: state.params, lambda: list(state)):
        with pytest.raises(wz.DonatedError, match="use the state that the step returned"):
            use()
    assert repr(state) == "<wootz.State (consumed)>"


def test_wrong_inputs_leave_the_state_usable(step):
    state = step.init(seed=0)
    wrong = [
        {"x": IMAGES},
        {"x": IMAGES, "y": LABELS, "z": LABELS},
        {"x": IMAGES.astype(np.float64), "y": LABELS},
        {"x": IMAGES[:3], "y": LABELS},
    ]
    for inputs in wrong:
        with pytest.raises(wz.WootzError):
            step(state, **inputs)
    state, out = step(state, x=IMAGES, y=LABELS)
    assert np.isfinite(out["loss"])


def test_what_was_read_of_a_state_stays_as_it_was(step):
    state = step.init(seed=0)
    weight = state["0.weight"]
    copy = weight.copy()
    state, _ = step(state, x=IMAGES, y=LABELS)
    np.testing.assert_array_equal(weight, copy)
    assert not np.array_equal(state["0.weight"], copy)


def test_training_resumes_to_the_same_bits(step, tmp_path):
    model = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 3))
    training = nn.training(model, loss=nn.cross_entropy, optimizer=nn.sgd(0.1, momentum=0.9))
    step = wz.compile(training, {"x": wz.f32[4, 6], "y": wz.i64[4]})
    state = step.init(seed=1)
    for _ in range(3):
        state, _ = step(state, x=IMAGES, y=LABELS)
    path = tmp_path / "run.safetensors"
    wz.save(path, state)
    resumed = wz.load(path)
    assert isinstance(resumed, wz.State)
    for _ in range(3):
        state, out = step(state, x=IMAGES, y=LABELS)
        resumed, again = step(resumed, x=IMAGES, y=LABELS)
        assert out["loss"].tobytes() == again["loss"].tobytes()
    for name, array in state.items():
        assert array.tobytes() == resumed[name].tobytes(), name


def test_files_are_those_of_the_safetensors_package(program, tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    params = program.init(seed=0)
    path = tmp_path / "mlp.safetensors"
    wz.save(path, params)
    read = safetensors.load_file(path)
    assert sorted(read) == sorted(params)
    np.testing.assert_array_equal(read["0.weight"], params["0.weight"])
    safetensors.save_file({name: array + 1 for name, array in read.items()}, tmp_path / "other.safetensors")
    loaded = wz.load(tmp_path / "other.safetensors")
    assert isinstance(loaded, wz.Params)
    np.testing.assert_allclose(program(loaded, x=IMAGES)["logits"], forward(loaded, IMAGES), rtol=1e-5, atol=1e-6)


def test_files_that_cannot_be_read_or_written(program, tmp_path):
    with pytest.raises(wz.FileError, match="nothing"):
        wz.load(tmp_path / "nothing.safetensors")
    wz.save(tmp_path / "a.safetensors", {"x": IMAGES})
    whole = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:-5])
    with pytest.raises(wz.FileError, match="truncated"):
        wz.load(tmp_path / "cut.safetensors")
    (tmp_path / "noise.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(OSError, match="noise"):
        wz.load(tmp_path / "noise.safetensors")
    with pytest.raises(wz.FileError, match="there is no folder"):
        wz.save(tmp_path / "no" / "such" / "a.safetensors", {"x": IMAGES})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.safetensors", "cut.safetensors", "noise.safetensors"]


def test_sessions(program):
    params = program.init(seed=0)
    session = program.session(params)
    expected = program(params, x=IMAGES)["logits"]
    session.set(x=IMAGES)
    session.run()
    first = session["logits"]
    np.testing.assert_array_equal(first, expected)
    np.testing.assert_array_equal(session(x=IMAGES + 1)["logits"], program(params, x=IMAGES + 1)["logits"])
    np.testing.assert_array_equal(first, expected)
    params["2.bias"] = params["2.bias"] * 0
    np.testing.assert_array_equal(session(x=IMAGES)["logits"], program(params, x=IMAGES)["logits"])
    with pytest.raises(wz.UnknownNameError, match="has no input `z`"):
        session.set(z=IMAGES)
    with pytest.raises(wz.UnknownNameError, match="parameter"):
        session.set(**{"0.weight": IMAGES})
    with pytest.raises(wz.UnknownNameError, match="`x`.*missing"):
        program.session(params).run()


def test_consumed_parameters_keep_working_for_the_prepared_program(program):
    params = program.init(seed=0)
    expected = program(params, x=IMAGES)["logits"]
    program.prepare(params, consume=True)
    np.testing.assert_array_equal(program(params, x=IMAGES)["logits"], expected)
    with pytest.raises(wz.DonatedError, match="0.weight"):
        params["0.weight"]


def test_without_shapes_a_model_is_compiled_for_each_signature():
    predict = wz.compile(MODEL)
    params = predict.init(seed=0, x=wz.f32[1, 6])
    for batch in (4, 3, 4, 1):
        logits = predict(params, x=IMAGES[:batch])["logits"]
        np.testing.assert_allclose(logits, forward(params, IMAGES[:batch]), rtol=1e-5, atol=1e-6)
    assert predict.cache_info()[:3] == (2, 3, 3)
    predict.clear_cache()
    assert predict.cache_info()[:3] == (0, 0, 0)
    step = wz.compile(nn.training(MODEL, loss=nn.cross_entropy, optimizer=nn.sgd(0.1)))
    state = step.init(0, x=IMAGES, y=LABELS)
    state, _ = step(state, x=IMAGES, y=LABELS)
    state, out = step(state, x=IMAGES[:2], y=LABELS[:2])
    assert np.isfinite(out["loss"])


def test_equal_graphs_are_compiled_once():
    wz.clear_cache()
    for _ in range(3):
        wz.compile(nn.Linear(5, 7), {"x": wz.f32[2, 5]})
    assert wz.cache_info()[:3] == (2, 1, 1)
    wz.set_cache_limit(2)
    for n in range(1, 5):
        wz.compile(nn.Linear(5, n), {"x": wz.f32[2, 5]})
    assert wz.cache_info().size == 2
    wz.set_cache_limit(256)


def test_report_source_and_graph(program):
    report = program.report()
    assert "gemm" in str(report)
    assert sum(flops for *_, flops, _ in report.kernels) >= 2 * 4 * (6 * 8 + 8 * 3)
    assert [name for name, seconds in report.stages if seconds >= 0][0] == "specialise"
    assert program.source()
    assert wz.Graph.parse(str(program.graph)) == program.graph
    with pytest.raises(wz.TraceError, match="line 1"):
        wz.Graph.parse("nonsense")


def test_a_graph_can_be_compiled():
    graph = MODEL.graph(x=wz.f32["B", 6])
    assert str(graph.inputs[0][2]) == "f32[B, 6]"
    doubled = wz.Graph.parse('graph(%0: f32[3] = input "x") {\n  %1 = add %0, %0\n  return "y" = %1\n}')
    x = np.arange(3, dtype=np.float32)
    np.testing.assert_array_equal(wz.compile(doubled, {})(x=x)["y"], 2 * x)


WRONG = [
    ({"x": IMAGES.astype(np.float64)}, wz.DTypeError, r"x is float64, the program takes f32: pass x\.astype\(numpy\.float32\)"),
    ({"x": IMAGES[:, :5]}, wz.ShapeError, r"x has shape \[4, 5\], the program takes \[4, 6\]"),
    ({"x": IMAGES[0]}, wz.ShapeError, r"\[6\]"),
    ({}, wz.UnknownNameError, r"input `x` \(f32\[4, 6\]\) is missing"),
    ({"image": IMAGES}, wz.UnknownNameError, r"no input `image` \(there are `x`\)"),
    ({"x": IMAGES, "y": IMAGES}, wz.UnknownNameError, "no input `y`"),
    ({"x": IMAGES.astype(complex)}, wz.DTypeError, "complex128"),
    ({"x": None}, TypeError, "x is None"),
    ({"x": 1.0}, wz.ShapeError, r"\[\]"),
    ({"x": "text"}, wz.DTypeError, "none of bool, u8"),
]


@pytest.mark.parametrize(("inputs", "kind", "message"), WRONG)
def test_wrong_inputs(program, inputs, kind, message):
    with pytest.raises(kind, match=message):
        program(program.init(), **inputs)


def test_wrong_parameters(program, step):
    params = dict(program.init().items())
    with pytest.raises(wz.UnknownNameError, match="0.weight.*missing"):
        program(x=IMAGES)
    with pytest.raises(wz.ShapeError, match=r"0\.bias"):
        program({**params, "0.bias": np.zeros(9, np.float32)}, x=IMAGES)
    with pytest.raises(wz.DTypeError, match=r"0\.bias"):
        program({**params, "0.bias": np.zeros(8)}, x=IMAGES)
    with pytest.raises(TypeError, match="list"):
        program([1], x=IMAGES)
    with pytest.raises(TypeError, match="2 arguments by position"):
        program(params, IMAGES)
    with pytest.raises(wz.ModelError, match="updates its state"):
        step(params, x=IMAGES, y=LABELS)


COMPILE_ERRORS = [
    (lambda: wz.compile(MODEL, {"x": wz.f32[4, 7]}), wz.ShapeError, r"f32\[4, 7\].*0"),
    (lambda: wz.compile(MODEL, {"x": wz.f64[4, 6]}), wz.DTypeError, "f64"),
    (lambda: wz.compile(MODEL, {"x": wz.f32["B", 6]}), wz.ShapeError, r"x.*f32\[B, 6\]"),
    (lambda: wz.compile(MODEL, {}), wz.UnknownNameError, "`x` was given no type"),
    (lambda: wz.compile(MODEL, {**INPUTS, "z": wz.f32[1]}), wz.UnknownNameError, "no input `z`"),
    (lambda: wz.compile(MODEL, INPUTS, backend="tpu"), wz.BackendError, "tpu"),
    (lambda: wz.compile(MODEL, INPUTS, optimize="extreme"), wz.BackendError, "extreme"),
    (lambda: wz.compile(3, INPUTS), wz.ModelError, "3 is not a model"),
    (lambda: wz.f32[2**40, 2**40], wz.ShapeError, "more elements"),
    (lambda: wz.f32[-1], wz.ShapeError, "-1 is not a size"),
    (lambda: wz.f32[1.5], TypeError, "1.5 is not a size"),
    (lambda: wz.f32["2B"], wz.ShapeError, "cannot name a size"),
    (lambda: wz.DType("f8"), wz.DTypeError, "f8"),
]


@pytest.mark.parametrize(("call", "kind", "message"), COMPILE_ERRORS)
def test_compile_errors(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_symbolic_sizes():
    b = wz.dim("B")
    assert str(wz.f32[2 * b + 1, "T"]) == "f32[2*B + 1, T]"
    assert (b + b) == 2 * b
    assert (b * 4) // 2 == 2 * b
    assert hash(b + 1) == hash(1 + b)
    assert wz.f32[b] == wz.f32["B"] != wz.f32["C"]
    with pytest.raises(wz.ShapeError, match="B is not known"):
        range(b)


def test_nan_check_names_the_line():
    def model(x):
        y = x - 1
        return wz.log(y)  # the culprit

    line = model.__code__.co_firstlineno + 2
    program = wz.compile(model, {"x": wz.f32[3]}, nan_check=True)
    assert np.isfinite(program(x=np.full(3, 2, np.float32))["output"]).all()
    with pytest.raises(wz.NanError, match=rf"log.*test_programs\.py:{line}"):
        program(x=np.zeros(3, np.float32))
    with pytest.raises(FloatingPointError, match="log"):
        wz.jit(model, nan_check=True)(np.zeros(3, np.float32))


def line_of(function, text):
    """`file:line` of the only line of the function that holds `text`, for a regular expression."""
    lines, first = inspect.getsourcelines(function)
    (found,) = [i for i, line in enumerate(lines) if text in line]
    return rf"test_programs\.py:{first + found}"


class Inner(nn.Module):
    def __init__(self):
        self.fc = nn.Linear(3, 3)

    def forward(self, x):
        return wz.log(self.fc(x) - 1)


class Outer(nn.Module):
    def __init__(self):
        self.inner = Inner()
        self.head = nn.Sequential(nn.Linear(3, 2), nn.ReLU())

    def forward(self, x):
        return self.head(self.inner(x))


def test_nan_check_names_blocks_inside_blocks_and_the_lines_that_call_them():
    program = wz.compile(Outer(), {"x": wz.f32[1, 3]}, nan_check=True)
    ones = {name: np.ones_like(value) for name, value in program.init().items()}
    x = np.ones((1, 3), np.float32)
    assert np.isfinite(program(ones, x=x)["output"]).all()
    with pytest.raises(wz.NanError, match=rf"`log` at inner, {line_of(Inner.forward, 'log')}$"):
        program(ones, x=-x)
    # A product that is infinite, less one that is: the NaN arises in a built-in block, which the user's line called.
    infinite = np.array([[np.inf, 0, 0]], np.float32)
    opposite = {**ones, "inner.fc.weight": -ones["inner.fc.weight"], "inner.fc.bias": np.full(3, np.inf, np.float32)}
    with pytest.raises(wz.NanError, match=rf"`linear` at inner\.fc, {line_of(Inner.forward, 'self.fc')}$"):
        program(opposite, x=infinite)
    opposite = {**ones, "head.0.weight": np.array([[np.inf, -np.inf, 1]] * 2, np.float32)}
    with pytest.raises(wz.NanError, match=rf"`linear` at head\.0, {line_of(Outer.forward, 'self.head')}$"):
        program(opposite, x=x)


def test_shape_errors_name_the_line_that_called_the_block():
    with pytest.raises(wz.ShapeError, match=rf"inner\.fc, {line_of(Inner.forward, 'self.fc')}"):
        wz.compile(Outer(), {"x": wz.f32[1, 4]})


class Recurrent(nn.Module):
    def __init__(self):
        self.cell = Cell()

    def forward(self, x):
        return self.cell(x)


class Cell(nn.Module):
    def forward(self, x):
        def step(carry, row):
            carry = carry - row
            return wz.sqrt(carry), carry

        last, rows = wz.scan(step, np.float32(2), x)
        return rows + last


def test_nan_check_looks_into_loops():
    program = wz.compile(Recurrent(), {"x": wz.f32[3]}, nan_check=True)
    assert np.isfinite(program(x=np.zeros(3, np.float32))["output"]).all()
    with pytest.raises(wz.NanError, match=rf"`sqrt` at cell, {line_of(Cell.forward, 'sqrt')}$"):
        program(x=np.array([0, 5, 0], np.float32))


def test_nan_check_never_lets_a_nan_pass():
    # ±10⁶⁰ overflows in f32 sums, and not in the sums of the reference evaluation.
    a, b = np.full((1, 64), 1e30, np.float32), np.full((64, 1), 1e30, np.float32)
    b[::2] *= -1
    with pytest.raises(wz.NanError, match="`output` holds a NaN of unknown origin: .* does not reproduce it"):
        wz.jit(lambda a, b: a @ b, nan_check=True)(a, b)
    session = wz.compile(lambda a, b: a @ b, {"a": wz.f32[1, 64], "b": wz.f32[64, 1]}, nan_check=True).session()
    with pytest.raises(wz.NanError, match="unknown origin"):
        session(a=a, b=b)
    program = wz.compile(MODEL, INPUTS, nan_check=True)
    params = program.init()
    program.prepare(params, consume=True)
    with pytest.raises(wz.NanError, match="`logits` holds a NaN.*given up"):
        program(params, x=np.full((4, 6), np.nan, np.float32))
    training = nn.training(MODEL, loss=nn.cross_entropy, optimizer=nn.sgd(0.1))
    step = wz.compile(training, {"x": wz.f32[4, 6], "y": wz.i64[4]}, nan_check=True)
    with pytest.raises(wz.NanError, match="input `x` holds a NaN"):
        step(step.init(), x=np.full((4, 6), np.nan, np.float32), y=LABELS)


def test_programs_run_in_threads(program):
    params = program.init(seed=0)
    inputs = [RNG.normal(size=(4, 6)).astype(np.float32) for _ in range(8)]
    expected = [program(params, x=x)["logits"] for x in inputs]
    wrong = []

    def work(i):
        for _ in range(200):
            if not np.array_equal(program(params, x=inputs[i])["logits"], expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_programs_run_after_fork():
    # Large enough for the pool's threads to be asked for.
    program = wz.compile(nn.Linear(512, 512), {"x": wz.f32[256, 512]})
    params = program.init(seed=0)
    x = RNG.normal(size=(256, 512)).astype(np.float32)
    expected = program(params, x=x)["output"]
    child = os.fork()
    if child == 0:
        same = np.array_equal(program(params, x=x)["output"], expected)
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_zero_sizes():
    program = wz.compile(MODEL, {"x": wz.f32[0, 6]})
    assert program(program.init(), x=IMAGES[:0])["logits"].shape == (0, 3)
    assert wz.jit(lambda x: x.sum())(np.zeros((0, 3))) == 0
