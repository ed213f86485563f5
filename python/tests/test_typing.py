"""What a type checker knows of the package."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
import wootz as wz

EXAMPLES = Path(__file__).parents[2] / "examples"


def check_types(*args):
    """What mypy says, with everything that it finds in wootz itself left out."""
    pytest.importorskip("mypy", reason="mypy is not installed")
    options = ["--follow-imports=silent", "--ignore-missing-imports", "--cache-dir", os.devnull]
    done = subprocess.run([sys.executable, "-m", "mypy", *options, *args], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_names_that_are_loaded_late_are_typed():
    lazy = {(f"wootz.{module}", name) for name, module in wz._LAZY.items()}
    lazy |= {("wootz._ops", name) for name in wz._OPS} | {("wootz", name) for name in wz._MODULES}
    source = ast.parse(Path(wz.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in source.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    assert {(node.module, alias.name) for node in block.body for alias in node.names} == lazy


def test_a_type_checker_knows_functions_programs_and_layers():
    code = """
import wootz as wz
program = wz.compile(wz.nn.mlp([6, 3]), {"x": wz.f32[4, 6]})
reveal_type(wz.tanh)
reveal_type(wz.sum(1.0))
reveal_type(wz.jit(wz.tanh))
reveal_type(wz.nn.Linear(6, 3))
reveal_type(wz.f32["B", 6])
"""
    found = [line.rsplit('"', 2)[1] for line in check_types("--strict", "-c", code).splitlines() if "Revealed" in line]
    assert found == [
        "def (Any) -> wootz._tensor.Tensor",
        "wootz._tensor.Tensor",
        "wootz._jit.jit",
        "wootz.nn._layers.Linear",
        "wootz._native.Spec",
    ]


def test_stubs_and_examples_pass_a_type_checker():
    check_types("-m", "wootz._native")
    check_types("--check-untyped-defs", *map(str, sorted(EXAMPLES.glob("*.py"))))
