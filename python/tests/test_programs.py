"""Compiled programs: calls, parameters, training state, files, sessions, caches, and what is said of wrong inputs."""

import inspect
import os
import subprocess
import sys
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


def test_a_file_is_written_through_a_link_and_nothing_else_is_replaced(tmp_path):
    (tmp_path / "link.safetensors").symlink_to("real.safetensors")
    wz.save(tmp_path / "link.safetensors", {"x": IMAGES})
    assert (tmp_path / "link.safetensors").is_symlink()
    np.testing.assert_array_equal(wz.load(tmp_path / "real.safetensors")["x"], IMAGES)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(wz.FileError, match="it is not a regular file"):
        wz.save(tmp_path / "pipe", {"x": IMAGES})
    assert (tmp_path / "pipe").is_fifo()


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
    # Packed weights, and the hidden activations of four rows at least.
    assert report.prepared >= 4 * (6 * 8 + 8 * 3)
    assert report.arena >= 4 * 4 * 8
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
    ({"x": IMAGES.astype(np.int8)}, wz.DTypeError, r"x is int8, the program takes f32: pass x\.astype\(numpy\.float32\)"),
    ({"x": object()}, TypeError, "x is object, which holds no numbers"),
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
    (lambda: wz.compile(MODEL, INPUTS, threads=-1), wz.BackendError, "threads is -1; it must be at least 1"),
    (lambda: wz.compile(MODEL, INPUTS, threads=0), wz.BackendError, "threads is 0; it must be at least 1"),
    (lambda: wz.compile(MODEL, INPUTS, threads="all"), TypeError, "threads is all"),
    (lambda: wz.compile(MODEL, INPUTS).init(seed=-1), wz.ModelError, "seed is -1; it must be from 0"),
    (lambda: wz.compile(MODEL, INPUTS).init(seed=2**64), wz.ModelError, "seed is 18446744073709551616"),
    (lambda: wz.compile(MODEL, INPUTS).init(seed="x"), TypeError, "seed is x; it must be an integer"),
    (lambda: wz.Params({"w": object()}), TypeError, "w is object, which holds no numbers"),
    (lambda: wz.Params({"w": np.zeros(2, np.int16)}), wz.DTypeError, r"w has NumPy dtype int16.*pass w\.astype\(numpy\.int64\)"),
    (lambda: wz.jit(lambda x: x, optimise="none"), TypeError, "jit has no option `optimise`; its options are .*optimize"),
    (lambda: wz.jit(lambda x: x)(np.zeros(2, np.int8)), wz.DTypeError, r"`x` has NumPy dtype int8.*astype\(numpy\.int64\)"),
    (lambda: wz.jit(lambda x: wz.pad(x, ((2**62, 2**62),)))(IMAGES[0]), wz.ShapeError, "makes axis 0 longer than"),
    (lambda: wz.jit(lambda x: wz.pad(x, ((-4, -4),)))(IMAGES[0]), wz.ShapeError, "removes more of axis 0 than there is"),
    (lambda: wz.save("/dev/null/x", {"x": IMAGES}), wz.FileError, "^cannot write `/dev/null/x`: there is no folder `/dev/null`$"),
    (lambda: wz.load("/nonexistent.npz"), wz.FileError, r"^cannot read `/nonexistent\.npz`: [^:]*$"),
]


def test_native_programs_import_no_other_backend():
    code = (
        "import sys, numpy as np, wootz as wz; loaded = set(sys.modules);"
        "wz.compile(wz.nn.Linear(2, 3), {'x': np.zeros((1, 2), 'f4')}); print(sorted(set(sys.modules) - loaded))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = [name for name in run.stdout.strip("[]\n").replace("'", "").split(", ") if name]
    assert "wootz.nn" in names
    assert not [name for name in names if not name.startswith("wootz.") or name.startswith("wootz.backends")]


def test_jit_knows_the_options_of_compile():
    from wootz._compile import OPTIONS

    known = [name for name, p in inspect.signature(wz.compile).parameters.items() if p.kind is p.KEYWORD_ONLY]
    # The rest is about models and training steps.
    assert sorted(OPTIONS) == sorted(set(known) - {"training", "autodiff", "stack_layers"})


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


def test_training_on_no_rows_changes_nothing():
    model = nn.training(MODEL, loss=nn.CrossEntropy(reduction="sum"), optimizer=nn.sgd(0.1))
    step = wz.compile(model, {"x": wz.f32[0, 6], "y": wz.i64[0]})
    state = step.init(seed=0)
    before = {name: np.array(state[name]) for name in state.params}
    state, out = step(state, x=np.zeros((0, 6), np.float32), y=np.zeros(0, np.int64))
    assert out["loss"] == 0
    for name, value in before.items():
        np.testing.assert_array_equal(state[name], value)


def test_sessions_of_one_program_run_at_once(program):
    params = program.init(seed=0)
    inputs = [RNG.normal(size=(4, 6)).astype(np.float32) for _ in range(4)]
    expected = [program(params, x=x)["logits"] for x in inputs]
    wrong = []

    def run(x, want):
        session = program.session(params)
        for _ in range(200):
            if not np.array_equal(session(x=x)["logits"], want):
                wrong.append(x)

    threads = [threading.Thread(target=run, args=pair) for pair in zip(inputs, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
