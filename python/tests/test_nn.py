"""Models: layers, modules written in Python, functions, naming, losses, training options."""

import numpy as np
import pytest
import wootz as wz
from wootz import nn

X = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
Y = np.array([0, 2, 1, 1])


def close(got, expected, rtol=1e-5):
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=1e-6)


class Residual(nn.Module):
    def __init__(self, width):
        self.norm_scale = 0.5
        self.layers = [nn.Linear(width, width), nn.Linear(width, width, bias=False)]

    def forward(self, x):
        for layer in self.layers:
            x = x + self.norm_scale * wz.tanh(layer(x))
        return x


class TwoHeads(nn.Module):
    def __init__(self):
        self.body = Residual(6)
        self.head = nn.Linear(6, 3)

    def forward(self, x, scale):
        h = self.body(x) * scale
        return {"logits": self.head(h), "features": h}


def test_modules_name_parameters_as_pytorch_does():
    program = wz.compile(TwoHeads(), {"x": wz.f32[4, 6], "scale": wz.f32})
    params = program.init(0)
    assert list(params) == ["body.layers.0.weight", "body.layers.0.bias", "body.layers.1.weight", "head.weight", "head.bias"]
    out = program(params, x=X, scale=2.0)
    h = X + 0.5 * np.tanh(X @ params["body.layers.0.weight"].T + params["body.layers.0.bias"])
    h = (h + 0.5 * np.tanh(h @ params["body.layers.1.weight"].T)) * 2
    close(out["features"], h)
    close(out["logits"], h @ params["head.weight"].T + params["head.bias"])


def test_functions_are_models():
    first, second = nn.Linear(6, 5), nn.Linear(5, 3)

    def model(x):
        return second(nn.ReLU()(first(x)))

    program = wz.compile(model, {"x": wz.f32[4, 6]})
    assert list(program.init()) == ["first.weight", "first.bias", "second.weight", "second.bias"]


def test_a_block_used_twice_shares_its_parameters():
    class Twice(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(6, 6)
            self.same = self.layer

        def forward(self, x):
            return self.layer(self.same(x))

    program = wz.compile(Twice(), {"x": wz.f32[4, 6]})
    params = program.init()
    assert list(params) == ["layer.weight", "layer.bias"]
    w, b = params["layer.weight"], params["layer.bias"]
    close(program(params, x=X)["output"], (X @ w.T + b) @ w.T + b)


def test_modules_in_chains_and_parameters_of_their_own():
    class Scale(nn.Module):
        def __init__(self, width):
            self.width = width

        def forward(self, x):
            return x * self.param("gamma", (self.width,), nn.init.normal(1.0, 0.1))

    model = nn.Sequential(nn.Linear(6, 6), Scale(6), nn.GELU(), nn.mlp([6, 8, 2]))
    program = wz.compile(model, {"x": wz.f32[4, 6]})
    params = program.init()
    assert list(params)[:4] == ["0.weight", "0.bias", "1.gamma", "3.0.weight"]
    assert params["1.gamma"].shape == (6,)
    table = model.summary(x=wz.f32["B", 6])
    assert "f32[B, 2]" in table and "Scale" in table


def test_state_is_carried_from_run_to_run():
    class Counter(nn.Module):
        def forward(self, x):
            seen = self.state("seen", wz.f32[()])
            self.set_state("seen", seen + x.sum())
            return x + seen

    step = wz.compile(Counter(), {"x": wz.f32[2]})
    state = step.init()
    x = np.array([1, 2], np.float32)
    state, out = step(state, x=x)
    assert out["output"].tolist() == [1, 2]
    state, out = step(state, x=x)
    assert out["output"].tolist() == [4, 5]
    assert state["seen"] == 6


def test_dropout_drops_in_training_alone():
    model = nn.Dropout(0.25)
    x = np.ones((100, 100), np.float32)
    np.testing.assert_array_equal(wz.compile(model, {"x": wz.f32[100, 100]})(x=x)["output"], x)
    step = wz.compile(model, {"x": wz.f32[100, 100]}, training=True)
    state, first = step(step.init(0), x=x)
    state, second = step(state, x=x)
    assert set(np.unique(first["output"])) == {np.float32(0), np.float32(4 / 3)}
    # Five standard errors of a share of 10,000.
    assert abs((first["output"] == 0).mean() - 0.25) < 5 * (0.25 * 0.75 / 10_000) ** 0.5
    assert not np.array_equal(first["output"], second["output"])


def test_apply_makes_a_function_of_parameters():
    model = nn.mlp([6, 8, 3])
    params = dict(wz.compile(model, {"x": wz.f32[4, 6]}).init(0).items())

    def loss(params, x, y):
        return nn.cross_entropy(model.apply(params, x), y)

    gradients = wz.grad(loss)(params, X, Y)
    assert sorted(gradients) == sorted(params)
    step = wz.compile(nn.training(model, loss=nn.cross_entropy, optimizer=nn.sgd(1.0)), {"x": wz.f32[4, 6], "y": wz.i64[4]})
    state, _ = step(step.state(params | {"optimizer.step": np.int64(0)}), x=X, y=Y)
    for name, gradient in gradients.items():
        close(state[name], params[name] - gradient)
    close(model.apply(params, X), wz.compile(model, {"x": wz.f32[4, 6]})(params, x=X)["logits"])


def test_losses():
    def log_softmax(x):
        return x - np.log(np.exp(x).sum(1, keepdims=True))

    weights = np.array([1.0, 2.0, 0.5], np.float32)
    scores = X[:, :3]
    picked = -log_softmax(scores)[np.arange(4), Y]
    cases = [
        (nn.CrossEntropy(), picked.mean()),
        (nn.CrossEntropy("sum"), picked.sum()),
        (nn.CrossEntropy("none"), picked),
        (nn.CrossEntropy(class_weights=weights), (picked * weights[Y]).sum() / weights[Y].sum()),
    ]
    for loss, expected in cases:
        program = wz.compile(loss, {"output": wz.f32[4, 3], "y": wz.i64[4]})
        close(program(output=scores, y=Y)["loss"], expected)
    f = wz.jit(lambda a, b: (nn.mse(a, b), nn.mse(a, b, reduction="sum"), nn.cross_entropy(a, Y)))
    mean, total, entropy = f(scores, scores * 2)
    close(mean, (scores**2).mean())
    close(total, (scores**2).sum())
    close(entropy, picked.mean())


def test_cross_entropy_of_probabilities():
    shares = np.exp(X[:, :3]) / np.exp(X[:, :3]).sum(1, keepdims=True)
    picked = -np.log(shares[np.arange(4), Y])
    for scores, given in [("probabilities", shares), ("log_probabilities", np.log(shares))]:
        program = wz.compile(nn.CrossEntropy(scores=scores), {"output": wz.f32[4, 3], "y": wz.i64[4]})
        close(program(output=given, y=Y)["loss"], picked.mean())


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rms_norm(x):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)


ACTIVATIONS = [
    (nn.ReLU(), lambda x: np.maximum(x, 0)),
    (nn.LeakyReLU(), lambda x: np.where(x > 0, x, 0.01 * x)),
    (nn.LeakyReLU(0.2), lambda x: np.where(x > 0, x, 0.2 * x)),
    (nn.SiLU(), lambda x: x * sigmoid(x)),
    (nn.Sigmoid(), sigmoid),
    (nn.Softplus(), lambda x: np.log1p(np.exp(x))),
    (nn.Tanh(), np.tanh),
    (nn.GELU("tanh"), lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))),
    (nn.Softmax(), lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
    (nn.Softmax(0), lambda x: np.exp(x) / np.exp(x).sum(0)),
    (nn.LogSoftmax(), lambda x: x - np.log(np.exp(x).sum(-1, keepdims=True))),
    (nn.Identity(), lambda x: x),
    (nn.RMSNorm(6, eps=1e-6), rms_norm),
    (nn.Flatten(0), lambda x: x.reshape(-1)),
]


@pytest.mark.parametrize(("block", "reference"), ACTIVATIONS)
def test_blocks_without_parameters_of_their_own(block, reference):
    program = wz.compile(block, {"x": wz.f32[4, 6]})
    params = program.init()
    assert all((params[name] == 1).all() for name in params)
    got = program(params, x=X)["output"]
    assert got.shape == reference(X).shape
    close(got, reference(X))


def test_flatten_keeps_the_axes_it_is_not_given():
    x = np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5)
    for block, shape in [(nn.Flatten(), (2, 60)), (nn.Flatten(1, 2), (2, 12, 5)), (nn.Flatten(-2), (2, 3, 20))]:
        got = wz.compile(block, {"x": wz.f32[2, 3, 4, 5]})(x=x)["output"]
        np.testing.assert_array_equal(got, x.reshape(shape))


def test_a_tied_linear_layer_shares_its_embeddings_table():
    embedding = nn.Embedding(7, 6)
    program = wz.compile(nn.Sequential(embedding, nn.TiedLinear(embedding)), {"x": wz.i64[4]})
    params = program.init(0)
    assert list(params) == ["0.weight"]
    table = params["0.weight"]
    close(program(params, x=Y)["output"], table[Y] @ table.T)


def test_a_loss_may_be_a_function():
    def pinball(output, y):
        d = y - output
        return wz.maximum(0.9 * d, -0.1 * d).mean()

    target = X[:, :2].copy()
    step = wz.compile(nn.training(nn.Linear(6, 2), loss=pinball, optimizer=nn.adam(0.01)), {"x": wz.f32[4, 6], "y": wz.f32[4, 2]})
    state = step.init()
    losses = []
    for _ in range(50):
        state, out = step(state, x=X, y=target)
        losses.append(out["loss"])
    assert losses[-1] < losses[0]


def test_training_options():
    training = nn.training(
        nn.mlp([6, 3]), nn.cross_entropy, nn.sgd("input"), metrics=[nn.accuracy], outputs=True, clip_norm=1e-3
    )
    step = wz.compile(training, {"x": wz.f32[4, 6], "y": wz.i64[4], "lr": wz.f32})
    state = step.init()
    before = state["0.weight"]
    state, out = step(state, x=X, y=Y, lr=1.0)
    assert set(out) == {"loss", "accuracy", "logits"}
    moved = np.sqrt(sum(((state[n] - a) ** 2).sum() for n, a in [("0.weight", before)]))
    assert 0 < moved <= 1.01e-3


def test_other_dtypes():
    model = nn.mlp([6, 8, 3]).dtype(wz.f64)
    program = wz.compile(model, {"x": wz.f64[4, 6]})
    params = program.init()
    assert params["0.weight"].dtype == np.float64
    x = X.astype(np.float64)
    expected = np.maximum(x @ params["0.weight"].T + params["0.bias"], 0) @ params["2.weight"].T + params["2.bias"]
    close(program(params, x=x)["logits"], expected, 1e-12)


def test_initial_values():
    layer = nn.Linear(400, 300, weight_init=nn.init.kaiming_normal(), bias_init=0.5)
    params = wz.compile(layer, {"x": wz.f32[1, 400]}).init(0)
    # The standard deviation of 120,000 draws, within five standard errors.
    expected = (2 / 400) ** 0.5
    assert abs(params["weight"].std() / expected - 1) < 5 / (2 * 120_000) ** 0.5
    assert (params["bias"] == 0.5).all()
    # Bounds and standard deviations of He et al. 2015 and Glorot and Bengio 2010, for 400 inputs and 300 outputs.
    uniforms = [(nn.init.kaiming_uniform(), (6 / 400) ** 0.5), (nn.init.kaiming_uniform(2.0), (6 / 5 / 400) ** 0.5),
                (nn.init.xavier_uniform(), (6 / 700) ** 0.5), (nn.init.xavier_uniform(3.0), 3 * (6 / 700) ** 0.5)]  # fmt: skip
    for init, bound in uniforms:
        weight = wz.compile(nn.Linear(400, 300, weight_init=init), {"x": wz.f32[1, 400]}).init(0)["weight"]
        # The largest of 120,000 draws is within a thousandth of the bound, but for one seed in e^120.
        assert 0.999 * bound < np.abs(weight).max() <= bound * (1 + 1e-6)
        assert abs(weight.std() / (bound / 3**0.5) - 1) < 5 / (2 * 120_000) ** 0.5
    weight = wz.compile(nn.Linear(400, 300, weight_init=nn.init.xavier_normal(2.0)), {"x": wz.f32[1, 400]}).init(0)["weight"]
    assert abs(weight.std() / (2 * (2 / 700) ** 0.5) - 1) < 5 / (2 * 120_000) ** 0.5
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    fixed = wz.compile(nn.Linear(3, 2, weight_init=value), {"x": wz.f32[1, 3]}).init(0)
    np.testing.assert_array_equal(fixed["weight"], value)


def test_transformations_inside_models():
    class Energy(nn.Module):
        def __init__(self):
            self.weight_of = nn.Linear(3, 3, bias=False)

        def forward(self, x):
            w = self.param("w", (3,), "ones")
            force = wz.vmap(wz.grad(lambda row: (w * row**2).sum()))(x)
            return self.weight_of(force)

    program = wz.compile(Energy(), {"x": wz.f32[2, 3]})
    params = program.init()
    x = X[:2, :3]
    close(program(params, x=x)["output"], 2 * x @ params["weight_of.weight"].T)


def broken(x):
    return x + wz.ones(5)


ERRORS = [
    (lambda: nn.Linear(2, 3)(X), wz.TraceError, "compile it with wz.compile"),
    (lambda: wz.jit(lambda x: nn.Linear(6, 3)(x))(X), wz.TraceError, "model.apply"),
    (lambda: wz.compile(nn.Dropout(1.5), {"x": wz.f32[2]}, training=True), wz.ModelError, "rate"),
    (lambda: wz.compile(nn.Linear(2, 3, weight_init="magic"), {"x": wz.f32[1, 2]}), wz.ModelError, "magic"),
    (lambda: wz.compile(broken, {"x": wz.f32[4]}), wz.ShapeError, r"f32\[4\].*f32\[5\].*test_nn\.py"),
    (lambda: wz.compile(nn.Module(), {"x": wz.f32[4]}), NotImplementedError, "forward"),
    (lambda: nn.sgd("fast"), wz.ModelError, "lr must be"),
    (lambda: nn.Linear(-1, 3), wz.ModelError, r"nn\.Linear: in_features is -1; it must be from 0 to"),
    (lambda: nn.Linear(2, 2**64), wz.ModelError, "out_features is 18446744073709551616"),
    (lambda: nn.Linear(2, 1.5), TypeError, r"nn\.Linear: out_features is 1\.5; it must be an integer"),
    (lambda: nn.mlp([4, -2]), wz.ModelError, r"nn\.MLP: sizes\[1\] is -2"),
    (lambda: nn.LayerNorm((2, -3)), wz.ModelError, r"nn\.LayerNorm: normalized_shape\[1\] is -3"),
    (lambda: nn.RMSNorm(-3), wz.ModelError, r"nn\.RMSNorm: normalized_shape is -3"),
    (lambda: nn.Embedding(-1, 3), wz.ModelError, "num_embeddings is -1"),
    (lambda: nn.PositionalEmbedding(3, -1), wz.ModelError, "embedding_dim is -1"),
    (lambda: nn.MultiheadAttention(-8, 2), wz.ModelError, "embed_dim is -8"),
    (lambda: nn.TransformerEncoderLayer(8, -2), wz.ModelError, r"nn\.TransformerEncoderLayer: nhead is -2"),
    (lambda: nn.transformer(-5, 8), wz.ModelError, "vocabulary is -5"),
    (
        lambda: wz.compile(nn.Linear(2**31, 2**31), {"x": wz.f32[1, 2**31]}),
        wz.ShapeError,
        r"`weight` would be f32\[2147483648, 2147483648\], which has more bytes",
    ),
    (lambda: nn.mlp([2, 2]).apply({}, X[:, :2]), wz.ModelError, "0.weight"),
    (
        lambda: wz.compile(nn.training(nn.Linear(2, 2), nn.MSE("none"), nn.sgd(0.1)), {"x": wz.f32[1, 2], "y": wz.f32[1, 2]}),
        wz.ShapeError,
        "scalar",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), ERRORS)
def test_errors(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
