"""Run by the peers' Python, which has PyTorch: writes what PyTorch computes to the .npz file named on the command line."""

import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(1)
found = {}


def keep(prefix, tensors):
    for name, value in tensors.items():
        found[f"{prefix}/{name}"] = np.array(value.detach().numpy())


class GPT(nn.Module):
    def __init__(self, vocabulary, context, width, heads, layers):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(context, width)
        make = lambda: nn.TransformerEncoderLayer(  # noqa: E731
            width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.ModuleList(make() for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        size = x.shape[1]
        hidden = torch.ones(size, size, dtype=torch.bool).triu(1)
        h = self.embedding(x) + self.position(torch.arange(size))
        for layer in self.layers:
            h = layer(h, src_mask=hidden, is_causal=True)
        return self.norm(h) @ self.embedding.weight.T


def gpt():
    torch.manual_seed(0)
    model = GPT(11, 8, 16, 4, 3)
    for name, p in model.named_parameters():
        if p.ndim == 1 or "embedding" in name or "position" in name:
            nn.init.normal_(p, 1.0 if name.endswith("weight") and "norm" in name else 0.0, 0.3)
    tokens = torch.randint(0, 11, (2, 9))
    x, y = tokens[:, :-1], tokens[:, 1:]
    keep("gpt/params", model.state_dict())
    keep("gpt", {"x": x, "y": y, "logits": model(x)})
    start = {name: p.detach().clone() for name, p in model.state_dict().items()}
    # Where a gradient is 0 but for rounding (the keys' bias), Adam with a smaller eps would step by the sign of the rounding.
    optimizers = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
        "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, eps=1e-3),
    }
    for kind, make in optimizers.items():
        model.load_state_dict(start)
        optimizer, losses = make(model.parameters()), []
        for step in range(3):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
            loss.backward()
            if step == 0:
                keep("gpt/gradients", {name: p.grad for name, p in model.named_parameters()})
            optimizer.step()
            losses.append(loss.detach())
        keep(f"gpt/{kind}", {"losses": torch.stack(losses)})
        keep(f"gpt/{kind}/trained", model.state_dict())


def encoder():
    torch.manual_seed(1)
    layer = nn.TransformerEncoderLayer(12, 3, 20, dropout=0.0, batch_first=True)
    model = nn.TransformerEncoder(layer, 2)
    for p in model.parameters():
        nn.init.normal_(p, 0.1, 0.4)
    x = torch.randn(2, 5, 12, requires_grad=True)
    output = model(x)
    (output**2).sum().backward()
    keep("encoder/params", model.state_dict())
    keep("encoder", {"x": x, "output": output, "dx": x.grad})


def cross():
    torch.manual_seed(2)
    model = nn.MultiheadAttention(8, 2, batch_first=True)
    nn.init.normal_(model.in_proj_bias)
    nn.init.normal_(model.out_proj.bias)
    query, key, value = torch.randn(2, 3, 8), torch.randn(2, 4, 8), torch.randn(2, 4, 8)
    visible = torch.tensor([[True, False, True, True], [False, True, False, False], [True, True, True, True]])
    output, _ = model(query, key, value, attn_mask=~visible, need_weights=False)
    keep("cross/params", model.state_dict())
    keep("cross", {"query": query, "key": key, "value": value, "mask": visible, "output": output})


def functions():
    torch.manual_seed(3)
    x = torch.randn(3, 4, 5, requires_grad=True)
    weight, bias = torch.randn(4, 5, requires_grad=True), torch.randn(4, 5, requires_grad=True)
    output = F.layer_norm(x, (4, 5), weight, bias, 1e-3)
    (output**3).sum().backward()
    given = {"x": x, "weight": weight, "bias": bias}
    keep("layer_norm", {**given, "output": output, **{f"d{name}": p.grad for name, p in given.items()}})
    x, weight = torch.randn(3, 5, requires_grad=True), torch.randn(5, requires_grad=True)
    output = F.rms_norm(x, (5,), weight)
    (output**3).sum().backward()
    given = {"x": x, "weight": weight}
    keep("rms_norm", {**given, "output": output, **{f"d{name}": p.grad for name, p in given.items()}})
    q, k, v = (torch.randn(2, heads, n, 6, requires_grad=True) for heads, n in ((4, 3), (2, 5), (2, 5)))
    bias = torch.randn(3, 5)
    output = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=0.3, enable_gqa=True)
    (output**3).sum().backward()
    given = {"q": q, "k": k, "v": v}
    keep("attention", {**given, "mask": bias, "output": output, **{f"d{name}": p.grad for name, p in given.items()}})
    model = nn.Embedding(6, 4, padding_idx=2)
    ids = torch.tensor([[1, 2, 5], [1, 0, 2]])
    output = model(ids)
    (output**3 + output).sum().backward()
    keep("embedding", {"ids": ids, "weight": model.weight, "output": output, "dweight": model.weight.grad})


gpt()
encoder()
cross()
functions()
np.savez(sys.argv[1], **found)
