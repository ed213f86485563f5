"""Layers and transformers against PyTorch's with the same weights. PyTorch is in the peers' environment (`cargo xtask peers`), whose
Python computes what is expected; without it these tests are skipped, and say so.

Both sides round to f32 in their own order: 2e-5 of the largest element is some hundred roundings."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import wootz as wz
from wootz import nn


pytestmark = pytest.mark.frameworks


def peers_python():
    if importlib.util.find_spec("torch"):
        return sys.executable
    if given := os.environ.get("WOOTZ_PEERS_PYTHON"):
        return given
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return next((str(p) for p in sorted((cache / "wootz").glob("peers-*/bin/python"))), None)


@pytest.fixture(scope="module")
def torch(tmp_path_factory):
    python = peers_python()
    if python is None:
        pytest.skip("there is no peers' environment with PyTorch; `cargo xtask peers` makes it")
    out = tmp_path_factory.mktemp("pytorch") / "reference.npz"
    script = Path(__file__).with_name("pytorch_reference.py")
    if subprocess.run([python, "-c", "import torch"], capture_output=True, check=False).returncode:
        pytest.skip(f"{python} has no PyTorch")
    subprocess.run([python, str(script), str(out)], check=True)
    return dict(np.load(out))


def under(found, prefix):
    return {name.removeprefix(f"{prefix}/"): x for name, x in found.items() if name.startswith(f"{prefix}/")}


def close(got, expected, what=""):
    got = np.asarray(got)
    assert got.shape == expected.shape, what
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5 * max(1.0, np.abs(expected).max()), err_msg=what)


GPT = {"width": 16, "heads": 4, "layers": 3}


def test_a_decoder_only_transformer(torch):
    model = nn.transformer(11, 8, **GPT)
    params = under(torch, "gpt/params")
    for level in ("none", "basic", "full"):
        program = wz.compile(model, {"x": wz.i64[2, 8]}, optimize=level)
        assert {name: tuple(x.shape) for name, x in program.init().items()} == {
            name: x.shape for name, x in params.items()
        }
        close(program(params, x=torch["gpt/x"])["logits"], torch["gpt/logits"], level)

    def loss(params, x, y):
        return nn.cross_entropy(model.apply(params, x), y)

    gradients = wz.grad(loss)(params, torch["gpt/x"], torch["gpt/y"])
    for name, expected in under(torch, "gpt/gradients").items():
        close(gradients[name], expected, name)


OPTIMIZERS = {"sgd": nn.sgd(0.1, momentum=0.9), "adamw": nn.adamw(1e-2, eps=1e-3)}


@pytest.mark.parametrize("level", ["none", "basic", "full"])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_three_training_steps(torch, kind, level):
    shapes = {"x": wz.i64[2, 8], "y": wz.i64[2, 8]}
    training = nn.training(nn.transformer(11, 8, **GPT), nn.cross_entropy, OPTIMIZERS[kind])
    results = []
    for threads in (1, 2):
        step = wz.compile(training, shapes, optimize=level, threads=threads)
        state, losses = step.state({**dict(step.init(0).items()), **under(torch, "gpt/params")}), []
        for _ in range(3):
            state, out = step(state, x=torch["gpt/x"], y=torch["gpt/y"])
            losses.append(out["loss"])
        close(np.array(losses), torch[f"gpt/{kind}/losses"])
        for name, expected in under(torch, f"gpt/{kind}/trained").items():
            close(state[name], expected, name)
        results.append({name: np.array(x) for name, x in state.items()})
    for name, x in results[0].items():
        np.testing.assert_array_equal(x, results[1][name], err_msg=f"{name} depends on the number of threads")


def test_an_encoder_with_pytorchs_defaults(torch):
    layer = nn.TransformerEncoderLayer(12, 3, 20, dropout=0.0)
    model = nn.TransformerEncoder(layer, 2)
    params, x = under(torch, "encoder/params"), torch["encoder/x"]
    close(wz.compile(model, {"x": wz.f32[2, 5, 12]})(params, x=x)["output"], torch["encoder/output"])
    close(wz.grad(lambda x: (model.apply(params, x) ** 2).sum())(x), torch["encoder/dx"])


def test_cross_attention(torch):
    found = under(torch, "cross")
    inputs = {name: found[name] for name in ("query", "key", "value", "mask")}
    shapes = {"query": wz.f32[2, 3, 8], "key": wz.f32[2, 4, 8], "value": wz.f32[2, 4, 8], "mask": wz.bool_[3, 4]}
    model = nn.MultiheadAttention(8, 2, cross=True, mask=True)
    close(wz.compile(model, shapes)(under(torch, "cross/params"), **inputs)["output"], found["output"])


FUNCTIONS = {
    "layer_norm": (lambda x, weight, bias: wz.layer_norm(x, weight, bias, eps=1e-3), ["x", "weight", "bias"]),
    "rms_norm": (lambda x, weight: wz.rms_norm(x, weight, eps=2.0**-23), ["x", "weight"]),
    "attention": (lambda q, k, v, mask: wz.attention(q, k, v, mask, scale=0.3), ["q", "k", "v"]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_and_their_gradients(torch, name):
    function, wrt = FUNCTIONS[name]
    found = under(torch, name)
    inputs = [found[key] for key in [*wrt, *(["mask"] if "mask" in found else [])]]
    close(wz.jit(function)(*inputs), found["output"])
    gradients = wz.grad(lambda *args: (function(*args) ** 3).sum(), argnums=tuple(range(len(wrt))))(*inputs)
    for key, gradient in zip(wrt, gradients, strict=True):
        close(gradient, found[f"d{key}"], key)


def test_embeddings(torch):
    found = under(torch, "embedding")
    model = nn.Embedding(6, 4, padding_idx=2)
    params = {"weight": found["weight"]}
    close(wz.compile(model, {"x": wz.i64[2, 3]})(params, x=found["ids"])["output"], found["output"])

    def loss(params):
        output = model.apply(params, found["ids"])
        return (output**3 + output).sum()

    close(wz.grad(loss)(params)["weight"], found["dweight"])
