"""Indexing against NumPy."""

import numpy as np
import pytest
import wootz as wz
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

X = np.arange(60.0).reshape(3, 4, 5)
I = np.array([2, 0])
J = np.array([[1], [3]])

KEYS = {
    "int": 1,
    "negative": -1,
    "ints": (2, 3, 4),
    "slice": slice(1, 3),
    "steps": (slice(None, None, 2), slice(3, 0, -1), slice(-3, None)),
    "empty": slice(2, 2),
    "beyond": slice(1, 100),
    "ellipsis": (..., 2),
    "new axes": (None, 0, ..., None),
    "array": I,
    "negative array": np.array([-1, 0]),
    "array in the middle": (slice(None), I),
    "array at the end": (..., I),
    "arrays side by side": (slice(None), J, I),
    "arrays": (I, np.array([3, 1])),
    "arrays apart": (I, slice(None), np.array([4, 0])),
    "array and int": (slice(None), 1, I),
    "list": [2, 0, 1],
    "array and slice": (slice(1, None), I[:1]),
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_like_numpy(key):
    got = wz.jit(lambda x: x[key])(X)
    expected = X[key]
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_gradients_go_where_the_elements_came_from(key):
    got = wz.grad(lambda x: (x[key] ** 2).sum())(X)
    expected = np.zeros_like(X)
    np.add.at(expected, key, 2 * X[key])
    np.testing.assert_array_equal(got, expected)


def test_by_traced_positions():
    f = wz.jit(lambda x, i: x[i, 0] + wz.take_along_axis(x[:, 0], i[:, None], 1).sum())
    i = np.array([0, 2, 1])
    np.testing.assert_array_equal(f(X, i), X[i, 0] + np.take_along_axis(X[:, 0], i[:, None], 1).sum())


ERRORS = [
    (3, wz.ShapeError, "index 3 is out of range for axis 0"),
    ((0, 0, 0, 0), wz.ShapeError, "4 indices are too many"),
    (np.array([True, False, True]), wz.DTypeError, "wz.where"),
    (np.array([0.5]), wz.DTypeError, "indices are integers"),
    ((..., ...), wz.ShapeError, "only one"),
]


@pytest.mark.parametrize(("key", "kind", "message"), ERRORS)
def test_errors(key, kind, message):
    with pytest.raises(kind, match=message):
        wz.jit(lambda x: x[key])(X)


def test_iteration_and_length():
    f = wz.jit(lambda x: sum(row * len(row) for row in x))
    np.testing.assert_array_equal(f(X), sum(row * 4 for row in X))


def slices(size):
    bound = st.none() | st.integers(-size - 2, size + 2)
    return st.builds(slice, bound, bound, st.none() | st.sampled_from([-3, -2, -1, 1, 2, 3]))


@settings(max_examples=60, deadline=None)
@given(st.tuples(slices(3), st.integers(-4, 3) | slices(4), slices(5)))
def test_any_slices_are_numpys(key):
    np.testing.assert_array_equal(wz.jit(lambda x: x[key])(X), X[key])


@settings(max_examples=60, deadline=None)
@given(arrays.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3))
def test_any_shapes_broadcast_as_numpys_do(shapes):
    x, y = [np.arange(float(np.prod(shape))).reshape(shape) for shape in shapes.input_shapes]
    got = wz.jit(lambda x, y: x * 2 + y)(x, y)
    assert got.shape == shapes.result_shape
    np.testing.assert_array_equal(got, x * 2 + y)
