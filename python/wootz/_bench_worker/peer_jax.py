"""JAX: one jitted function, compiled ahead of its first run; training donates the parameters."""

from bench_protocol import cross_entropy, layers, load_numpy, training


def prepare(setup, marks):
    import jax
    import jax.numpy as jnp

    marks.end("import")
    parameters = {file["name"]: jnp.asarray(load_numpy(file)) for file in setup["parameters"]}
    x = jnp.asarray(load_numpy(setup["input"]))
    target = jnp.asarray(load_numpy(setup["target"]).astype(label_type(setup))) if training(setup) else None
    jax.block_until_ready((parameters, x, target))
    marks.end("load")
    session = (Training if training(setup) else Inference)(jax, jnp, setup, parameters, x, target, marks)
    return session


def label_type(setup):
    # JAX's integers are 32-bit unless told otherwise.
    return "int32" if cross_entropy(setup) else "float32"


def forward(jax, setup):
    count = layers(setup)

    def apply(parameters, x):
        for i in range(count):
            weight, bias = parameters[i]
            x = x @ weight.T + bias
            if i + 1 < count:
                x = jax.nn.relu(x)
        return x

    return apply


def layer_pairs(parameters):
    values = list(parameters.values())
    return list(zip(values[0::2], values[1::2], strict=True))


class Inference:
    def __init__(self, jax, _jnp, setup, parameters, x, _target, marks):
        self.versions = {"jax": jax.__version__, "jaxlib": jax.lib.__version__}
        self.parameters, self.x = layer_pairs(parameters), x
        lowered = jax.jit(forward(jax, setup)).lower(self.parameters, x)
        marks.end("build")
        self.call = lowered.compile()
        marks.end("compile")

    def step(self):
        self.y = self.call(self.parameters, self.x).block_until_ready()

    def outputs(self):
        return {"output": self.y}


class Training:
    def __init__(self, jax, jnp, setup, parameters, x, target, marks):
        self.versions = {"jax": jax.__version__, "jaxlib": jax.lib.__version__}
        self.names = list(parameters)
        self.state, self.x, self.target = layer_pairs(parameters), x, target
        apply, rate = forward(jax, setup), setup["learning_rate"]

        def loss_of(state, x, target):
            y = apply(state, x)
            if cross_entropy(setup):
                picked = jnp.take_along_axis(jax.nn.log_softmax(y), target[:, None], axis=1)
                return -picked.mean()
            return jnp.mean((y - target) ** 2)

        def update(state, x, target):
            loss, gradients = jax.value_and_grad(loss_of)(state, x, target)
            return jax.tree.map(lambda p, g: p - rate * g, state, gradients), loss

        lowered = jax.jit(update, donate_argnums=0).lower(self.state, x, target)
        marks.end("build")
        self.call = lowered.compile()
        marks.end("compile")

    def step(self):
        self.state, self.loss = self.call(self.state, self.x, self.target)
        # One buffer of an executable is ready no sooner than the others.
        self.loss.block_until_ready()

    def outputs(self):
        values = [value for pair in self.state for value in pair]
        return {"loss": self.loss, **dict(zip(self.names, values, strict=True))}
