#!/usr/bin/env python3
"""Makes the vectors that torch_tests compares every front door with: inputs, outputs, gradients and
optimisers' trajectories, as PyTorch computes them on the CPU in f64.

    tests/torch/make_vectors.py [FOLDER]             default: build/torch_vectors
    tests/torch/make_vectors.py --install [FOLDER]   first installs PyTorch's CPU wheel, if it can

PyTorch is taken from the Python in $CUCINA_TORCH_PYTHON, from this one, or from the one that
--install made in ${XDG_CACHE_HOME:-~/.cache}/cucina/torch. Where there is none, the script says so
and exits 77.

One safetensors file a case. Metadata: op, params (JSON), torch. Arrays, all in cucina's layouts
(activations NHWC, filters KRSC):
    in/NAME     an input, f32 values        out         the result
    seed        d objective / d out         grad/NAME   d objective / d in/NAME
    after/NAME  an input that is changed in place, afterwards
"""

import argparse
import json
import os
import pathlib
import struct
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
VENV = CACHE / "cucina" / "torch"
NO_TORCH = 77  # ctest's code for a skipped test


def say(text):
    print(f"make_vectors: {text}", file=sys.stderr)


def install_torch():
    """A virtual environment of its own; the CPU wheel is a quarter of the default one."""
    if has_torch(VENV / "bin" / "python"):
        return
    say(f"installing PyTorch's CPU wheel in {VENV}")
    subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    pip = [VENV / "bin" / "pip", "install", "--quiet", "torch", "numpy"]
    cpu_index = ["--index-url", "https://download.pytorch.org/whl/cpu"]
    if subprocess.run([*pip, *cpu_index]).returncode != 0:
        say("PyTorch's own index does not answer; trying PyPI")
        subprocess.run(pip)


def has_torch(python):
    return pathlib.Path(python).exists() and subprocess.run(
        [python, "-c", "import torch"], stderr=subprocess.DEVNULL).returncode == 0


def run_where_torch_is():
    """Replaces this process by one whose Python has PyTorch; exits where there is none."""
    for python in (os.environ.get("CUCINA_TORCH_PYTHON", ""), sys.executable,
                   VENV / "bin" / "python"):
        if python and has_torch(python):
            os.execv(python, [str(python), "-B", __file__, "--here", *sys.argv[1:]])
    say("no PyTorch here, so nothing is compared with it; tests/torch/make_vectors.py --install")
    sys.exit(NO_TORCH)


def write_safetensors(path, arrays, metadata):
    kinds = {"float64": "F64", "float32": "F32", "int32": "I32", "uint8": "U8"}
    header, blob = {"__metadata__": metadata}, b""
    for name, array in sorted(arrays.items(), key=lambda item: -item[1].itemsize):
        data = array.tobytes()
        header[name] = {"dtype": kinds[array.dtype.name], "shape": list(array.shape),
                        "data_offsets": [len(blob), len(blob) + len(data)]}
        blob += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + blob)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=pathlib.Path,
                        default=ROOT / "build" / "torch_vectors")
    parser.add_argument("--install", action="store_true", help="install PyTorch's CPU wheel first")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.here:
        if arguments.install:
            install_torch()
        run_where_torch_is()
    import vectors  # needs PyTorch
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for old in arguments.folder.glob("*.safetensors"):
        old.unlink()
    count = 0
    for name, arrays, metadata in vectors.all_cases():
        write_safetensors(arguments.folder / f"{name}.safetensors", arrays, metadata)
        count += 1
    say(f"{count} cases in {arguments.folder}")


if __name__ == "__main__":
    main()
