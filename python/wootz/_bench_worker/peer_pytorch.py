"""PyTorch, eager mode. Also the model and the training step that `torch.compile` starts from."""

from bench_protocol import cross_entropy, dims, layers, load_numpy, training


def prepare(setup, marks):
    import torch

    marks.end("import")
    inputs = load(torch, setup)
    marks.end("load")
    session = Training(torch, setup, *inputs) if training(setup) else Inference(torch, setup, *inputs)
    marks.end("build")
    return session


def load(torch, setup):
    """Parameters by name, input, target."""
    torch.set_num_threads(setup["case"]["threads"])
    parameters = {file["name"]: torch.from_numpy(load_numpy(file)) for file in setup["parameters"]}
    target = torch.from_numpy(load_numpy(setup["target"])) if training(setup) else None
    return parameters, torch.from_numpy(load_numpy(setup["input"])), target


def build(torch, setup, parameters):
    sizes, modules = dims(setup), []
    # Without a device the module would initialise parameters that are overwritten at once.
    with torch.device("meta"):
        for i in range(layers(setup)):
            modules.append(torch.nn.Linear(sizes[i], sizes[i + 1]))
            if i + 1 < layers(setup):
                modules.append(torch.nn.ReLU())
        model = modules[0] if len(modules) == 1 else torch.nn.Sequential(*modules)
    model.load_state_dict(parameters, assign=True)
    return model


class Inference:
    def __init__(self, torch, setup, parameters, x, _target):
        self.versions = {"torch": torch.__version__}
        self.torch = torch
        self.model = build(torch, setup, parameters).eval()
        self.call = self.model
        self.x = x
        self.y = None

    def step(self):
        with self.torch.inference_mode():
            self.y = self.call(self.x)

    def outputs(self):
        return {"output": self.y.numpy()}


class Training:
    def __init__(self, torch, setup, parameters, x, target):
        self.versions = {"torch": torch.__version__}
        self.model = build(torch, setup, parameters).train()
        self.model.requires_grad_(True)
        self.criterion = torch.nn.CrossEntropyLoss() if cross_entropy(setup) else torch.nn.MSELoss()
        self.parameters = list(self.model.parameters())
        self.rate = setup["learning_rate"]
        self.no_grad = torch.no_grad
        self.call = self.compute_loss
        self.x, self.target = x, target
        self.loss = None

    def compute_loss(self, x, target):
        return self.criterion(self.model(x), target)

    def step(self):
        for parameter in self.parameters:
            parameter.grad = None
        self.loss = self.call(self.x, self.target)
        self.loss.backward()
        # Plain SGD needs no optimizer object, and the first one made imports torch._dynamo, which takes a second.
        with self.no_grad():
            for parameter in self.parameters:
                parameter.sub_(parameter.grad, alpha=self.rate)

    def outputs(self):
        parameters = {name: value.detach().numpy() for name, value in self.model.named_parameters()}
        return {"loss": self.loss.detach().numpy(), **parameters}
