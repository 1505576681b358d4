"""The cases of make_vectors.py: each op through PyTorch, in f64, on f32 inputs in cucina's layouts."""

import json

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

STEPS = 100  # of an optimiser's trajectory


def nchw(x):
    """Activations NHWC -> NCHW, filters KRSC -> KCRS; the gradient comes back the other way."""
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def uniform(*shape, low=-1.0, high=1.0):
    """f32 values, as a leaf."""
    values = torch.rand(shape) * (high - low) + low
    return values.to(torch.float32).to(torch.float64)


def distinct(*shape):
    """No two alike, so that a maximum is one element."""
    count = torch.Size(shape).numel()
    return ((torch.randperm(count) * 2.0 / count - 1).to(torch.float32)
            .to(torch.float64).reshape(shape))


def labels(n, classes):
    return torch.randint(classes, (n,), dtype=torch.int32)


def as_array(tensor):
    return tensor.detach().contiguous().numpy()


def case(op, name, function, inputs, changed=(), **params):
    """Runs `function(**inputs, **params)`; floating-point inputs get gradients, save those that are
    `changed` in place."""
    arrays = {}
    for key, x in inputs.items():
        floating = x.is_floating_point()
        arrays[f"in/{key}"] = as_array(x.to(torch.float32) if floating else x).copy()
        if floating and key not in changed:
            x.requires_grad_(True)
    out = function(**inputs, **params)
    arrays["out"] = as_array(out if out.is_floating_point() else out.to(torch.int32))
    if out.requires_grad:
        seed = uniform(*out.shape)
        arrays["seed"] = as_array(seed.to(torch.float32))
        out.backward(seed)
    for key, x in inputs.items():
        if key in changed and x.is_floating_point():
            arrays[f"after/{key}"] = as_array(x)
        elif x.grad is not None:
            arrays[f"grad/{key}"] = as_array(x.grad)
    metadata = {"op": op, "params": json.dumps(params), "torch": torch.__version__}
    return f"{op}-{name}", arrays, metadata


# --- products ---


ACTIVATIONS = {"none": lambda x: x, "relu": F.relu, "gelu": F.gelu,
               "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu,
               "sigmoid": torch.sigmoid, "tanh": torch.tanh}


def matmul(a, b, bias=0, transpose_a=False, transpose_b=False, activation="none"):
    product = (a.mT if transpose_a else a) @ (b.mT if transpose_b else b)
    return ACTIVATIONS[activation](product + bias)


def linear(x, w, b):
    return F.linear(x, w, b)


def matmul_cases():
    for name, a, b, params in (
            ("nn", (37, 19), (19, 53), {}),
            ("nt", (64, 33), (17, 33), {"transpose_b": True}),
            ("tn", (71, 40), (71, 9), {"transpose_a": True}),
            ("tt", (12, 30), (25, 12), {"transpose_a": True, "transpose_b": True}),
            ("long", (5, 700), (700, 3), {}),
            ("batch", (3, 9, 14), (3, 14, 21), {}),
            ("batch_tn", (2, 3, 14, 9), (2, 3, 14, 8), {"transpose_a": True}),
            ("one_for_a_batch", (4, 9, 14), (6, 14), {"transpose_b": True})):
        yield case("matmul", name, matmul, {"a": uniform(*a), "b": uniform(*b)}, **params)
    for activation in ACTIVATIONS:
        yield case("matmul", activation, matmul,
                   {"a": uniform(21, 34), "b": uniform(13, 34), "bias": uniform(13)},
                   transpose_b=True, activation=activation)
    for name, n, inner, out in (("lenet", 32, 400, 120), ("prime", 7, 13, 5)):
        yield case("linear", name, linear, {"x": uniform(n, inner), "w": uniform(out, inner),
                                            "b": uniform(out)})


def conv2d(x, w, b, stride=1, pad=0, dilation=1, groups=1, relu=False):
    y = nhwc(F.conv2d(nchw(x), nchw(w), b, stride, pad, dilation, groups))
    return F.relu(y) if relu else y


def conv2d_cases():
    for name, x, w, params in (
            ("lenet1", (4, 28, 28, 1), (6, 5, 5, 1), {"pad": 2}),
            ("rgb", (2, 17, 15, 3), (16, 3, 3, 3), {"pad": 1}),
            ("stride2", (2, 16, 13, 8), (12, 3, 3, 8), {"stride": 2, "pad": 1}),
            ("one_by_one", (2, 9, 9, 16), (24, 1, 1, 16), {}),
            ("stem", (1, 32, 32, 3), (8, 7, 7, 3), {"stride": 2, "pad": 3}),
            ("dilated", (2, 13, 12, 8), (9, 3, 3, 8), {"stride": 2, "pad": 2, "dilation": 3}),
            ("groups", (2, 9, 8, 12), (18, 3, 3, 4), {"pad": 1, "groups": 3}),
            ("depthwise", (2, 11, 9, 16), (16, 3, 3, 1), {"stride": 2, "pad": 1, "groups": 16}),
            ("depthwise_multiplied", (2, 8, 9, 5), (10, 3, 3, 1), {"pad": 1, "groups": 5}),
            ("relu", (2, 9, 9, 16), (24, 3, 3, 16), {"pad": 1, "relu": True})):
        yield case("conv2d", name, conv2d,
                   {"x": uniform(*x), "w": uniform(*w), "b": uniform(w[0])}, **params)


# --- pooling and normalisation ---


def pool2d_cases():
    windows = (("halves", (2, 8, 6, 5), {"window": 2, "stride": 2, "pad": 0}),
               ("overlapping", (2, 9, 11, 3), {"window": 3, "stride": 2, "pad": 1}),
               ("dense", (1, 7, 7, 4), {"window": 3, "stride": 1, "pad": 1}))

    def maximum(x, window, stride, pad):
        return nhwc(F.max_pool2d(nchw(x), window, stride, pad))

    def average(x, window, stride, pad):
        return nhwc(F.avg_pool2d(nchw(x), window, stride, pad))

    for name, x, params in windows:
        yield case("max_pool2d", name, maximum, {"x": distinct(*x)}, **params)
        yield case("avg_pool2d", name, average, {"x": uniform(*x)}, **params)
    yield case("global_avg_pool", "plain", lambda x: x.mean((1, 2)), {"x": uniform(3, 5, 7, 11)})


def batch_norm_cases():
    def batch_norm(x, gamma, beta, running_mean, running_var, training, momentum, eps):
        channels_second = nchw(x) if x.dim() == 4 else x
        y = F.batch_norm(channels_second, running_mean, running_var, gamma, beta, training,
                         momentum, eps)
        return nhwc(y) if x.dim() == 4 else y

    for shape_name, shape in (("image", (4, 9, 7, 10)), ("rows", (33, 6))):
        c = shape[-1]
        for training in (True, False):
            yield case("batch_norm", f"{shape_name}_{'train' if training else 'eval'}", batch_norm,
                       {"x": uniform(*shape), "gamma": uniform(c, low=0.5, high=1.5),
                        "beta": uniform(c), "running_mean": uniform(c),
                        "running_var": uniform(c, low=0.5, high=1.5)},
                       changed=("running_mean", "running_var"),
                       training=training, momentum=0.1, eps=1e-5)


def affine(*shape):
    return {"gamma": uniform(*shape, low=0.5, high=1.5), "beta": uniform(*shape)}


def layer_norm_cases():
    def layer_norm(x, normalized, eps, gamma=None, beta=None):
        return F.layer_norm(x, normalized, gamma, beta, eps)

    for name, shape, normalized, parameters in (
            ("rows", (33, 17), (17,), True), ("wide", (3, 2500), (2500,), True),
            ("image", (4, 5, 3, 6), (5, 3, 6), True), ("plain", (9, 40), (40,), False)):
        yield case("layer_norm", name, layer_norm,
                   {"x": uniform(*shape), **(affine(*normalized) if parameters else {})},
                   normalized=list(normalized), eps=1e-5)


def group_norm_cases():
    def group_norm(x, groups, eps, gamma=None, beta=None):
        return nhwc(F.group_norm(nchw(x), groups, gamma, beta, eps))

    for name, shape, groups, parameters in (("image", (4, 9, 7, 12), 3, True),
                                            ("one", (2, 5, 5, 7), 1, True),
                                            ("plain", (3, 6, 6, 8), 8, False)):
        yield case("group_norm", name, group_norm,
                   {"x": uniform(*shape), **(affine(shape[-1]) if parameters else {})},
                   groups=groups, eps=1e-5)


# --- losses ---


def softmax_cases():
    for name, shape in (("ten", (64, 10)), ("hundred", (9, 100)), ("wide", (3, 2500))):
        yield case("softmax", name, lambda x: F.softmax(x, -1), {"x": uniform(*shape, high=6)})
        yield case("log_softmax", name, lambda x: F.log_softmax(x, -1),
                   {"x": uniform(*shape, high=6)})


def cross_entropy_cases():
    def softmax_cross_entropy(logits, targets, weights=None, **params):
        labels = targets if targets.is_floating_point() else targets.long()
        return F.cross_entropy(logits, labels, weights, **params)

    def inputs(n, classes, soft=False, weights=False):
        mixed = F.softmax(uniform(n, classes, high=3), -1).to(torch.float32).to(torch.float64)
        given = {"logits": uniform(n, classes, low=-6, high=6),
                 "targets": mixed if soft else labels(n, classes)}
        if weights:
            given["weights"] = uniform(classes, low=0.5, high=1.5)
        return given

    for name, n, classes, more, params in (
            ("ten", 64, 10, {}, {}),
            ("thousand", 5, 1000, {}, {}),
            ("one", 1, 3, {}, {}),
            ("sum", 9, 100, {}, {"reduction": "sum"}),
            ("smooth", 64, 10, {}, {"label_smoothing": 0.2}),
            ("weights", 33, 10, {"weights": True}, {}),
            ("smooth_weights", 33, 10, {"weights": True}, {"label_smoothing": 0.1}),
            ("soft", 64, 10, {"soft": True}, {}),
            ("soft_smooth_weights", 9, 100, {"soft": True, "weights": True},
             {"label_smoothing": 0.1})):
        yield case("softmax_cross_entropy", name, softmax_cross_entropy,
                   inputs(n, classes, **more), changed=("targets", "weights"), **params)


def loss_cases():
    def nll(log_probs, targets, weights=None, **params):
        return F.nll_loss(log_probs, targets.long(), weights, **params)

    for name, weighted, params in (("mean", False, {}), ("sum", False, {"reduction": "sum"}),
                                   ("weights", True, {})):
        weights = {"weights": uniform(10, low=0.5, high=1.5)} if weighted else {}
        yield case("nll_loss", name, nll,
                   {"log_probs": uniform(33, 10, low=-9, high=0), "targets": labels(33, 10),
                    **weights}, changed=("weights",), **params)

    def bce(x, target, weight=None, **params):
        return F.binary_cross_entropy_with_logits(x, target, pos_weight=weight, **params)

    def mse(x, target, **params):
        return F.mse_loss(x, target, **params)

    def huber(x, target, **params):
        return F.huber_loss(x, target, **params)

    for reduction in ("mean", "sum"):
        def given(low=-1.0):
            return {"x": uniform(33, 10, low=-6, high=6), "target": uniform(33, 10, low=low)}

        params = {"reduction": reduction}
        yield case("mse_loss", reduction, mse, given(), changed=("target",), **params)
        yield case("huber_loss", reduction, huber, given(), changed=("target",), delta=0.7,
                   **params)
        yield case("bce_with_logits", reduction, bce, given(0.0), changed=("target",), **params)
        yield case("bce_with_logits", f"{reduction}_weight", bce,
                   {**given(0.0), "weight": uniform(10, low=0.5, high=3)},
                   changed=("target", "weight"), **params)


# --- optimisers ---


def trajectory(op, name, make, shape, **params):
    """Parameters after each of STEPS steps along given noisy gradients."""
    start = uniform(*shape)
    gradients = uniform(STEPS, *shape)
    parameter = torch.nn.Parameter(start.clone())
    optimizer = make([parameter], **params)
    values = []
    for step in range(STEPS):
        parameter.grad = gradients[step].clone()
        optimizer.step()
        values.append(parameter.detach().clone())
    arrays = {"in/start": as_array(start.to(torch.float32)),
              "in/gradients": as_array(gradients.to(torch.float32)),
              "out": as_array(torch.stack(values))}
    metadata = {"op": op, "params": json.dumps(params), "torch": torch.__version__}
    return f"{op}-{name}", arrays, metadata


def optimizer_cases():
    for name, params in (("plain", {}), ("betas", {"betas": [0.8, 0.95], "eps": 1e-6})):
        yield trajectory("adam", name, torch.optim.Adam, (37,), lr=0.01, **params)
    yield trajectory("adam", "adamw", torch.optim.AdamW, (37,), lr=0.01, weight_decay=0.1)
    for name, params in (("plain", {}), ("momentum", {"momentum": 0.9}),
                         ("nesterov", {"momentum": 0.9, "nesterov": True}),
                         ("decay", {"momentum": 0.9, "weight_decay": 0.01})):
        yield trajectory("sgd", name, torch.optim.SGD, (37,), lr=0.05, **params)


def all_cases():
    torch.manual_seed(1)
    for cases in (matmul_cases, conv2d_cases, pool2d_cases, batch_norm_cases, layer_norm_cases,
                  group_norm_cases, softmax_cases, cross_entropy_cases, loss_cases,
                  optimizer_cases):
        yield from cases()
