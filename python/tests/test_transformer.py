"""Normalisation, attention, embeddings and transformers: against formulas in NumPy, in training, and with what is not allowed."""

import numpy as np
import pytest
import wootz as wz
from wootz import nn

RNG = np.random.default_rng(3)


def randn(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def close(got, expected, rtol=2e-5, atol=2e-6):
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol)


def reference_attention(q, k, v, visible, scale):
    scores = np.where(visible, scale * (q @ np.swapaxes(k, -1, -2)), -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ v


def test_normalisations_of_arrays():
    x, weight, bias = randn(4, 3, 5), randn(5), randn(5)
    centred = x - x.mean(-1, keepdims=True)
    normal = centred / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    close(wz.jit(lambda x: wz.layer_norm(x))(x), normal)
    close(wz.jit(wz.layer_norm)(x, weight, bias), normal * weight + bias)
    rms = x / np.sqrt((x * x).mean((-2, -1), keepdims=True) + 1e-6)
    close(wz.jit(lambda x: wz.rms_norm(x, normalized=2))(x), rms)


def test_attention_of_arrays():
    q, k, v = randn(2, 4, 3, 8), randn(2, 4, 5, 8), randn(2, 4, 5, 6)
    everything = np.ones((3, 5), bool)
    close(wz.jit(wz.attention)(q, k, v), reference_attention(q, k, v, everything, 8**-0.5))
    lower = np.tril(everything)
    causal = wz.jit(lambda q, k, v: wz.scaled_dot_product_attention(q, k, v, causal=True, scale=0.3))
    close(causal(q, k, v), reference_attention(q, k, v, lower, 0.3))
    close(wz.jit(wz.attention)(q, k, v, lower), reference_attention(q, k, v, lower, 8**-0.5))
    added = np.where(lower, 0.0, -np.inf).astype(np.float32)
    close(wz.jit(wz.attention)(q, k, v, added), reference_attention(q, k, v, lower, 8**-0.5))
    # Two heads of queries to one of keys and values.
    grouped = wz.jit(wz.attention)(q, k[:, ::2], v[:, ::2])
    close(grouped, reference_attention(q, k[:, [0, 0, 2, 2]], v[:, [0, 0, 2, 2]], everything, 8**-0.5))


def test_a_query_that_sees_nothing_gets_zeros_and_has_no_gradient():
    q, k, v = randn(2, 4), randn(3, 4), randn(3, 4)
    visible = np.array([[False] * 3, [True, False, True]])
    close(wz.jit(wz.attention)(q, k, v, visible)[0], np.zeros(4))
    dq, dk, dv = wz.grad(lambda q, k, v: (wz.attention(q, k, v, visible) ** 2).sum(), argnums=(0, 1, 2))(q, k, v)
    close(dq[0], np.zeros(4))
    close(dk[1], np.zeros(4))
    close(dv[1], np.zeros(4))
    assert np.isfinite(dq).all() and np.abs(dq[1]).max() > 0


def test_attention_composes_with_vmap_and_grad():
    q, k, v = randn(3, 2, 4), randn(3, 5, 4), randn(3, 5, 4)
    one = lambda q, k, v: (wz.attention(q, k, v, causal=True) ** 3).sum()  # noqa: E731
    several = wz.vmap(wz.grad(one))(q, k, v)
    for i in range(3):
        close(several[i], wz.grad(one)(q[i], k[i], v[i]))


def test_embedding_reads_rows_and_its_gradient_adds_up():
    table, ids = randn(5, 3), np.array([[1, 4], [1, 0]])
    close(wz.jit(wz.embedding)(ids, table), table[ids])
    gradient = wz.grad(lambda t: (wz.embedding(ids, t) * np.float32(2)).sum())(table)
    close(gradient, np.bincount(ids.ravel(), minlength=5)[:, None] * np.full((1, 3), 2.0))
    with pytest.raises(wz.DTypeError, match="ids are integers"):
        wz.jit(wz.embedding)(table, table)


def test_layers_have_pytorchs_names():
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, norm_first=True), 2)
    names = list(wz.compile(model, {"x": wz.f32[1, 3, 8]}).init())
    layer = ["norm1", "self_attn.in_proj", "self_attn.out_proj", "norm2", "linear1", "linear2"]
    joint = {"self_attn.in_proj": "_"}
    expected = [f"layers.{i}.{n}{joint.get(n, '.')}{p}" for i in range(2) for n in layer for p in ("weight", "bias")]
    assert names == [*expected, "norm.weight", "norm.bias"]


def test_the_padding_row_is_not_trained():
    model = nn.Sequential(nn.Embedding(4, 3, padding_idx=-1), nn.Linear(3, 2))
    step = wz.compile(nn.training(model, nn.cross_entropy, nn.sgd(0.5)), {"x": wz.i64[4], "y": wz.i64[4]})
    state = step.init(0)
    before = np.array(state["0.weight"])
    state, _ = step(state, x=np.array([0, 3, 3, 1]), y=np.array([0, 1, 0, 1]))
    moved = np.abs(np.array(state["0.weight"]) - before).max(1) > 0
    assert moved.tolist() == [True, True, False, False]


def test_a_tied_head_shares_the_embedding():
    tied = nn.transformer(7, 6, width=8, heads=2, layers=1)
    params = wz.compile(tied, {"x": wz.i64[2, 5]}).init(0)
    assert "head.weight" not in list(params)
    untied = nn.transformer(7, 6, width=8, heads=2, layers=1, tied=False)
    program = wz.compile(untied, {"x": wz.i64[2, 5]})
    assert "head.weight" in list(program.init(0))
    tokens = RNG.integers(0, 7, (2, 5))
    given = {**dict(params.items()), "head.weight": params["embedding.weight"]}
    logits = wz.compile(tied, {"x": wz.i64[2, 5]})(params, x=tokens)["logits"]
    assert logits.shape == (2, 5, 7)
    close(untied.apply(given, tokens), logits)


def test_what_follows_a_token_does_not_change_its_logits():
    model = nn.transformer(7, 6, width=8, heads=2, layers=2)
    assert str(model.graph(x=wz.i64["B", "S"]).outputs[0][1]) == "f32[B, S, 7]"
    program = wz.compile(model)
    params = wz.compile(model, {"x": wz.i64[2, 6]}).init(1)
    tokens = RNG.integers(0, 7, (2, 6))
    whole = program(params, x=tokens)["logits"]
    close(program(params, x=tokens[:, :4])["logits"], whole[:, :4])
    other = tokens.copy()
    other[:, 5] = (other[:, 5] + 1) % 7
    changed = program(params, x=other)["logits"]
    close(changed[:, :5], whole[:, :5])
    assert np.abs(changed[:, 5] - whole[:, 5]).max() > 1e-4


def test_a_mask_input_and_cross_attention():
    mha = nn.MultiheadAttention(8, 2, cross=True, mask=True)
    shapes = {"query": wz.f32[2, 3, 8], "key": wz.f32[2, 4, 8], "value": wz.f32[2, 4, 8], "mask": wz.bool_[3, 4]}
    program = wz.compile(mha, shapes)
    params = program.init(0)
    q, k = randn(2, 3, 8), randn(2, 4, 8)
    visible = RNG.random((3, 4)) > 0.4
    visible[:, 0] = True
    got = program(params, query=q, key=k, value=k, mask=visible)["output"]
    wq, wk, wv = np.split(np.array(params["in_proj_weight"]), 3)
    heads = lambda x: x.reshape(2, -1, 2, 4).swapaxes(1, 2)  # noqa: E731
    mixed = reference_attention(heads(q @ wq.T), heads(k @ wk.T), heads(k @ wv.T), visible, 0.5)
    close(got, mixed.swapaxes(1, 2).reshape(2, 3, 8) @ params["out_proj.weight"].T)


def test_training_with_dropout_is_repeatable_and_learns():
    model = nn.transformer(5, 8, width=16, heads=2, layers=2, dropout=0.1)
    step = wz.compile(
        nn.training(model, nn.cross_entropy, nn.adamw(3e-3)), {"x": wz.i64[4, 8], "y": wz.i64[4, 8]}
    )
    tokens = np.tile(np.arange(9) % 5, (4, 1))

    def losses():
        state, out = step.init(0), []
        for _ in range(60):
            state, result = step(state, x=tokens[:, :-1], y=tokens[:, 1:])
            out.append(float(result["loss"]))
        return out

    first = losses()
    assert first == losses()
    assert first[0] > 1.4 and first[-1] < 0.4


def test_what_is_wrong_is_said():
    with pytest.raises(wz.ModelError, match="which 3 heads do not divide"):
        wz.compile(nn.MultiheadAttention(8, 3), {"x": wz.f32[1, 2, 8]})
    with pytest.raises(wz.ModelError, match="S up to 4"):
        wz.compile(nn.transformer(5, 4, width=8, heads=2, layers=1), {"x": wz.i64[1, 5]})
    with pytest.raises(wz.ModelError, match="activation must be one of"):
        nn.TransformerEncoderLayer(8, 2, activation="swish")
    with pytest.raises(wz.ModelError, match="not a row of a table of 4"):
        nn.Embedding(4, 2, padding_idx=4)
    with pytest.raises(wz.ShapeError, match="rank 2 or more"):
        wz.jit(wz.attention)(randn(3), randn(3), randn(3))
    with pytest.raises(wz.ShapeError, match="leading axes must agree"):
        wz.jit(wz.attention)(randn(3, 2, 4), randn(2, 2, 4), randn(2, 2, 4))
