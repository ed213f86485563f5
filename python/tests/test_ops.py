"""Functions of tensors against NumPy and SciPy, and their gradients against central differences."""

import numpy as np
import pytest
import scipy.special as special
import wootz as wz

X = np.array([[0.3, -1.2, 0.7], [1.9, 0.1, -0.4]])
P = np.abs(X) + 0.2
U = np.clip(X / 2, -0.9, 0.9)

# name, NumPy's function, argument where both are defined
UNARY = [
    ("exp", np.exp, X),
    ("expm1", np.expm1, X),
    ("log", np.log, P),
    ("log1p", np.log1p, P),
    ("sqrt", np.sqrt, P),
    ("rsqrt", lambda x: 1 / np.sqrt(x), P),
    ("sin", np.sin, X),
    ("cos", np.cos, X),
    ("tan", np.tan, X),
    ("tanh", np.tanh, X),
    ("erf", special.erf, X),
    ("erfc", special.erfc, X),
    ("erfinv", special.erfinv, U),
    ("lgamma", special.gammaln, P),
    ("digamma", special.digamma, P),
    ("relu", lambda x: np.maximum(x, 0), X),
    ("silu", lambda x: x * special.expit(x), X),
    ("sigmoid", special.expit, X),
    ("softplus", lambda x: np.logaddexp(x, 0), X),
    ("negative", np.negative, X),
    ("abs", np.abs, X),
    ("square", np.square, X),
    ("gelu", lambda x: x * special.ndtr(x), X),
    ("leaky_relu", lambda x: np.where(x > 0, x, 0.01 * x), X),
    ("softmax", lambda x: special.softmax(x, -1), X),
    ("log_softmax", lambda x: special.log_softmax(x, -1), X),
    ("logsumexp", special.logsumexp, X),
    ("floor", np.floor, X),
    ("ceil", np.ceil, X),
    ("round", np.round, X),
    ("sign", np.sign, X),
]


def close(got, expected, rtol=1e-9):
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol)


def central_differences(f, x, h=1e-5):
    gradient = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = h
        gradient[i] = (f(x + step) - f(x - step)) / (2 * h)
    return gradient


@pytest.mark.parametrize(("name", "reference", "x"), UNARY, ids=[row[0] for row in UNARY])
def test_elementwise_functions_and_their_gradients(name, reference, x):
    function = getattr(wz, name)
    close(wz.jit(function)(x), reference(x))
    weights = np.linspace(0.5, 1.5, x.size).reshape(x.shape)
    got = wz.grad(lambda x: (function(x) * weights).sum())(x)
    close(got, central_differences(lambda x: (reference(x) * weights).sum(), x), rtol=1e-6)


Y = np.array([[1.5, 0.5, -2.0], [0.25, -0.75, 3.0]])
BINARY = [
    ("add", lambda x, y: x + y, np.add),
    ("sub", lambda x, y: x - y, np.subtract),
    ("mul", lambda x, y: x * y, np.multiply),
    ("div", lambda x, y: x / y, np.divide),
    ("mod", lambda x, y: x % y, np.mod),
    # The floor of the rounded quotient; NumPy goes through the remainder.
    ("floor_div", lambda x, y: x // y, lambda x, y: np.floor(x / y)),
    ("maximum", lambda x, y: wz.maximum(x, y), np.maximum),
    ("minimum", lambda x, y: wz.minimum(x, y), np.minimum),
    ("arctan2", lambda x, y: wz.arctan2(x, y), np.arctan2),
    ("less", lambda x, y: x < y, np.less),
    ("equal", lambda x, y: x == y, np.equal),
    ("where", lambda x, y: wz.where(x > y, x, y), np.maximum),
    ("fmod", lambda x, y: wz.fmod(x, y), np.fmod),
    ("floor_divide", lambda x, y: wz.floor_divide(x, y), lambda x, y: np.floor(x / y)),
    ("pow", lambda x, y: wz.pow(wz.abs(x), y), lambda x, y: np.abs(x) ** y),
    ("greater", lambda x, y: wz.greater(x, y), np.greater),
    ("greater_equal", lambda x, y: wz.greater_equal(x, y), np.greater_equal),
    ("less_equal", lambda x, y: wz.less_equal(x, y), np.less_equal),
    ("not_equal", lambda x, y: wz.not_equal(x, y), np.not_equal),
    ("logical_and", lambda x, y: wz.logical_and(x > 0, y), np.vectorize(lambda x, y: x > 0 and y != 0)),
    ("logical_or", lambda x, y: wz.logical_or(x > 0, y > 0), lambda x, y: (x > 0) | (y > 0)),
]


@pytest.mark.parametrize(("function", "reference"), [row[1:] for row in BINARY], ids=[row[0] for row in BINARY])
def test_functions_of_two_tensors_broadcast(function, reference):
    f = wz.jit(function)
    for y in (Y, Y[0], Y[:, :1], Y[1, 2]):
        close(f(X, y), reference(X, y))
        close(f(y, X), reference(y, X))


def test_comparisons_are_of_equals_too():
    x, y = np.array([1.0, 2, np.nan]), np.array([1.0, 1, np.nan])
    f = wz.jit(lambda x, y: (x > y, x >= y, x < y, x <= y, x == y, x != y))
    for got, compare in zip(f(x, y), (np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal), strict=True):
        np.testing.assert_array_equal(got, compare(x, y))


def test_predicates_and_roundings():
    x = np.array([-np.inf, -2.5, -0.5, 0.5, 1.5, np.inf, np.nan])
    for name in ("isnan", "isfinite", "floor", "ceil", "round", "sign"):
        np.testing.assert_array_equal(wz.jit(getattr(wz, name))(x), getattr(np, name)(x), err_msg=name)
    np.testing.assert_array_equal(wz.jit(wz.logical_not)(np.array([0, 2, -1])), [True, False, False])
    counts = np.array([-3, 0, 4])
    for name in ("floor", "ceil", "round"):
        got = wz.jit(getattr(wz, name))(counts)
        assert (got.dtype, got.tolist()) == (counts.dtype, counts.tolist()), name


@pytest.mark.parametrize("order", [1, 2, 3])
def test_polygamma(order):
    close(wz.jit(lambda x: wz.polygamma(order, x))(P), special.polygamma(order, P))
    got = wz.grad(lambda x: wz.polygamma(order, x).sum())(P)
    close(got, special.polygamma(order + 1, P))


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32, np.uint8])
def test_integers_and_their_bits(dtype):
    x, y = np.array([0, 1, 6, 13, 100], dtype), np.array([3, 1, 2, 5, 7], dtype)
    operators = [
        lambda x, y: x & y, lambda x, y: x | y, lambda x, y: x ^ y, lambda x, y: ~x, lambda x, y: x << (y & 3),
        lambda x, y: x >> (y & 3), lambda x, y: x // y, lambda x, y: x % y, lambda x, y: x * y, lambda x, y: 6 & x, lambda x, y: 1 | x,
    ]  # fmt: skip
    for i, function in enumerate(operators):
        got, expected = wz.jit(function)(x, y), function(x, y)
        assert got.dtype == dtype, i
        np.testing.assert_array_equal(got, expected, err_msg=str(i))


def test_negative_integers():
    x, y = np.array([-7, -1, 7, -8], np.int32), np.array([2, 3, -2, -3], np.int32)
    f = wz.jit(lambda x, y: (x // y, x % y, wz.fmod(x, y), x >> 1, x << 2, ~x))
    for got, expected in zip(f(x, y), (x // y, x % y, np.fmod(x, y), x >> 1, x << 2, ~x), strict=True):
        np.testing.assert_array_equal(got, expected)


REDUCTIONS = ["sum", "prod", "mean", "max", "min", "var", "std"]


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), ()])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions(name, axis, keepdims):
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    got = wz.jit(lambda x: getattr(wz, name)(x, axis=axis, keepdims=keepdims))(x)
    expected = getattr(np, name)(x, axis=axis, keepdims=keepdims)
    assert got.shape == expected.shape
    close(got, expected)


def test_logical_reductions_and_positions():
    x = np.array([[3, 1, 3], [0, 0, -1]], np.int32)
    f = wz.jit(lambda x: (wz.any(x, 1), wz.all(x, 0), x.argmax(1), x.argmin(), (x > 0).sum()))
    any_, all_, largest, smallest, positive = f(x)
    assert any_.tolist() == [True, True]
    assert all_.tolist() == [False, False, True]
    assert largest.tolist() == [0, 0]
    assert (smallest, positive) == (5, 3)
    assert positive.dtype == np.int64


MATMULS = [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4)),
           ((1, 5, 2, 3), (6, 1, 3, 4)), ((3,), (5, 3, 4)), ((5, 2, 3), (3,)), ((2, 3), (5, 3, 4))]  # fmt: skip


@pytest.mark.parametrize(("left", "right"), MATMULS)
def test_matmul(left, right):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=left), rng.normal(size=right)
    close(wz.jit(wz.matmul)(x, y), np.matmul(x, y))
    close(wz.jit(lambda x, y: x @ y)(x, y), x @ y)
    got = wz.grad(lambda x: wz.sin(x @ y).sum())(x)
    close(got, central_differences(lambda x: np.sin(x @ y).sum(), x), rtol=1e-6)


def test_contractions():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 3, 5))
    close(wz.jit(lambda x, y: wz.tensordot(x, y, ([1, 2], [1, 0])))(x, y), np.tensordot(x, y, ([1, 2], [1, 0])))
    close(wz.jit(wz.dot)(x, y.transpose(1, 0, 2)), np.dot(x, y.transpose(1, 0, 2)))
    close(wz.jit(wz.outer)(x, y), np.outer(x, y))
    w, b = rng.normal(size=(6, 4)), rng.normal(size=6)
    close(wz.jit(wz.linear)(x, w, b), x @ w.T + b)


def test_movement():
    x = np.arange(24.0).reshape(2, 3, 4)
    cases = [
        (lambda m, x: m.reshape(x, (4, -1)), None),
        (lambda m, x: m.transpose(x, (2, 0, 1)), None),
        (lambda m, x: x.T, None),
        (lambda m, x: m.swapaxes(x, 0, -1), None),
        (lambda m, x: m.moveaxis(x, 0, 1), None),
        (lambda m, x: m.expand_dims(x, 1), None),
        (lambda m, x: m.squeeze(m.expand_dims(x, 1)), None),
        (lambda m, x: m.broadcast_to(x, (5, 2, 3, 4)), None),
        (lambda m, x: m.concatenate([x, x * 2], 1), None),
        (lambda m, x: m.stack([x, x * 2], -1), None),
        (lambda m, x: m.flip(x, (0, 2)), None),
        (lambda m, x: m.split(x, 2, 2)[1], None),
        (lambda m, x: m.tril(x), None),
        (lambda m, x: m.triu(x, 1), None),
        (lambda m, x: m.take(x, np.array([2, 0]), 1), None),
        (lambda m, x: m.clip(x, 3.0, 20.0), None),
        (lambda m, x: x.ravel(), None),
    ]
    for function, _ in cases:
        close(wz.jit(lambda x, function=function: function(wz, x))(x), function(np, x))
    got = wz.jit(lambda x: wz.pad(x, ((1, 0), (0, 2), (-1, 0)), 7))(x)
    close(got, np.pad(x[:, :, 1:], ((1, 0), (0, 2), (0, 0)), constant_values=7))


def test_sources():
    twos = wz.jit(lambda x: (wz.full_like(x, 2), wz.full_like(x, 2, "f64")))(np.zeros((2, 3), np.int32))
    assert [(x.dtype, x.shape, x.min(), x.max()) for x in twos] == [(np.int32, (2, 3), 2, 2), (np.float64, (2, 3), 2, 2)]
    np.testing.assert_array_equal(wz.jit(lambda: wz.iota((2, 3), 1))(), [[0, 1, 2]] * 2)
    np.testing.assert_array_equal(wz.jit(lambda: wz.iota((2, 3), 0, "f32"))(), np.array([[0] * 3, [1] * 3], np.float32))
    f = wz.jit(lambda: (wz.zeros((2, 3)), wz.ones(2, "i32"), wz.full((2,), 7), wz.arange(4), wz.arange(1.0, 2.0, 0.25),
                        wz.eye(3), wz.linspace(0, 1, 5), wz.one_hot(np.array([2, 0]), 3)))  # fmt: skip
    zeros, ones, full, arange, floats, eye, linspace, one_hot = f()
    assert (zeros.dtype, zeros.shape) == (np.float32, (2, 3))
    assert ones.dtype == np.int32
    assert full.dtype == np.int64
    assert arange.tolist() == [0, 1, 2, 3]
    assert floats.tolist() == [1.0, 1.25, 1.5, 1.75]
    np.testing.assert_array_equal(eye, np.eye(3))
    close(linspace, np.linspace(0, 1, 5), 1e-7)
    assert one_hot.tolist() == [[0, 0, 1], [1, 0, 0]]


# JAX's lattice, for the types there are.
PROMOTIONS = [
    ("bool", "u8", "u8"), ("u8", "i32", "i32"), ("u8", "u32", "u32"), ("u32", "i32", "i64"), ("u32", "i64", "i64"),
    ("i64", "f16", "f16"), ("f16", "bf16", "f32"), ("bf16", "f32", "f32"), ("i32", "bf16", "bf16"), ("f32", "f64", "f64"),
    ("bool", "f32", "f32"), ("i64", "f32", "f32"),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right", "expected"), PROMOTIONS)
def test_promotion(left, right, expected):
    left, right = wz.DType(left), wz.DType(right)
    assert wz.result_type(left, right) == wz.result_type(right, left) == wz.DType(expected)


def test_python_numbers_are_weak():
    half, byte = np.ones(2, np.float16), np.ones(2, np.uint8)
    f = wz.jit(lambda h, b: (h * 2.0, h + 1, b + 1, b * 2.5, b / b, 1 - (b > 0)))
    assert [str(x.dtype) for x in f(half, byte)] == ["float16", "float16", "uint8", "float32", "float32", "int64"]
    # A number as an argument is weak too; NumPy's scalars are not.
    g = wz.jit(lambda x, s: x * s)
    assert g(half, 2.0).dtype == np.float16
    assert g(half, np.float64(2)).dtype == np.float64


def test_segments_and_scatter():
    ids = np.array([0, 0, 2])
    data = np.array([[1.0, 2], [3, 4], [5, 6]])
    got = wz.jit(lambda d: wz.segment_sum(d, ids, 3))(data)
    assert got.tolist() == [[4, 6], [0, 0], [5, 6]]
    got = wz.jit(lambda d: (wz.segment_max(d, ids, 3), wz.segment_min(d, ids, 3), wz.segment_prod(d, ids, 3)))(data)
    assert [x.tolist() for x in got] == [
        [[3, 4], [-np.inf, -np.inf], [5, 6]],
        [[1, 2], [np.inf, np.inf], [5, 6]],
        [[3, 8], [1, 1], [5, 6]],
    ]
    got = wz.jit(lambda d: (d.at[1].set(0.0), d.at[ids].add(1.0), d.at[:, 0].add(10.0)))(data)
    assert got[0].tolist() == [[1, 2], [0, 0], [5, 6]]
    assert got[1].tolist() == [[3, 4], [3, 4], [6, 7]]
    assert got[2].tolist() == [[11, 2], [13, 4], [15, 6]]


def test_random_numbers_depend_on_the_key_alone():
    f = wz.jit(lambda k: (wz.random.uniform(k, (1000,)), wz.random.normal(wz.random.fold_in(k, 1), (1000,), "f64")))
    uniform, normal = f(wz.random.key(7))
    again = f(wz.random.key(7))
    np.testing.assert_array_equal(uniform, again[0])
    assert not np.array_equal(uniform, f(wz.random.key(8))[0])
    assert 0 <= uniform.min() and uniform.max() < 1
    coins = wz.jit(lambda k: wz.random.bernoulli(k, 0.25, (1000,)))(wz.random.key(7))
    assert coins.dtype == np.bool_
    assert abs(coins.mean() - 0.25) < 5 * (0.25 * 0.75 / 1000) ** 0.5
    np.testing.assert_array_equal(coins, uniform < 0.25)
    # Five standard errors of the mean of 1000 draws.
    assert abs(uniform.mean() - 0.5) < 5 * 0.29 / 1000**0.5
    assert abs(normal.mean()) < 5 / 1000**0.5


def test_one_byte_for_several_lanes_is_masked():
    def padded(flags, x):
        return wz.pad(wz.where(flags[:, None], x, -x), ((0, 0), (2, 1)))

    flags = np.array([True, False, True])
    for dtype in (np.float32, np.float64):
        x = np.arange(6, dtype=dtype).reshape(3, 2) + 1
        expected = np.pad(np.where(flags[:, None], x, -x), ((0, 0), (2, 1)))
        np.testing.assert_array_equal(wz.jit(padded)(flags, x), expected)
