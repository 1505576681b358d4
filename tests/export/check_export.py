#!/usr/bin/env python3
"""Runs exported models elsewhere and compares the logits with cucina's, to 1e-4.

    tests/export/check_export.py FOLDER --program build/tests/export/export_models --with onnx|torch
    tests/export/check_export.py --install        makes a Python with onnx and onnxruntime

The Python with the libraries is the one in $CUCINA_ONNX_PYTHON or $CUCINA_TORCH_PYTHON, this one,
Debian's, or that of --install in ${XDG_CACHE_HOME:-~/.cache}/cucina. Where there is none, the script
says so and exits 77.
"""

import argparse
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "cucina"
RUNNER = "import numpy, onnx\ntry:\n import onnxruntime\nexcept ImportError:\n import onnx.reference"
NEEDS = {"onnx": RUNNER, "torch": "import numpy, torch"}
SKIPPED = 77  # ctest's code for a skipped test
TOLERANCE = 1e-4  # of the logits, and of their ratio to the largest


def say(text):
    print(f"check_export: {text}", file=sys.stderr)


def install():
    python = CACHE / "onnx" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", CACHE / "onnx"], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "onnx", "onnxruntime", "numpy"],
                   check=True)


def run_where_it_is(kind):
    """Replaces this process by one whose Python has the libraries; exits where there is none."""
    for python in (os.environ.get(f"CUCINA_{kind.upper()}_PYTHON", ""), sys.executable,
                   "/usr/bin/python3", CACHE / kind / "bin" / "python"):
        if python and pathlib.Path(python).exists() and subprocess.run(
                [python, "-c", NEEDS[kind]], stderr=subprocess.DEVNULL).returncode == 0:
            os.execv(python, [str(python), "-B", __file__, "--here", *sys.argv[1:]])
    say(f"no Python here has {kind}, so nothing is compared with it; "
        "tests/export/check_export.py --install, or Debian's python3-torch")
    sys.exit(SKIPPED)


def read_safetensors(path):
    import numpy
    kinds = {"F32": numpy.float32, "F64": numpy.float64, "I64": numpy.int64}
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    metadata, arrays = header.pop("__metadata__", {}), {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        values = numpy.frombuffer(data[begin:end], kinds[entry["dtype"]])
        arrays[name] = values.reshape(entry["shape"]).copy()
    return arrays, metadata


def onnx_logits(path, images):
    import numpy
    import onnx
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 8 and model.opset_import[0].version == 17, path
    sizes = [each.dim_param or each.dim_value
             for each in model.graph.input[0].type.tensor_type.shape.dim]
    assert sizes == ["N", *images.shape[1:]], sizes
    told = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert told["cucina.mean"] == [0.5] * images.shape[1], told
    assert told["cucina.classes"] == ["class"] * 10, told
    try:
        import onnxruntime
        onnxruntime.set_default_logger_severity(3)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return session.run(["logits"], {"input": images})[0], "onnxruntime"
    except ImportError:
        from onnx.reference import ReferenceEvaluator
        return numpy.asarray(ReferenceEvaluator(model).run(["logits"], {"input": images})[0]), "onnx"


def torch_nets():
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Lenet5(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
            self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.conv1(x)), 2)
            x = F.max_pool2d(F.relu(self.conv2(x)), 2)
            x = F.relu(self.fc1(torch.flatten(x, 1)))
            return self.fc3(F.relu(self.fc2(x)))

    class Mnist(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 32, 3, 1), nn.Conv2d(32, 64, 3, 1)
            self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.conv2(F.relu(self.conv1(x)))), 2)
            return self.fc2(F.relu(self.fc1(torch.flatten(x, 1))))

    class Block(nn.Module):
        def __init__(self, i, o, stride, pad):
            super().__init__()
            self.conv1 = nn.Conv2d(i, o, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(o)
            self.conv2 = nn.Conv2d(o, o, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(o)
            self.downsample, self.side, self.stride = None, (o - i) // 2, stride
            if not pad and (stride != 1 or i != o):
                self.downsample = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False),
                                                nn.BatchNorm2d(o))

        def forward(self, x):
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            around = self.downsample(x) if self.downsample else F.pad(
                x[:, :, ::self.stride, ::self.stride], (0, 0, 0, 0, self.side, self.side))
            return F.relu(y + around)

    class ResNet(nn.Module):
        def __init__(self, widths, blocks, head, pad):
            super().__init__()
            self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(widths[0])
            self.stages, i = [], widths[0]
            for stage, width in enumerate(widths, 1):
                layers = []
                for block in range(blocks):
                    layers.append(Block(i, width, 2 if stage > 1 and block == 0 else 1, pad))
                    i = width
                self.stages.append(f"layer{stage}")
                setattr(self, self.stages[-1], nn.Sequential(*layers))
            self.head = head
            setattr(self, head, nn.Linear(i, 10))

        def forward(self, x):
            x = F.relu(self.bn1(self.conv1(x)))
            for stage in self.stages:
                x = getattr(self, stage)(x)
            return getattr(self, self.head)(x.mean((2, 3)))

    return {"lenet5": Lenet5(), "mnist-dropout2d": Mnist(),
            "resnet20": ResNet([16, 32, 64], 3, "linear", True),
            "resnet18": ResNet([64, 128, 256, 512], 2, "fc", False)}


def torch_logits(path, images, net):
    import torch
    arrays, metadata = read_safetensors(path)
    assert metadata["format"] == "pt", metadata
    net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    with torch.no_grad():
        return net.eval()(torch.from_numpy(images)).numpy(), "torch"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=pathlib.Path)
    parser.add_argument("--program")
    parser.add_argument("--with", dest="kind", choices=sorted(NEEDS))
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.install:
        return install()
    if not (arguments.folder and arguments.program and arguments.kind):
        parser.error("a folder, --program and --with are needed")
    if not arguments.here:
        run_where_it_is(arguments.kind)
    folder = arguments.folder / arguments.kind
    shutil.rmtree(folder, ignore_errors=True)
    code = subprocess.run([arguments.program, folder, arguments.kind]).returncode
    if code != 0:
        return code
    wrong = []
    nets = torch_nets() if arguments.kind == "torch" else {}
    files = sorted(folder.glob("*.io.safetensors"))
    assert len(files) == (4 if arguments.kind == "torch" else 13), files
    for file in files:
        name = file.name.removesuffix(".io.safetensors")
        arrays, _ = read_safetensors(file)
        if arguments.kind == "torch":
            found, who = torch_logits(folder / f"{name}.safetensors", arrays["input"], nets[name])
        else:
            found, who = onnx_logits(folder / f"{name}.onnx", arrays["input"])
        expected = arrays["logits"]
        assert found.shape == expected.shape, (name, found.shape, expected.shape)
        largest = abs(expected).max()
        off = abs(found - expected).max() / min(1, largest)
        say(f"{name}: {who} differs by {off:.1e}, logits up to {largest:.2g}")
        if not off <= TOLERANCE:  # also where one is NaN
            wrong.append(name)
    shutil.rmtree(folder)  # hundreds of megabytes
    if wrong:
        say(f"these differ by more than {TOLERANCE:.0e}: {', '.join(wrong)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
