"""What the pages show of other frameworks, and the example that moves between them, runs where these are installed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from frameworks import INSTALLED

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "other-frameworks.md"

pytestmark = pytest.mark.frameworks


@pytest.mark.skipif(not {"jax", "torch"} <= set(INSTALLED), reason="needs JAX and PyTorch")
def test_the_page_about_other_frameworks(tmp_path):
    # Those too that are not run where no framework is.
    blocks = re.findall(r"^```python(?:,ignore)?\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert sum("import jax" in block or "import torch" in block for block in blocks) == 2
    (tmp_path / "page.py").write_text("\n".join(blocks))
    done = subprocess.run([sys.executable, "page.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("backends", [["cpu", "jax"], ["torch", "mlx", "cpu"]], ids=" to ".join)
def test_an_example_goes_on_elsewhere(backends, tmp_path):
    if missing := set(backends) - {"cpu", *INSTALLED}:
        pytest.skip(f"{', '.join(missing)} is not installed here")
    command = [sys.executable, str(ROOT / "examples" / "backends.py"), *backends]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    losses = [float(line.split()[2]) for line in done.stdout.splitlines()[:-1]]
    # It went on where the one before had ended.
    assert len(losses) == len(backends) and losses[1] < losses[0] < 0.6
