"""What an engineer of PyTorch would write for the models of the comparison, tuned: fused kernels, a fused optimizer.

Each function gives `run()`, which makes one inference or one training step, and `outputs()`, the numbers of the last one as
NumPy arrays: {"output": …} or {"loss": …, "PARAMETER": …}.
"""

import torch
import torch.nn.functional as F
from torch import nn

LEARNING_RATE = 1e-3


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x):
        batch, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind()
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    def __init__(self, vocabulary, context, width, heads, layers):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(torch.empty(context, width))
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        h = self.embedding(x) + self.position
        for layer in self.layers:
            h = layer(h)
        return F.linear(self.norm(h), self.embedding.weight)


# Where the parameters of wootz's transformer are, which has the names of PyTorch's own layer.
NAMES = {
    "position.weight": "position",
    "self_attn.in_proj_weight": "qkv.weight",
    "self_attn.in_proj_bias": "qkv.bias",
    "self_attn.out_proj": "out",
    "linear1": "up",
    "linear2": "down",
}


def renamed(name):
    for theirs, ours in NAMES.items():
        name = name.replace(theirs, ours)
    return name


def build(case, params):
    if case.kind == "transformer":
        model = Transformer(*case.sizes)
    else:
        layers = []
        for i, (features, outputs) in enumerate(zip(case.sizes, case.sizes[1:])):
            layers += [nn.ReLU()] * (i > 0) + [nn.Linear(features, outputs)]
        model = layers[0] if len(layers) == 1 else nn.Sequential(*layers)
    state = {renamed(name): torch.from_numpy(value.copy()) for name, value in params.items()}
    model.load_state_dict(state)
    return model


def inference(case, params, inputs, jit):
    model = build(case, params).eval()
    forward = torch.compile(model) if jit else model
    x = torch.from_numpy(inputs["x"])
    last = {}

    def run():
        with torch.inference_mode():
            last["output"] = forward(x)

    return run, lambda: {"output": last["output"].numpy()}


def training(case, params, inputs, jit):
    model = build(case, params).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)
    x, y = (torch.from_numpy(inputs[name]) for name in ("x", "y"))

    def loss_of(x, y):
        return F.cross_entropy(model(x).flatten(0, -2), y.flatten())

    compute = torch.compile(loss_of) if jit else loss_of
    last = {}

    def run():
        optimizer.zero_grad(set_to_none=True)
        loss = compute(x, y)
        loss.backward()
        optimizer.step()
        last["loss"] = loss

    def outputs():
        values = dict(model.named_parameters())
        named = {name: values[renamed(name)].detach().numpy() for name in params}
        return {"loss": last["loss"].detach().numpy(), **named}

    return run, outputs


def density(a, point, data, jit):
    """ln L of an analysis with its gradient by autograd, in float64."""
    tensor = torch.from_numpy
    nominal, high, low, linear, bent, widths = map(tensor, (a.nominal, a.high, a.low, a.linear, a.bent, a.widths))
    coefficients, scales = tensor(a.coefficients), tensor(a.scales)
    normalisations, shapes, mc, centres = map(tensor, (a.normalisations, a.shapes, a.mc, a.centres))
    one = torch.ones((), dtype=torch.float64)
    constant = -torch.log(widths * (2 * torch.pi) ** 0.5).sum()

    def logpdf(pars, data):
        alpha = pars[normalisations]
        inside = coefficients[5]
        for i in (4, 3, 2, 1, 0):
            inside = torch.addcmul(coefficients[i], inside, alpha)
        inside = torch.addcmul(one, inside, alpha)
        outside = torch.where(alpha > 0, high, low) ** alpha.abs()
        factors = torch.where(alpha.abs() < 1, inside, outside).prod(dim=1)
        factors = factors * torch.where(scales, pars[a.mu], one)
        shift = pars[shapes]
        square = shift * shift
        inner = square * (square * (3 * square - 10) + 15)
        bend = torch.where(shift.abs() < 1, inner, 8 * shift.abs())
        rates = nominal + torch.einsum("h,shb->sb", shift, linear) + torch.einsum("h,shb->sb", bend, bent)
        rates = pars[mc] * (factors @ rates)
        main, auxiliary = data[: len(mc)], data[len(mc) :]
        poisson = torch.xlogy(main, rates) - rates - torch.lgamma(main + 1)
        scaled = (auxiliary - pars[centres]) / widths
        return poisson.sum() - 0.5 * (scaled * scaled).sum() + constant

    point, data = tensor(point), tensor(data)
    last = {}
    if jit:
        # One compiled function of both: autograd's own backward pass is a second one, entered through its engine.
        compute = torch.compile(torch.func.grad_and_value(logpdf))

        def run_compiled():
            last["gradient"], last["value"] = compute(point, data)

        return run_compiled, lambda: {name: value.numpy() for name, value in last.items()}
    point.requires_grad_()

    def run():
        value = logpdf(point, data)
        (last["gradient"],) = torch.autograd.grad(value, point)
        last["value"] = value

    return run, lambda: {name: value.detach().numpy() for name, value in last.items()}
