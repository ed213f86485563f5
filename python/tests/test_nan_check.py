"""`nan_check`: where the first NaN arose, by block and line."""

import inspect

import numpy as np
import pytest
import wootz as wz
from wootz import nn

MODEL = nn.mlp([6, 8, 3])
INPUTS = {"x": wz.f32[4, 6]}
LABELS = np.array([0, 2, 1, 1])


def test_nan_check_names_the_line():
    def model(x):
        y = x - 1
        return wz.log(y)  # the culprit

    line = model.__code__.co_firstlineno + 2
    program = wz.compile(model, {"x": wz.f32[3]}, nan_check=True)
    assert np.isfinite(program(x=np.full(3, 2, np.float32))["output"]).all()
    with pytest.raises(wz.NanError, match=rf"log.*test_nan_check\.py:{line}"):
        program(x=np.zeros(3, np.float32))
    with pytest.raises(FloatingPointError, match="log"):
        wz.jit(model, nan_check=True)(np.zeros(3, np.float32))


def line_of(function, text):
    """`file:line` of the only line of the function that holds `text`, for a regular expression."""
    lines, first = inspect.getsourcelines(function)
    (found,) = [i for i, line in enumerate(lines) if text in line]
    return rf"test_nan_check\.py:{first + found}"


class Inner(nn.Module):
    def __init__(self):
        self.fc = nn.Linear(3, 3)

    def forward(self, x):
        return wz.log(self.fc(x) - 1)


class Outer(nn.Module):
    def __init__(self):
        self.inner = Inner()
        self.head = nn.Sequential(nn.Linear(3, 2), nn.ReLU())

    def forward(self, x):
        return self.head(self.inner(x))


def test_nan_check_names_blocks_inside_blocks_and_the_lines_that_call_them():
    program = wz.compile(Outer(), {"x": wz.f32[1, 3]}, nan_check=True)
    ones = {name: np.ones_like(value) for name, value in program.init().items()}
    x = np.ones((1, 3), np.float32)
    assert np.isfinite(program(ones, x=x)["output"]).all()
    with pytest.raises(wz.NanError, match=rf"`log` at inner, {line_of(Inner.forward, 'log')}$"):
        program(ones, x=-x)
    # A product that is infinite, less one that is: the NaN arises in a built-in block, which the user's line called.
    infinite = np.array([[np.inf, 0, 0]], np.float32)
    opposite = {**ones, "inner.fc.weight": -ones["inner.fc.weight"], "inner.fc.bias": np.full(3, np.inf, np.float32)}
    with pytest.raises(wz.NanError, match=rf"`linear` at inner\.fc, {line_of(Inner.forward, 'self.fc')}$"):
        program(opposite, x=infinite)
    opposite = {**ones, "head.0.weight": np.array([[np.inf, -np.inf, 1]] * 2, np.float32)}
    with pytest.raises(wz.NanError, match=rf"`linear` at head\.0, {line_of(Outer.forward, 'self.head')}$"):
        program(opposite, x=x)


def test_shape_errors_name_the_line_that_called_the_block():
    with pytest.raises(wz.ShapeError, match=rf"inner\.fc, {line_of(Inner.forward, 'self.fc')}"):
        wz.compile(Outer(), {"x": wz.f32[1, 4]})


class Recurrent(nn.Module):
    def __init__(self):
        self.cell = Cell()

    def forward(self, x):
        return self.cell(x)


class Cell(nn.Module):
    def forward(self, x):
        def step(carry, row):
            carry = carry - row
            return wz.sqrt(carry), carry

        last, rows = wz.scan(step, np.float32(2), x)
        return rows + last


def test_nan_check_looks_into_loops():
    program = wz.compile(Recurrent(), {"x": wz.f32[3]}, nan_check=True)
    assert np.isfinite(program(x=np.zeros(3, np.float32))["output"]).all()
    with pytest.raises(wz.NanError, match=rf"`sqrt` at cell, {line_of(Cell.forward, 'sqrt')}$"):
        program(x=np.array([0, 5, 0], np.float32))


def test_nan_check_never_lets_a_nan_pass():
    # ±10⁶⁰ overflows in f32 sums, and not in the sums of the reference evaluation.
    a, b = np.full((1, 64), 1e30, np.float32), np.full((64, 1), 1e30, np.float32)
    b[::2] *= -1
    with pytest.raises(wz.NanError, match="`output` holds a NaN of unknown origin: .* does not reproduce it"):
        wz.jit(lambda a, b: a @ b, nan_check=True)(a, b)
    session = wz.compile(lambda a, b: a @ b, {"a": wz.f32[1, 64], "b": wz.f32[64, 1]}, nan_check=True).session()
    with pytest.raises(wz.NanError, match="unknown origin"):
        session(a=a, b=b)
    program = wz.compile(MODEL, INPUTS, nan_check=True)
    params = program.init()
    program.prepare(params, consume=True)
    with pytest.raises(wz.NanError, match="`logits` holds a NaN.*given up"):
        program(params, x=np.full((4, 6), np.nan, np.float32))
    training = nn.training(MODEL, loss=nn.cross_entropy, optimizer=nn.sgd(0.1))
    step = wz.compile(training, {"x": wz.f32[4, 6], "y": wz.i64[4]}, nan_check=True)
    with pytest.raises(wz.NanError, match="input `x` holds a NaN"):
        step(step.init(), x=np.full((4, 6), np.nan, np.float32), y=LABELS)
