"""What an engineer of JAX would write for the models of the comparison, tuned: pure functions under one `jax.jit`, the state donated.

Each function gives `run()`, which makes one inference or one training step, and `outputs()`, the numbers of the last one as
NumPy arrays: {"output": …} or {"loss": …, "PARAMETER": …}.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

LEARNING_RATE = 1e-3


def linear(params, name, x):
    return x @ params[f"{name}weight"].T + params[f"{name}bias"]


def layer_norm(params, name, x):
    x = x - x.mean(axis=-1, keepdims=True)
    scale = jax.lax.rsqrt((x * x).mean(axis=-1, keepdims=True) + 1e-5)
    return x * scale * params[f"{name}.weight"] + params[f"{name}.bias"]


def perceptron(case, params, x):
    count = len(case.sizes) - 1
    for i in range(count):
        x = linear(params, f"{2 * i}." if count > 1 else "", x)
        if i + 1 < count:
            x = jax.nn.relu(x)
    return x


def transformer(case, params, x):
    _, _, _, heads, layers = case.sizes
    h = params["embedding.weight"][x] + params["position.weight"]
    batch, length, _ = h.shape
    for i in range(layers):
        name = f"layers.{i}."
        a = layer_norm(params, f"{name}norm1", h)
        weight, bias = (
            params[f"{name}self_attn.in_proj_{part}"] for part in ("weight", "bias")
        )
        qkv = (a @ weight.T + bias).reshape(batch, length, 3, heads, -1)
        q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        a = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        h = h + linear(params, f"{name}self_attn.out_proj.", a.reshape(h.shape))
        a = layer_norm(params, f"{name}norm2", h)
        a = jax.nn.gelu(linear(params, f"{name}linear1.", a), approximate=False)
        h = h + linear(params, f"{name}linear2.", a)
    return layer_norm(params, "norm", h) @ params["embedding.weight"].T


def forward(case):
    body = transformer if case.kind == "transformer" else perceptron
    return functools.partial(body, case)


def inference(case, params, inputs, jit):
    function = jax.jit(forward(case))
    params = {name: jnp.asarray(value) for name, value in params.items()}
    x = jnp.asarray(inputs["x"])
    last = {}

    def run():
        last["output"] = function(params, x).block_until_ready()

    return run, lambda: {"output": np.asarray(last["output"])}


def adamw(param, gradient, mean, square, step):
    mean = 0.9 * mean + 0.1 * gradient
    square = 0.999 * square + 0.001 * gradient * gradient
    scaled = (mean / (1 - 0.9**step)) / (jnp.sqrt(square / (1 - 0.999**step)) + 1e-8)
    return param * (1 - LEARNING_RATE * 0.01) - LEARNING_RATE * scaled, mean, square


def training(case, params, inputs, jit):
    apply = forward(case)

    def loss_of(params, x, y):
        scores = jax.nn.log_softmax(apply(params, x))
        return -jnp.take_along_axis(scores, y[..., None], axis=-1).mean()

    @functools.partial(jax.jit, donate_argnums=0)
    def update(state, x, y):
        params, means, squares, step = state
        loss, gradients = jax.value_and_grad(loss_of)(params, x, y)
        step = step + 1
        new = {
            name: adamw(params[name], gradients[name], means[name], squares[name], step)
            for name in params
        }
        parts = ({name: parts[i] for name, parts in new.items()} for i in range(3))
        return (*parts, step), loss

    params = {name: jnp.asarray(value) for name, value in params.items()}
    zeros = [jax.tree.map(jnp.zeros_like, params) for _ in range(2)]
    # JAX's integers are 32-bit unless told otherwise.
    x, y = jnp.asarray(inputs["x"]), jnp.asarray(inputs["y"].astype(np.int32))
    last = {"state": (params, *zeros, jnp.zeros((), jnp.float32))}

    def run():
        last["state"], last["loss"] = update(last["state"], x, y)
        last["loss"].block_until_ready()

    def outputs():
        named = {name: np.asarray(value) for name, value in last["state"][0].items()}
        return {"loss": np.asarray(last["loss"]), **named}

    return run, outputs


def density(a, point, data):
    """ln L of an analysis with its gradient: one jitted function of float64 arrays, the templates its constants."""
    jax.config.update("jax_enable_x64", True)
    constant = -jnp.log(a.widths * np.sqrt(2 * np.pi)).sum()

    def logpdf(pars, data):
        alpha = pars[a.normalisations]
        inside = jnp.asarray(a.coefficients[5])
        for coefficient in a.coefficients[4::-1]:
            inside = inside * alpha + coefficient
        inside = inside * alpha + 1
        outside = jnp.where(alpha > 0, a.high, a.low) ** jnp.abs(alpha)
        factors = jnp.where(jnp.abs(alpha) < 1, inside, outside).prod(axis=1)
        factors = factors * jnp.where(a.scales, pars[a.mu], 1.0)
        shift = pars[a.shapes]
        square = shift * shift
        inner = square * (square * (3 * square - 10) + 15)
        bend = jnp.where(jnp.abs(shift) < 1, inner, 8 * jnp.abs(shift))
        rates = a.nominal + jnp.einsum("h,shb->sb", shift, a.linear) + jnp.einsum("h,shb->sb", bend, a.bent)
        rates = pars[a.mc] * (factors @ rates)
        main, auxiliary = data[: rates.size], data[rates.size :]
        poisson = jax.scipy.special.xlogy(main, rates) - rates - jax.scipy.special.gammaln(main + 1)
        scaled = (auxiliary - pars[a.centres]) / a.widths
        return poisson.sum() - 0.5 * (scaled * scaled).sum() + constant

    function = jax.jit(jax.value_and_grad(logpdf))
    point, data = jnp.asarray(point), jnp.asarray(data)
    last = {}

    def run():
        last["value"], last["gradient"] = function(point, data)
        last["gradient"].block_until_ready()

    return run, lambda: {name: np.asarray(value) for name, value in last.items()}
