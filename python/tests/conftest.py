"""What all tests share."""

import tempfile
from pathlib import Path

from hypothesis.configuration import set_hypothesis_home_dir

# Not into the folder that the tests happen to be started in.
set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "wootz-hypothesis")
