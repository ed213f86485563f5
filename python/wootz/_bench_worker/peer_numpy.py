"""NumPy: preallocated outputs, in-place updates, gradients by hand."""

from bench_protocol import cross_entropy, layers, load_numpy, training


def prepare(setup, marks):
    import numpy as np

    marks.end("import")
    parameters = {file["name"]: load_numpy(file) for file in setup["parameters"]}
    x = load_numpy(setup["input"])
    target = load_numpy(setup["target"]) if training(setup) else None
    marks.end("load")
    session = Session(np, setup, parameters, x, target)
    marks.end("build")
    return session


class Session:
    def __init__(self, np, setup, parameters, x, target):
        self.np = np
        self.versions = {"numpy": np.__version__}
        self.parameters = parameters
        self.weights = list(parameters.values())[0::2]
        self.biases = list(parameters.values())[1::2]
        self.count = layers(setup)
        self.rate = np.float32(setup["learning_rate"])
        self.classes = cross_entropy(setup)
        self.target = target
        batch = x.shape[0]
        # activations[i] is layer i's input; the last one is the output.
        self.activations = [x] + [np.empty((batch, w.shape[0]), np.float32) for w in self.weights]
        self.loss = np.float32(0)
        if target is None:
            self.step = self.forward
        else:
            self.step = self.train
            self.gradients = [np.empty_like(a) for a in self.activations]
            self.weight_gradients = [np.empty_like(w) for w in self.weights]
            self.masks = [np.empty(a.shape, bool) for a in self.activations]
            self.rows = np.arange(batch)

    def forward(self):
        np = self.np
        for i in range(self.count):
            y = self.activations[i + 1]
            np.matmul(self.activations[i], self.weights[i].T, out=y)
            y += self.biases[i]
            if i + 1 < self.count:
                np.maximum(y, 0, out=y)

    def train(self):
        np = self.np
        self.forward()
        output, gradient = self.activations[-1], self.gradients[-1]
        if self.classes:
            np.subtract(output, output.max(axis=1, keepdims=True), out=gradient)
            picked = gradient[self.rows, self.target]
            np.exp(gradient, out=gradient)
            sums = gradient.sum(axis=1, keepdims=True)
            self.loss = (np.log(sums[:, 0]) - picked).mean()
            gradient /= sums
            gradient[self.rows, self.target] -= 1
            gradient *= np.float32(1 / output.shape[0])
        else:
            np.subtract(output, self.target, out=gradient)
            flat = gradient.reshape(-1)
            self.loss = np.dot(flat, flat) / np.float32(gradient.size)
            gradient *= np.float32(2 / gradient.size)
        for i in reversed(range(self.count)):
            gradient, weight = self.gradients[i + 1], self.weights[i]
            np.matmul(gradient.T, self.activations[i], out=self.weight_gradients[i])
            bias_gradient = gradient.sum(axis=0)
            if i > 0:
                below = self.gradients[i]
                np.matmul(gradient, weight, out=below)
                np.greater(self.activations[i], 0, out=self.masks[i])
                below *= self.masks[i]
            self.weight_gradients[i] *= self.rate
            weight -= self.weight_gradients[i]
            self.biases[i] -= self.rate * bias_gradient

    def outputs(self):
        if self.target is None:
            return {"output": self.activations[-1]}
        return {"loss": self.loss, **self.parameters}
