"""Generated source has nothing that ruff would format otherwise or complain of."""

import subprocess
import sys
from pathlib import Path

import pytest
import wootz as wz
from frameworks import MODULES
from wootz import _native, nn
from wootz._compile import define

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
TOKENS = {"x": wz.i64[2, 16], "y": wz.i64[2, 16]}


def transformer():
    return nn.transformer(100, 16, width=32, heads=4, layers=3)


def step(optimizer, **options):
    return define(nn.training(transformer(), loss=nn.cross_entropy, optimizer=optimizer, **options), TOKENS)


def control(rows, bound):
    last, sums = wz.scan(lambda total, row: (total + row, total * row), wz.zeros_like(rows[0]), rows)
    largest = wz.max(last)
    halved, count = wz.while_loop(lambda c: c[0] > bound, lambda c: (c[0] * 0.5, c[1] + 1), (largest, 0))
    size = wz.cond(largest > bound, lambda: halved, lambda: -largest)
    return {"sums": sums, "size": size, "count": count}


def dropping():
    return nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Dropout(0.5), nn.LayerNorm(8), nn.Linear(8, 3))


def definitions():
    """Names, what is written, whether the framework differentiates it, and whether it has doubles."""
    yield "transformer", define(transformer(), {"x": TOKENS["x"]}), False, False
    for name, optimizer in (("adamw", nn.adamw(1e-3)), ("momentum", nn.sgd(0.1, momentum=0.9))):
        yield f"{name}_step", step(optimizer, clip_norm=1.0), False, False
        yield f"{name}_step_differentiated", step(optimizer, clip_norm=1.0), True, False
    classes = {"x": wz.f32[4, 6], "y": wz.i64[4]}
    yield "dropout_step", define(nn.training(dropping(), loss=nn.cross_entropy, optimizer=nn.sgd(0.1)), classes), False, False
    yield "control", define(control, {"rows": wz.f32[5, 4], "bound": wz.f32}), False, False
    for workload in ("simple", "complex-8p"):
        model = wz.histfactory.workload(workload).model()
        for what in ("logpdf", "rates"):
            yield f"{workload}_{what}", define(model.graph(what), {}), False, True
        yield f"{workload}_gradient", define(model.graph("logpdf").grad(0, [0]), {}), False, True


def ruff(*arguments):
    command = [sys.executable, "-m", "ruff", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    count = 0
    for name, definition, differentiated, doubles in definitions():
        for framework in MODULES:
            if (doubles and framework == "mlx") or (differentiated and framework == "numpy"):
                continue
            for stacked in (False, True):
                if stacked and (framework != "jax" or name not in ("transformer", "adamw_step_differentiated")):
                    continue
                for jit in (False, True):
                    generated = _native.generate(definition, {}, framework, "full", jit, "", None, differentiated, stacked)
                    file = folder / f"{name}_{framework}_{jit}_{stacked}.py"
                    file.write_text(generated.source, encoding="utf-8")
                    count += 1
    assert count > 80
    return folder


@pytest.mark.parametrize("what", ["golden", "sources"])
def test_ruff_has_nothing_to_say(what, sources):
    folder = GOLDEN if what == "golden" else sources
    assert any(folder.glob("*.py"))
    formatted = ruff("format", "--isolated", "--no-cache", "--diff", folder)
    assert formatted.returncode == 0, formatted.stdout[:6000] + formatted.stderr
    checked = ruff("check", "--isolated", "--no-cache", folder)
    assert checked.returncode == 0, checked.stdout[:6000] + checked.stderr
