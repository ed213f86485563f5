"""The comparison of generated with hand-written code: both sides have the same numbers, and every kind of row says what it found."""

import json
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
    overhead = row(tmp_path, framework, "mlp", "--row", "overhead")
    assert overhead["allowed_us"] == pytest.approx(1.4)
    assert overhead["low_us"] <= overhead["overhead_us"] <= overhead["high_us"]
    source = row(tmp_path, framework, "mlp", "--mode", "training", "--row", "source")
    assert 0 < source["source_s"] < source["source_s"] / source["of_first_call"]


@pytest.mark.parametrize("framework", FRAMEWORKS[:1])
def test_memory_of_fresh_processes(framework, tmp_path):
    found = row(tmp_path, framework, "linear", "--row", "memory")
    for phase in ("compile", "inference"):
        peaks = found[phase]
        assert peaks["of_handwritten"] == pytest.approx(peaks["generated_kib"] / peaks["handwritten_kib"])


@pytest.mark.skipif(len(FRAMEWORKS) < 2, reason="the report names the versions of JAX and PyTorch")
def test_rows_that_fail_are_named(tmp_path):
    file = tmp_path / "all.json"
    command = [sys.executable, str(BENCH), "all", "--rows", "jax linear --mode inference", "--limit", "0.01", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "no figures of: jax linear --mode inference" in done.stderr
    assert json.loads(file.read_text())["failed"] == ["jax linear --mode inference"]
