#!/usr/bin/env python3
"""Imports weights that PyTorch trained for CIFAR-10 and fails unless exactly so many test images are right.

    tests/accuracy/score_imported.py build/cucina resnet32 9263 [--backend hand]

The weights are resnet/MODEL-cifar10.safetensors, the images cifar-10-batches-bin, both in $CUCINA_DATA, else in
../shared/data; where one is not there, exits 77.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SKIPPED = 77  # ctest's code for a skipped test
NORMALISATION = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]


def main():
    program, model, right, *options = sys.argv[1:]
    folder = pathlib.Path(os.environ.get("CUCINA_DATA") or ROOT / ".." / "shared" / "data")
    weights, data = folder / "resnet" / f"{model}-cifar10.safetensors", folder / "cifar-10-batches-bin"
    for path in weights, data:
        if not path.exists():
            print(f"score_imported: {path} is not there; set CUCINA_DATA to the folder that holds it")
            return SKIPPED
    with tempfile.TemporaryDirectory() as out:
        subprocess.run([program, "import", "--safetensors", weights, "--model", model, "--out", f"{out}/m",
                        *NORMALISATION], stdout=subprocess.DEVNULL, check=True)
        result = subprocess.run([program, "eval", "--model-dir", f"{out}/m", "--data", data, "--split", "test",
                                 "--json", *options], stdout=subprocess.PIPE, text=True, check=True)
    line = json.loads(result.stdout)
    found, images = line["correct"], line["n"]
    print(f"score_imported: {model}: {found} of {images} right, {right} are due")
    return 0 if (found, images) == (int(right), 10000) else 1


if __name__ == "__main__":
    sys.exit(main())
