"""`jit` and the transformations of functions: values, composition, trees, messages."""

import dataclasses
import importlib
from typing import NamedTuple

import numpy as np
import pytest
import wootz as wz

X = np.array([0.5, -1.0, 2.0])
A = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, -1.0], [0.0, -1.0, 3.0]])


def quadratic(x):
    return x @ A @ x / 2


def close(got, expected, rtol=1e-9):
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol)


class Point(NamedTuple):
    x: np.ndarray
    y: np.ndarray


@dataclasses.dataclass
class Params:
    w: np.ndarray
    b: np.ndarray


def test_jit_traces_once_for_each_signature():
    traced = []

    @wz.jit
    def f(x, scale=1.0):
        """Scales."""
        traced.append(x.shape)
        return x * scale

    close(f(X), X)
    close(f(X + 1), X + 1)
    close(f(X[:2]), X[:2])
    close(f(X, scale=3.0), 3 * X)
    close(f(X, scale=4.0), 4 * X)
    assert traced == [(3,), (2,), (3,)]
    assert f.cache_info()[:3] == (2, 3, 3)
    assert (f.__name__, f.__doc__) == ("f", "Scales.")
    f.clear_cache()
    f(X)
    assert len(traced) == 4


def test_static_arguments_choose_the_program():
    @wz.jit(static_argnums=1, static_argnames="mode")
    def f(x, n, mode="sum"):
        for _ in range(n):
            x = x * 2
        return x.sum() if mode == "sum" else x

    assert f(X, 3) == pytest.approx(12.0)
    close(f(X, 1, mode="all"), 2 * X)
    close(f(X, n=2, mode="all"), 4 * X)


def test_trees_go_in_and_come_out():
    @wz.jit
    def f(tree):
        return {"sum": tree["p"].x + tree["p"].y, "params": Params(tree["q"][0].w * 2, tree["q"][0].b), "none": None}

    out = f({"p": Point(X, X), "q": [Params(X, 1.0)]})
    close(out["sum"], 2 * X)
    assert isinstance(out["params"], Params)
    close(out["params"].w, 2 * X)
    assert out["none"] is None


def test_grad():
    close(wz.grad(quadratic)(X), A @ X)
    value, gradient = wz.value_and_grad(quadratic)(X)
    close(value, quadratic(X))
    close(gradient, A @ X)
    gx, gy = wz.grad(lambda x, y: (x * y).sum(), argnums=(0, 1))(X, 2 * X)
    close(gx, 2 * X)
    close(gy, X)
    gradient, aux = wz.grad(lambda x: (quadratic(x), {"norm": (x * x).sum()}), has_aux=True)(X)
    close(gradient, A @ X)
    close(aux["norm"], X @ X)
    tree = wz.grad(lambda p: (p.w * p.b).sum())(Params(X, np.float64(3)))
    close(tree.w, [3, 3, 3])
    close(tree.b, X.sum())


def test_second_derivatives_every_way():
    def f(x):
        return wz.sin(x[0]) * x[1] ** 3 + quadratic(x)

    expected = A.copy()
    expected[0, 0] += -np.sin(X[0]) * X[1] ** 3
    expected[0, 1] = expected[1, 0] = A[0, 1] + 3 * np.cos(X[0]) * X[1] ** 2
    expected[1, 1] += 6 * np.sin(X[0]) * X[1]
    ways = [
        wz.hessian(f),
        wz.jacfwd(wz.grad(f)),
        wz.jacrev(wz.grad(f)),
        wz.jacrev(wz.jacfwd(f)),
        wz.jit(wz.hessian(f)),
        lambda x: wz.vmap(lambda v: wz.jvp(wz.grad(f), (x,), (v,))[1])(np.eye(3)),
        wz.vmap(wz.grad(lambda x, i: wz.grad(f)(x)[i]), in_axes=(None, 0)),
    ]
    for way in ways[:-1]:
        close(way(X), expected)
    close(ways[-1](X, np.arange(3)), expected)


def test_jvp_and_vjp_agree():
    def f(x, y):
        return wz.tanh(x) * y, (x * y).sum()

    tangents = (np.ones(3), 2 * np.ones(3))
    value, pushed = wz.jvp(f, (X, X), tangents)
    close(value[0], np.tanh(X) * X)
    again, pull = wz.vjp(f, X, X)
    close(again[1], X @ X)
    cotangent = (np.array([1.0, 2.0, 3.0]), np.float64(0.5))
    gx, gy = pull(cotangent)
    left = sum(np.sum(a * b) for a, b in zip(pushed, cotangent, strict=True))
    close(left, gx @ tangents[0] + gy @ tangents[1])


def test_integers_have_no_derivative():
    value, pushed = wz.jvp(lambda x, i: (x[i], i + 1), (X, np.int64(1)), (X, np.int64(0)))
    assert value[1] == 2
    assert pushed[1] is None
    close(pushed[0], X[1])
    _, pull = wz.vjp(lambda x, i: x[i], X, np.int64(1))
    gx, gi = pull(np.float64(1))
    close(gx, [0, 1, 0])
    assert gi is None


def test_vmap_axes():
    m = np.arange(6.0).reshape(2, 3)
    close(wz.vmap(lambda x: x.sum())(m), m.sum(1))
    close(wz.vmap(lambda x: x.sum(), in_axes=1)(m), m.sum(0))
    close(wz.vmap(lambda x, y: x * y, in_axes=(0, None), out_axes=1)(m, X), (m * X).T)
    close(wz.vmap(lambda x, y: x @ y, in_axes=(None, -1))(m, A), (m @ A).T)
    out = wz.vmap(lambda d: {"a": d["x"] + d["s"], "b": d["s"]}, in_axes=({"x": 0, "s": None},), out_axes={"a": 0, "b": None})(
        {"x": m, "s": np.float64(1)}
    )
    close(out["a"], m + 1)
    assert out["b"] == 1
    close(wz.vmap(wz.vmap(lambda x, y: x * y, in_axes=(None, 0)), in_axes=(0, None))(X, X), np.outer(X, X))


def test_per_example_gradients():
    w = np.array([0.3, -0.2, 0.5])
    xs = np.random.default_rng(0).normal(size=(4, 3))
    ys = np.arange(4.0)

    def loss(w, x, y):
        return (wz.tanh(w @ x) - y) ** 2

    got = wz.jit(wz.vmap(wz.grad(loss), in_axes=(None, 0, 0)))(w, xs, ys)
    t = np.tanh(xs @ w)
    close(got, (2 * (t - ys) * (1 - t**2))[:, None] * xs)


def test_functions_may_refer_to_traced_values_around_them():
    @wz.jit
    def f(x, y):
        inner = wz.grad(lambda z: (z * y * x).sum())
        return wz.vmap(lambda row: inner(row) + y)(wz.stack([x, y]))

    close(f(X, 2 * X), np.stack([2 * X * X + 2 * X] * 2))


def test_nested_jit_is_part_of_the_program():
    inner = wz.jit(lambda x: wz.exp(x))
    close(wz.grad(lambda x: inner(x).sum())(X), np.exp(X))
    close(wz.jit(lambda x: inner(x) + inner(2 * x))(X), np.exp(X) + np.exp(2 * X))


def test_stop_gradient():
    close(wz.grad(lambda x: (wz.stop_gradient(x) * x).sum())(X), X)


def test_methods_can_be_compiled():
    class Scaled:
        def __init__(self, factor):
            self.factor = factor

        @wz.jit(static_argnums=0)
        def __call__(self, x):
            return x * self.factor

    close(Scaled(2.0)(X), 2 * X)
    close(Scaled(3.0)(X), 3 * X)


OPERATORS = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "floordiv": lambda a, b: a // b,
    "mod": lambda a, b: a % b,
    "pow": lambda a, b: a**b,
    "matmul": lambda a, b: a @ b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}


@pytest.mark.parametrize("name", OPERATORS)
def test_numpy_arrays_stand_left_of_traced_tensors(name):
    operator = OPERATORS[name]
    left, right = np.float32([1.5, 2.0, 4.0]), np.float32([2.0, 2.0, 3.0])
    np.testing.assert_allclose(wz.jit(lambda x: operator(left, x))(right), operator(left, right), rtol=1e-6)
    if name != "matmul":
        scalar = np.float32(2.5)
        np.testing.assert_allclose(wz.jit(lambda x: operator(scalar, x))(right), operator(scalar, right), rtol=1e-6)


def decide(x):
    return x if x.sum() > 0 else -x


def assigned(x):
    x[0] = 1
    return x


ERRORS = [
    (lambda: wz.jit(decide)(X), wz.TraceError, r"wz\.where.*wz\.cond.*\(at test_transforms\.py:\d+\)"),
    (lambda: wz.jit(lambda x: float(x[0]))(X), wz.TraceError, r"cannot become a Python number.*\(at test_transforms\.py:\d+\)"),
    (lambda: wz.jit(lambda x: np.sin(x))(X), wz.TraceError, r"numpy\.sin .*: use wz\.sin \(at test_transforms\.py:\d+\)"),
    (lambda: wz.jit(lambda x: np.hypot(X, x))(X), wz.TraceError, r"numpy\.hypot .*: use a function of wz \(at test_transforms"),
    (lambda: wz.jit(lambda x: np.sum(x))(X), wz.TraceError, r"^numpy\.sum cannot take .*: use wz\.sum \(at test_transforms\.py:\d+\)$"),
    (lambda: wz.jit(lambda x: np.concatenate([x]))(X), wz.TraceError, r"^numpy\.concatenate cannot .*: use wz\.concat \(at test_transforms"),
    (lambda: wz.jit(lambda x: np.linalg.norm(x))(X), wz.TraceError, r"^numpy\.linalg\.norm cannot .*: use a function of wz \(at test_transf"),
    (lambda: wz.jit(lambda x: x.exp())(X), wz.TraceError, r"^Tensor\(f64\[3\]\) has no `exp`: use wz\.exp \(at test_transforms\.py:\d+\)$"),
    (lambda: wz.jit(lambda x: x.foo)(X), AttributeError, r"^Tensor\(f64\[3\]\) has no `foo` \(at test_transforms\.py:\d+\)$"),
    (lambda: wz.jit(assigned)(X), wz.TraceError, r"x = x\.at\[key\]\.set\(value\) .*\(at test_transforms\.py:\d+\)$"),
    (lambda: wz.grad(lambda x: x)(X), wz.ShapeError, "gradient is that of a scalar"),
    (lambda: wz.grad(lambda x: (x.sum(), x))(X), wz.TraceError, "has_aux"),
    (lambda: wz.grad(lambda n: (n * 1.0).sum())(np.arange(3)), wz.DTypeError, r"`n` is i64\[3\]; only floats"),
    (lambda: wz.grad(lambda x: x.sum(), argnums=2)(X), wz.TraceError, "no argument 2"),
    (lambda: wz.vmap(lambda x, y: x + y)(X, A[:2]), wz.ShapeError, r"size 2.*`x` 3"),
    (lambda: wz.vmap(lambda x: x)(np.float64(1)), wz.ShapeError, "no axis 0"),
    (lambda: wz.jit(lambda x: x + np.ones(4))(X), wz.ShapeError, r"f64\[3\].*f64\[4\].*test_transforms\.py:\d+"),
    (lambda: wz.jit(lambda x: x @ np.ones((4, 2)))(X), wz.ShapeError, r"f64\[3\].*f64\[4, 2\]"),
    (lambda: wz.jit(lambda x: "text")(X), wz.TraceError, "not an array"),
    (lambda: wz.tanh(X), wz.TraceError, r"wz\.jit"),
    (lambda: wz.jit(lambda x: x)("text"), wz.DTypeError, "`x` has NumPy dtype"),
    (lambda: wz.jit(lambda a, b: a)(X, {"w": None, "v": X + 1j}), wz.DTypeError, r"`b\['v'\]` has NumPy dtype complex128"),
    (lambda: wz.jvp(quadratic, (X,), (X[:2],)), wz.ShapeError, "the tangent of `x`"),
]


@pytest.mark.parametrize(("call", "kind", "message"), ERRORS)
def test_errors(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_what_is_known_of_a_tensor_is_known_to_numpy_and_to_those_who_ask():
    seen = []
    wz.jit(lambda x: seen.extend([np.shape(x), np.ndim(x), np.size(x), hasattr(x, "foo"), getattr(x, "__foo__", 1)]) or x)(A)
    assert seen == [A.shape, 2, A.size, False, 1]


# Functions of other libraries on traced tensors; the likeliest mistake with the backends of the same name.
FOREIGN = {
    "torch": {
        "torch.sin(x)": r"^torch\.sin cannot take Tensor\(f32\[3\]\), which is traced: use wz\.sin \(at {place}\)$",
        "torch.cat([x, x])": r"^torch\.cat cannot take .*: use wz\.concat \(at {place}\)$",
        "torch.nn.functional.relu(x)": r"^torch\.relu cannot take .*: use wz\.relu \(at {place}\)$",
    },
    "jax": {
        "jax.numpy.sin(x)": r"use a function of wz \(at {place}\); what it said: .*sin",
        "jax.numpy.concatenate([x, x])": r"use a function of wz \(at {place}\); what it said: .*concatenate",
        "jax.nn.relu(x)": r"use a function of wz \(at {place}\)",
    },
    "mlx": {
        "mlx.core.sin(x)": r"use a function of wz \(at {place}\)",
        "mlx.core.sum(x)": r"use a function of wz \(at {place}\); what it said: sum",
    },
}


@pytest.mark.frameworks
@pytest.mark.parametrize(("library", "call"), [(library, call) for library, calls in FOREIGN.items() for call in calls])
def test_functions_of_other_frameworks_are_named_with_the_line(library, call):
    module = {"mlx": "mlx.core"}.get(library, library)
    names = {library: pytest.importorskip(library, reason=f"{library} is not installed")}
    importlib.import_module(module)
    message = FOREIGN[library][call].format(place=r"model\.py:3")
    exec(compile(f"\n\ndef forward(x): return {call}", "model.py", "exec"), names)
    for compiled in (
        lambda: wz.jit(names["forward"])(np.ones(3, np.float32)),
        lambda: wz.compile(names["forward"], {"x": wz.f32[3]}, backend=library),
        lambda: wz.compile(names["forward"], {"x": wz.f32[3]}),
    ):
        with pytest.raises(wz.TraceError, match=message):
            compiled()


@pytest.mark.frameworks
@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("library", ["torch", "jax"])
def test_arrays_of_other_frameworks_stand_left_of_traced_tensors(library, name):
    module = pytest.importorskip(library, reason=f"{library} is not installed")
    left, right = np.float32([1.5, 2.0, 4.0]), np.float32([2.0, 2.0, 3.0])
    theirs = module.tensor(left) if library == "torch" else module.numpy.asarray(left)
    np.testing.assert_allclose(wz.jit(lambda x: OPERATORS[name](theirs, x))(right), OPERATORS[name](left, right), rtol=1e-6)


def test_tensors_do_not_outlive_their_trace():
    kept = []
    wz.jit(lambda x: kept.append(x) or x)(X)
    with pytest.raises(wz.TraceError, match="after the function"):
        wz.jit(lambda x: x + kept[0])(X)
    # The failed trace left nothing behind.
    close(wz.jit(lambda x: x + 1)(X), X + 1)


def test_trees_are_mapped_and_classes_become_their_nodes():
    tree = {"a": [1, (2, None)], "b": 3}
    assert wz.tree_map(lambda x: x * 10, tree) == {"a": [10, (20, None)], "b": 30}
    assert wz.tree_map(lambda x, y: x + y, tree, tree) == {"a": [2, (4, None)], "b": 6}
    with pytest.raises(ValueError, match="same structure"):
        wz.tree_map(lambda x, y: x, [1], [1, 2])

    class Point:
        def __init__(self, x, y, name):
            self.x, self.y, self.name = x, y, name

    wz.register_pytree(Point, lambda p: ((p.x, p.y), p.name), lambda name, xy: Point(*xy, name))
    doubled = wz.tree_map(lambda x: 2 * x, Point(1, 2, "p"))
    assert (doubled.x, doubled.y, doubled.name) == (2, 4, "p")
    gradient = wz.grad(lambda p: p.x**2 * p.y)(Point(3.0, 5.0, "q"))
    assert (float(gradient.x), float(gradient.y), gradient.name) == (30.0, 9.0, "q")
