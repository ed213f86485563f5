"""Compilation caches on disk."""

import json
import subprocess
import sys

import numpy as np
import pytest
import wootz as wz
from frameworks import IMAGES, INPUTS, INSTALLED, MODEL

SCRIPT = """
import json, os, sys
import numpy as np
import wootz as wz
from wootz import nn
framework, folder = sys.argv[1:]
model, inputs = nn.mlp([6, 8, 3]), {"x": wz.f32[4, 6]}
options = {"jit_options": {"mode": "default"}} if framework == "torch" else {}
program = wz.compile(model, inputs, backend=framework, jit=True, cache=folder, **options)
before = program.report().cache
unused = [before.hits, before.misses]
params = program.init(0)
x = np.ones((4, 6), np.float32)
(name,) = program.outputs
native = wz.compile(model, inputs)
expected = native(native.init(0), x=x)[name]
outputs = [np.asarray(program(params, x=x)[name]).tolist() for _ in range(2)]
cache = program.report().cache
print(json.dumps({"unused": unused, "hits": cache.hits, "misses": cache.misses, "outputs": outputs, "expected": expected.tolist()}))
"""


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", [name for name in ("jax", "torch") if name in INSTALLED])
def test_another_process_finds_what_one_compiled(framework, tmp_path):
    def run():
        command = [sys.executable, "-c", SCRIPT, framework, str(tmp_path / "cache")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    first, second = run(), run()
    assert first["unused"] == second["unused"] == [0, 0]
    assert first["hits"] == 0
    assert first["misses"] > 0
    assert second["hits"] > 0
    assert second["misses"] == 0
    assert first["outputs"] == second["outputs"]
    # PyTorch's by its own compiler, for the CPU by way of C++.
    for outputs in first["outputs"]:
        np.testing.assert_allclose(outputs, first["expected"], rtol=1e-5, atol=1e-6)
    assert any((tmp_path / "cache").iterdir())


@pytest.mark.frameworks
@pytest.mark.skipif("jax" not in INSTALLED, reason="needs JAX")
def test_jax_is_told_nothing_that_stays(tmp_path):
    import jax

    names = ("jax_compilation_cache_dir", "jax_enable_compilation_cache", "jax_persistent_cache_min_compile_time_secs")
    before = [getattr(jax.config, name) for name in names]
    program = wz.compile(MODEL, INPUTS, backend="jax", cache=tmp_path)
    params = program.init(0)
    # Traced by others it is not compiled, and looks again.
    jax.eval_shape(lambda params, x: program.function(params, x), params, IMAGES)
    assert not program.report().cache.used
    program(params, x=IMAGES)
    assert program.report().cache.misses == 1
    assert [getattr(jax.config, name) for name in names] == before
    kept = len(list(tmp_path.iterdir()))
    jax.jit(lambda x: x * 3 + 1)(np.ones(5)).block_until_ready()
    assert len(list(tmp_path.iterdir())) == kept
    assert "1 misses" in str(program.report())


@pytest.mark.frameworks
def test_what_keeps_nothing_says_so(tmp_path):
    with pytest.raises(wz.BackendError, match='"numpy" keeps no compiled programs on disk'):
        wz.compile(MODEL, INPUTS, backend="numpy", cache=tmp_path)
    if "mlx" in INSTALLED:
        with pytest.raises(wz.BackendError, match='"mlx" keeps no compiled programs on disk: leave `cache` out'):
            wz.compile(MODEL, INPUTS, backend="mlx", jit=True, cache=tmp_path)
        assert wz.compile(MODEL, INPUTS, backend="mlx", jit=True).report().cache is None
    with pytest.raises(wz.BackendError, match='"cpu" has no `cache`'):
        wz.compile(MODEL, INPUTS, cache=tmp_path)
    assert wz.compile(MODEL, INPUTS, backend="numpy").report().cache is None


@pytest.mark.frameworks
@pytest.mark.skipif("torch" not in INSTALLED, reason="needs PyTorch")
def test_a_cache_needs_a_compiler_and_a_folder(tmp_path):
    with pytest.raises(wz.BackendError, match="`jit=True`"):
        wz.compile(MODEL, INPUTS, backend="torch", cache=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(wz.FileError, match="cannot make the folder"):
        wz.compile(MODEL, INPUTS, backend="torch", jit=True, cache=tmp_path / "file")
