"""Generated files run by themselves: with nothing but their framework, in a process that knows nothing of wootz."""

import subprocess
import sys

import numpy as np
import pytest
import wootz as wz
from frameworks import IMAGES, INPUTS, INSTALLED, LABELS, MODEL
from wootz import nn

pytestmark = pytest.mark.frameworks

# What makes the framework's arrays of NumPy's.
ARRAYS = {
    "numpy": "import numpy as np; array = np.asarray",
    "jax": "import jax; array = jax.numpy.asarray",
    "torch": "import torch; array = torch.tensor",
    "mlx": "import mlx.core as mx; array = mx.array",
}
# What a file of 64-bit types says is to be done before it is imported.
WIDE = """import jax; jax.config.update("jax_enable_x64", True)"""
ALONE = """
import sys
import numpy as np
{first}
{arrays}
import model

data = np.load("data.npz")
held = {{name[2:]: array(data[name]) for name in data.files if name.startswith("p.")}}
given = [array(data[name]) for name in data.files if name.startswith("x.")]
if {steps}:
    for _ in range({steps}):
        held, outputs = model.{function}(held, *given)
    outputs = {{**held, **outputs}}
else:
    outputs = model.{function}(*([held] if held else []), *given)
assert "wootz" not in sys.modules
np.savez("out.npz", **{{name: np.asarray(value) for name, value in outputs.items()}})
"""
TRANSFORMER = nn.transformer(20, 8, width=16, heads=2, layers=2)
TOKENS = np.random.default_rng(1).integers(0, 20, (2, 8)).astype(np.int32)
EAGER = {"jit": True, "jit_options": {"backend": "eager"}}


def mlp():
    return MODEL, {"x": IMAGES}


def mlp_step():
    return nn.training(MODEL, loss=nn.cross_entropy, optimizer=nn.adamw(1e-2)), {"x": IMAGES, "y": LABELS.astype(np.int32)}


def transformer():
    return TRANSFORMER, {"x": TOKENS}


def transformer_step():
    # Momentum: Adam's first steps divide by the size of a gradient however small.
    step = nn.training(TRANSFORMER, loss=nn.cross_entropy, optimizer=nn.sgd(0.1, momentum=0.9))
    return step, {"x": TOKENS, "y": TOKENS[:, ::-1].copy()}


def fit():
    workspace = wz.histfactory.workload("simple")
    model = workspace.model()
    config, data = model.config, np.asarray(workspace.data(model))
    low, high = config.suggested_bounds.T
    given = [config.suggested_init, data, 1.0 - config.suggested_fixed, low, high, np.array(1e-10)]
    graph = model.graph("fit")
    return graph, dict(zip(wz.compile(graph, {}).inputs, given, strict=True))


CASES = [(backend, what, {}) for backend in ARRAYS for what in (mlp, mlp_step, transformer, transformer_step)]
CASES += [(backend, fit, {}) for backend in ("numpy", "jax", "torch")]
CASES += [("torch", mlp, EAGER), ("torch", mlp_step, EAGER), ("mlx", mlp_step, {"jit": True})]
CASES += [("jax", transformer, {"stack_layers": True}), ("jax", transformer_step, {"stack_layers": True})]


@pytest.mark.parametrize(("backend", "what", "options"), [case for case in CASES if case[0] in INSTALLED])
def test_the_source_runs_by_itself(backend, what, options, tmp_path):
    model, given = what()
    path = tmp_path / "model.py"
    program = wz.compile(model, {} if what is fit else given, backend=backend, file=path, **options)
    assert path.read_text() == program.source()
    held = {}
    if program.held:
        first = program.init(0)
        # As the function takes them: stacked, where layers are.
        first = first._held() if program.updates else first
        held = {name: np.asarray(value).copy() for name, value in program.params(first).items()}
    np.savez(tmp_path / "data.npz", **{f"p.{k}": v for k, v in held.items()}, **{f"x.{k}": v for k, v in given.items()})
    steps = 2 if program.updates else 0
    script = ALONE.format(
        first=WIDE if (backend, what) == ("jax", fit) else "", arrays=ARRAYS[backend], steps=steps, function=program._generated.function
    )
    (tmp_path / "run.py").write_text(script)
    done = subprocess.run([sys.executable, "run.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    if steps:
        state = program.state(held)
        for _ in range(steps):
            state, outputs = program(state, **given)
        expected = {**state._held(), **outputs}
    elif held:
        expected = program(held, **given)
    else:
        expected = program(**given)
    found = np.load(tmp_path / "out.npz")
    assert set(found.files) == set(expected)
    for name, value in expected.items():
        value = np.asarray(value)
        np.testing.assert_allclose(found[name], value, rtol=1e-6, atol=1e-6 * np.abs(value).max(), err_msg=name)
        # Without its 64-bit types JAX counts steps in 32.
        assert found[name].dtype == value.dtype or name == "optimizer.step"


INSPECTED = """
import sys
for name in ("jax", "torch", "mlx", "wootz"):
    sys.modules[name] = None
import model
"""


def test_a_file_of_numpys_needs_numpy_alone(tmp_path):
    wz.compile(nn.training(TRANSFORMER, nn.cross_entropy, nn.adamw(1e-3)), {"x": TOKENS, "y": TOKENS}, backend="numpy", file=tmp_path / "model.py")
    (tmp_path / "run.py").write_text(INSPECTED)
    subprocess.run([sys.executable, "run.py"], cwd=tmp_path, check=True)
