"""The ops of a `cucina bench --json` result, by PyTorch in eager mode and channels last: the same
shapes, so that a row of one can be set beside a row of the other."""

import time

import torch
from torch.nn import functional as F

import measure

DTYPES = {"f32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


def image(shape, dtype, device):
    """(n, h, w, c) in cucina is (n, c, h, w), channels last, here."""
    n, h, w, c = shape
    return torch.rand(n, c, h, w, device=device).to(dtype).sub_(0.5).contiguous(
        memory_format=torch.channels_last)


def convolution_of(x, w, y):
    """(stride, pad) that gives these shapes: the least of both."""
    for stride in (1, 2, 3, 4):
        for pad in range(0, 8):
            if all((x[i] + 2 * pad - w[i]) // stride + 1 == y[i] for i in (1, 2)):
                return stride, pad
    return None


def conv2d(row, dtype, device):
    shape = row["shapes"]
    entry = row["entry"]
    if entry not in ("forward", "backward_input", "backward_weight"):
        return None
    x, w = shape.get("x") or shape.get("dx"), shape.get("w") or shape.get("dw")
    y = shape.get("y") or shape.get("dy")
    found = convolution_of(x, w, y) if x and w and y and x[3] % w[3] == 0 else None
    if found is None or 0 in x:
        return None
    stride, pad = found
    groups = x[3] // w[3]

    def make():
        return image(x, dtype, device), image(w, dtype, device), image(y, dtype, device)

    def forward(tx, tw, ty):
        return F.conv2d(tx, tw, None, stride, pad, 1, groups)

    def backward(mask):
        return lambda tx, tw, ty: torch.ops.aten.convolution_backward(
            ty, tx, tw, None, [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], groups, mask)

    run = {"forward": forward, "backward_input": backward([True, False, False]),
           "backward_weight": backward([False, True, False])}[entry]
    return make, run


def pool2d(row, dtype, device):
    shape = row["shapes"]
    x = shape.get("x") or shape.get("dx")
    y = shape.get("y") or shape.get("dy")
    if not x or not y or not row["entry"].startswith("max_") or x[1] // 2 != y[1]:
        return None
    indices = F.max_pool2d(image(x, torch.float32, device), 2, return_indices=True)[1]

    def make():
        return image(x, dtype, device), image(y, dtype, device)

    if row["entry"] == "max_forward":
        return make, lambda tx, ty: F.max_pool2d(tx, 2, return_indices=True)
    return make, lambda tx, ty: torch.ops.aten.max_pool2d_with_indices_backward(
        ty, tx, [2, 2], [2, 2], [0, 0], [1, 1], False, indices)


def batch_norm(row, dtype, device):
    x = row["shapes"].get("x")
    residual = row["shapes"].get("residual", [0])
    if not x or len(x) != 4 or row["entry"] not in ("forward_train", "backward_train"):
        return None
    c = x[3]
    gamma, beta, mean, spread = (torch.rand(c, device=device) + 0.5 for _ in range(4))
    fused = "relu" in row["case"]

    def make():
        return image(x, dtype, device), image(x, dtype, device)

    def forward(tx, ty):
        y = torch.native_batch_norm(tx, gamma, beta, mean, spread, True, 0.1, 1e-5)[0]
        y = y + ty if residual[0] else y
        return F.relu(y) if fused else y

    def backward(tx, ty):
        dy = torch.ops.aten.threshold_backward(ty, tx, 0) if fused else ty
        return torch.ops.aten.native_batch_norm_backward(
            dy, tx, gamma, mean, spread, mean, spread, True, 1e-5, [True, True, True])

    return make, forward if row["entry"] == "forward_train" else backward


def matmul(row, dtype, device):
    shape = row["shapes"]
    if row["entry"] != "multiply" or not all(k in shape for k in "abc") or 0 in shape["c"]:
        return None
    m, n = shape["c"][-2:]
    # A square one may be either: the same work.
    transposed_a, transposed_b = shape["a"][-2] != m, shape["b"][-1] != n

    def make():
        return tuple(torch.rand(*shape[k], device=device).to(dtype).sub_(0.5) for k in "ab")

    def run(a, b):
        return torch.matmul(a.mT if transposed_a else a, b.mT if transposed_b else b)

    return make, run


def softmax_cross_entropy(row, dtype, device):
    logits = row["shapes"].get("logits")
    if not logits or "labels" not in row["shapes"] or row["entry"] not in ("forward", "forward_without_gradient"):
        return None
    labels = torch.randint(0, logits[1], (logits[0],), device=device)
    wants_gradient = row["entry"] == "forward"

    def make():
        return (torch.rand(*logits, device=device).to(dtype),)

    def run(x):
        x = x.detach().requires_grad_(wants_gradient)
        loss = F.cross_entropy(x, labels)
        if wants_gradient:
            loss.backward()
        return loss

    return make, run


def adam(row, dtype, device):
    n = row["shapes"].get("parameters")
    if not n or dtype != torch.float32:
        return None
    parameters = torch.rand(*n, device=device).requires_grad_()
    parameters.grad = torch.rand(*n, device=device)
    options = {"fused": True, "capturable": True} if device == "cuda" else {}
    optimizer = torch.optim.AdamW([parameters], lr=1e-3, **options)
    return lambda: (torch.empty(0),), lambda _: optimizer.step()


def dropout2d(row, dtype, device):
    x = row["shapes"].get("x")
    if not x or row["entry"] != "forward":
        return None
    return lambda: (image(x, dtype, device),), lambda tx: F.dropout2d(tx, 0.5, True)


MAKERS = {"conv2d": conv2d, "matmul": matmul, "pool2d": pool2d, "batch_norm": batch_norm,
          "softmax_cross_entropy": softmax_cross_entropy, "dropout2d": dropout2d, "adam": adam}


def rows(device, report, deadline, say):
    """A row for each of the report's that PyTorch has."""
    cache = report["peaks"]["cache_bytes"]
    done = set()
    for row in report["rows"]:
        key = tuple(row[k] for k in ("op", "case", "entry", "dtype"))
        if key in done or row["op"] not in MAKERS or row["dtype"] not in DTYPES:
            continue
        done.add(key)
        if time.monotonic() > deadline:
            say("no time for the rest of the ops")
            return
        torch.backends.cuda.matmul.allow_tf32 = row["dtype"] == "tf32"
        torch.backends.cudnn.allow_tf32 = row["dtype"] == "tf32"
        try:
            made = MAKERS[row["op"]](row, DTYPES[row["dtype"]], device)
            if made is None:
                continue
            turns = measure.Turns(made[0], cache)
            samples = measure.measure(device, lambda: made[1](*turns()))
        except Exception as error:  # an op this version lacks
            say(f"{' '.join(key)}: {type(error).__name__}: {str(error).splitlines()[0]}")
            continue
        yield measure.row(device, "pytorch eager", samples, op=key[0], case=key[1], entry=key[2],
                          dtype=key[3])
