"""PyTorch through torch.compile. It traces and compiles inside the first call, which therefore is its compile phase."""

import peer_pytorch
from bench_protocol import training


def prepare(setup, marks):
    import torch
    import torch._inductor.config

    marks.end("import")
    inputs = peer_pytorch.load(torch, setup)
    marks.end("load")
    if training(setup):
        session = peer_pytorch.Training(torch, setup, *inputs)
    else:
        # Weights become constants that are packed once: PyTorch's own advice for inference on CPUs.
        torch._inductor.config.freezing = True
        session = peer_pytorch.Inference(torch, setup, *inputs)
    session.call = torch.compile(session.call, dynamic=False)
    marks.end("build")
    session.step()
    session.ran = True
    marks.end("compile")
    return session
