"""The comparison of generated with hand-written code: both sides have the same numbers, and every kind of row says what it found."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from frameworks import INSTALLED

pytestmark = pytest.mark.frameworks

BENCH = Path(__file__).parents[2] / "bench" / "generated"
FRAMEWORKS = [name for name in ("jax", "torch") if name in INSTALLED]


def row(tmp_path, *words):
    file = tmp_path / "row.json"
    command = [sys.executable, str(BENCH), *words, "--rounds", "3", "--processes", "1", "--seconds", "0.05", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text())


# A row raises where the two sides disagree.
@pytest.mark.parametrize(
    "words",
    [("mlp",), ("mlp", "--mode", "training"), ("transformer",), ("transformer", "--mode", "training"), ("histfactory",)],
    ids=" ".join,
)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_both_sides_agree(framework, words, tmp_path):
    found = row(tmp_path, framework, *words)
    assert found["rounds"] == 3
    assert 0 < found["low"] <= found["ratio"] <= found["high"]
    assert found["generated_s"] > 0 and found["handwritten_s"] > 0


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_what_a_call_and_a_source_cost(framework, tmp_path):
    overhead = row(tmp_path, framework, "mlp", "--row", "overhead", "--device", "cpu")
    assert overhead["allowed_us"] == pytest.approx(1.4)
    assert overhead["low_us"] <= overhead["overhead_us"] <= overhead["high_us"]
    assert overhead["device"] == "cpu"
    step = row(tmp_path, framework, "linear", "--mode", "training", "--row", "overhead")
    # A weight and a bias, two moments of each, and the counter.
    assert step["allowed_us"] == pytest.approx(1.35)
    if framework == "jax":
        assert row(tmp_path, framework, "histfactory", "--row", "overhead")["allowed_us"] == 1
    source = row(tmp_path, framework, "mlp", "--mode", "training", "--row", "source")
    assert 0 < source["source_s"] < source["source_s"] / source["of_first_call"]


@pytest.mark.parametrize("framework", FRAMEWORKS[:1])
def test_memory_of_fresh_processes(framework, tmp_path):
    found = row(tmp_path, framework, "linear", "--row", "memory")
    for phase in ("compile", "inference"):
        peaks = found[phase]
        assert peaks["of_handwritten"] == pytest.approx(peaks["generated_kib"] / peaks["handwritten_kib"])


def test_rows_of_the_table_are_read_by_the_command_and_have_names_of_their_own(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(BENCH), *sys.path])
    bench = runpy.run_path(str(BENCH / "__main__.py"), run_name="generated")
    seen = [" ".join(words) for words in bench["table"]()]
    assert len(set(seen)) == len(seen)
    for wanted in (
        "jax transformer --mode training --autodiff framework",
        "torch mlp --mode training --jit --autodiff wootz",
        "torch transformer --mode training --jit --row memory",
        "jax histfactory --row compile --rounds 7",
    ):
        assert wanted in seen


@pytest.mark.skipif(len(FRAMEWORKS) < 2, reason="the report names the versions of JAX and PyTorch")
def test_rows_that_fail_are_named(tmp_path):
    file = tmp_path / "all.json"
    command = [sys.executable, str(BENCH), "all", "--rows", "jax linear --mode inference", "--limit", "0.01", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "no figures of: jax linear --mode inference" in done.stderr
    assert json.loads(file.read_text())["failed"] == ["jax linear --mode inference"]
