"""`Program.profile`: where the time of a run went."""

import json

import numpy as np
import pytest
import wootz as wz
from wootz import nn

MODEL = nn.mlp([6, 8, 3])
X = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
Y = np.array([0, 2, 1, 1])


def test_a_profile_has_every_step(tmp_path):
    program = wz.compile(MODEL, {"x": wz.f32[4, 6]})
    profile = program.profile(program.init(), x=X, runs=3)
    assert isinstance(profile, wz.Profile)
    assert profile.runs == 3
    steps = profile.steps
    assert sum(step["flops"] * step["calls"] for step in steps) >= 2 * 4 * (6 * 8 + 8 * 3)
    assert {"0", "2"} <= {step["site"].split(",")[0] for step in steps}
    assert all(step["seconds"] >= step["fastest"] >= 0 for step in steps)
    assert 0 < sum(step["share"] for step in steps) <= 1 + 1e-9
    assert str(profile) == repr(profile) and "mean of 3 runs" in str(profile)
    profile.chrome_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert len([e for e in events if e["ph"] == "X"]) >= 3 * len(steps)


def test_a_profiled_step_moves_the_state_on():
    training = nn.training(MODEL, loss=nn.cross_entropy, optimizer=nn.adam(1e-2))
    step = wz.compile(training, {"x": wz.f32[4, 6], "y": wz.i64[4]})
    state, profile = step.profile(step.init(), x=X, y=Y, runs=3)
    assert profile.runs == 3
    # Three, and the one before them.
    assert state["optimizer.step"] == 4
    with pytest.raises(TypeError, match="state, profile = step.profile"):
        step.profile(x=X, y=Y)
