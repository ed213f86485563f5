"""wootz as its Python users have it: a program called on arrays; training consumes a state and gives the next one."""

from bench_protocol import cross_entropy, dims, load_numpy, training


def prepare(setup, marks):
    import wootz as wz
    from wootz import nn

    marks.end("import")
    parameters = {file["name"]: load_numpy(file) for file in setup["parameters"]}
    x = load_numpy(setup["input"])
    target = load_numpy(setup["target"]) if training(setup) else None
    marks.end("load")
    model = nn.Linear(*dims(setup)) if len(dims(setup)) == 2 else nn.mlp(dims(setup))
    if training(setup):
        loss = nn.cross_entropy if cross_entropy(setup) else nn.mse
        model = nn.training(model, loss=loss, optimizer=nn.sgd(setup["learning_rate"]))
        return Training(wz, setup, model, parameters, x, target, marks)
    return Inference(wz, setup, model, parameters, x, marks)


def versions():
    from importlib.metadata import version

    return {"wootz": version("wootz")}


class Inference:
    def __init__(self, wz, setup, model, parameters, x, marks):
        marks.end("build")
        self.program = wz.compile(model, {"x": x}, threads=setup["case"]["threads"])
        marks.end("compile")
        self.params, self.x = wz.Params(parameters), x
        self.program.prepare(self.params)
        marks.end("pack")

    versions = property(lambda _: versions())

    def step(self):
        self.out = self.program(self.params, x=self.x)

    def outputs(self):
        (output,) = self.out.values()
        return {"output": output}


class Training:
    def __init__(self, wz, setup, model, parameters, x, target, marks):
        self.names = list(parameters)
        marks.end("build")
        self.program = wz.compile(model, {"x": x, "y": target}, threads=setup["case"]["threads"])
        marks.end("compile")
        # Plain SGD keeps the number of steps beside the parameters.
        self.state = self.program.state({**parameters, "optimizer.step": 0})
        self.x, self.target = x, target
        marks.end("pack")

    versions = property(lambda _: versions())

    def step(self):
        self.state, self.out = self.program(self.state, x=self.x, y=self.target)

    def outputs(self):
        return {"loss": self.out["loss"], **{name: self.state[name] for name in self.names}}
