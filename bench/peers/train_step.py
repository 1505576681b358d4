"""Training steps of PyTorch: forward, cross entropy, backward, Adam; data already on the device.

    eager     channels last, cudnn.benchmark, the default Adam (on cuda the fused one)
    compiled  torch.compile(mode="max-autotune") of the network, fused Adam
    graph     the whole step as one CUDA graph, with the fused, capturable Adam
"""

import time

import torch
from torch.nn import functional as F

import measure
import networks

CASES = (("lenet5", 64), ("mnist-dropout2d", 64), ("resnet20", 128), ("airbench94", 256),
         ("resnet18", 64), ("mnist-fast", 64), ("lenet5", 1), ("lenet5", 256))
COMPILED = (("lenet5", 64), ("resnet20", 128))  # a minute each
GRAY, COLOR = (1, 28, 28), (3, 32, 32)


def image_of(model):
    return GRAY if model == "lenet5" or model.startswith("mnist") else COLOR


class Step:
    """One training step on a batch of images (c, h, w) that stays where it is."""

    def __init__(self, model, batch, device, bf16, compiled=False, capturable=False,
                 layout=torch.channels_last, fused=False, lr=1e-12):  # train_step_bench says why
        image = image_of(model)
        self.net = networks.make(model, device, image[0], layout)
        self.forward = torch.compile(self.net, mode="max-autotune") if compiled else self.net
        options = {"fused": True, "capturable": capturable} if device == "cuda" else \
            {"fused": True} if fused else {}
        self.optimizer = torch.optim.Adam(
            [p for p in self.net.parameters() if p.requires_grad], lr=lr, **options)
        self.x = torch.rand(batch, *image, device=device).to(memory_format=layout)
        self.labels = torch.randint(0, 10, (batch,), device=device)
        self.device, self.bf16 = device, bf16

    def __call__(self):
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.bf16):
            loss = F.cross_entropy(self.forward(self.x), self.labels)
        loss.backward()
        self.optimizer.step()


def as_graph(step):
    """The step captured once and replayed; see PyTorch's "Whole-network capture"."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def variants(model, batch, device, bf16, compiled):
    if compiled:
        yield "pytorch compiled", lambda: Step(model, batch, device, bf16, compiled=True)
        return
    yield "pytorch eager", lambda: Step(model, batch, device, bf16)
    if device == "cuda":
        yield "pytorch graph", lambda: as_graph(Step(model, batch, device, bf16, capturable=True))


def dtype_of(device, bf16):
    if bf16:
        return "bf16"
    return "tf32" if device == "cuda" and torch.backends.cudnn.allow_tf32 else "f32"


def rows(device, deadline, say, compiled=False):
    """A row for each network, batch, dtype and way to run it; what fails is said so."""
    for model, batch in COMPILED if compiled else CASES:
        for bf16 in (False, True) if device == "cuda" else (False,):
            for who, make in variants(model, batch, device, bf16, compiled):
                if time.monotonic() > deadline:
                    say(f"no time for {who}, {model}")
                    continue
                try:
                    samples = measure.measure(device, make(), seconds=0.25)
                except Exception as error:  # a compiler that is not there, say
                    say(f"{who}, {model}: {type(error).__name__}: {str(error).splitlines()[0]}")
                    continue
                yield measure.row(device, who, samples, op="train_step", model=model, batch=batch,
                                  dtype=dtype_of(device, bf16))
