"""`cond`, `while_loop`, `scan`, `custom_vjp`: values, derivatives, batches, messages."""

import numpy as np
import pytest
import wootz as wz

X = np.array([0.5, -1.0, 2.0])


def close(got, expected, rtol=1e-9):
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol)


def test_cond_chooses_a_branch():
    def f(x):
        return wz.cond(x.sum() > 0, lambda x: x * 2, lambda x: -x, x)

    for x in (X, -X):
        expected = 2 * x if x.sum() > 0 else -x
        close(wz.jit(f)(x), expected)
        close(wz.grad(lambda x: (f(x) ** 2).sum())(x), 8 * x if x.sum() > 0 else 2 * x)
    close(wz.cond(True, lambda x: x + 1, lambda x: x, X), X + 1)


def test_branches_may_refer_to_values_around_them():
    f = wz.jit(lambda x, y: wz.cond(x[0] > 0, lambda: {"a": x * y}, lambda: {"a": y}))
    close(f(X, X)["a"], X * X)
    close(f(-X, X)["a"], X)
    close(wz.vmap(f)(np.stack([X, -X]), np.stack([X, X]))["a"], [X * X, X])


def test_while_loop():
    def power(x, n):
        return wz.while_loop(lambda c: c[1] < n, lambda c: (c[0] * x, c[1] + 1), (wz.ones_like(x), 0))

    value, count = wz.jit(power)(X, 5)
    close(value, X**5)
    assert count == 5
    close(wz.vmap(lambda n: power(X, n)[0])(np.arange(4)), [X**n for n in range(4)])
    _, pushed = wz.jvp(lambda x: power(x, 3)[0], (X,), (np.ones(3),))
    close(pushed, 3 * X**2)
    with pytest.raises(wz.TraceError, match="while"):
        wz.grad(lambda x: power(x, 3)[0].sum())(X)


def test_scan_and_its_gradient():
    def f(w, xs):
        def body(h, x):
            h = wz.tanh(w * h + x)
            return h, h * 2

        return wz.scan(body, wz.zeros_like(w), xs)

    xs = np.random.default_rng(0).normal(size=(6, 3))
    w = np.array([0.5, -0.3, 1.2])

    def reference(w):
        h, ys = np.zeros(3), []
        for x in xs:
            h = np.tanh(w * h + x)
            ys.append(2 * h)
        return h, np.array(ys)

    last, ys = wz.jit(f)(w, xs)
    close(last, reference(w)[0])
    close(ys, reference(w)[1])
    got = wz.grad(lambda w: f(w, xs)[1].sum())(w)
    h = 1e-6
    expected = [(reference(w + h * e)[1].sum() - reference(w - h * e)[1].sum()) / (2 * h) for e in np.eye(3)]
    close(got, expected, 1e-6)


def test_scan_by_length_and_backwards():
    count, none = wz.scan(lambda c, _: (c + 1, None), 0, length=5)
    assert (count, none) == (5, None)
    _, ys = wz.scan(lambda c, x: (c + x, c + x), 0.0, np.arange(4, dtype=np.float32), reverse=True)
    assert ys.tolist() == [6, 6, 5, 3]


def test_custom_vjp():
    @wz.custom_vjp
    def clipped(x, y):
        return x * y

    clipped.defvjp(lambda x, y: (x * y, (x, y)), lambda kept, g: (wz.clip(g * kept[1], -1, 1), g * 100))
    close(clipped(X, X), X * X)
    gx, gy = wz.grad(lambda x, y: clipped(x, y).sum(), argnums=(0, 1))(X, 3 * X)
    close(gx, np.clip(3 * X, -1, 1))
    close(gy, [100, 100, 100])


ERRORS = [
    (lambda x: wz.cond(x > 0, lambda: x, lambda: x), wz.ShapeError, "must be a scalar"),
    (lambda x: wz.cond(True, lambda: x, lambda: (x, x)), wz.TraceError, "different structures"),
    (lambda x: wz.cond(True, lambda: x, lambda: x[0]), wz.TraceError, "one branch returns"),
    (lambda x: wz.while_loop(lambda c: c[0] < 1, lambda c: c[1:], x), wz.DTypeError, "starts as"),
    (lambda x: wz.while_loop(lambda c: c, lambda c: c, x), wz.DTypeError, "bool scalar"),
    (lambda x: wz.scan(lambda c, y: c, 0.0, x), wz.TraceError, "must return"),
    (lambda x: wz.scan(lambda c, y: (c, y), 0.0), wz.TraceError, "xs or length"),
    (lambda x: wz.scan(lambda c, y: (c, y), 0.0, (x, x[:2])), wz.ShapeError, "slices"),
]


@pytest.mark.parametrize(("call", "kind", "message"), ERRORS)
def test_errors(call, kind, message):
    with pytest.raises(kind, match=message):
        wz.jit(call)(X)
