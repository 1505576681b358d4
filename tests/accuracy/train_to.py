#!/usr/bin/env python3
"""Trains with the options given and fails unless the test accuracy is reached.

    tests/accuracy/train_to.py build/cucina mnist 0.99 --model mnist-fast --epochs 3 ...

The data set is a folder of $CUCINA_DATA, else of ../shared/data; where it is not there, exits 77.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SKIPPED = 77  # ctest's code for a skipped test


def main():
    program, data, accuracy, *options = sys.argv[1:]
    folder = pathlib.Path(os.environ.get("CUCINA_DATA") or ROOT / ".." / "shared" / "data") / data
    if not folder.is_dir():
        print(f"train_to: {folder} is not there; set CUCINA_DATA to the folder that holds {data}")
        return SKIPPED
    with tempfile.TemporaryDirectory() as out:
        result = subprocess.run(
            [program, "train", "--data", folder, "--json", "--quiet", "--out", f"{out}/run", *options],
            stdout=subprocess.PIPE, text=True)
    if result.returncode != 0:
        return result.returncode
    line = json.loads(result.stdout)
    print(f"train_to: {data}: test accuracy {line['test_accuracy']} after {line['seconds']:.0f} s of "
          f"training, validation {line['validation_accuracy']:.4f}; {accuracy} is due")
    return 0 if line["test_accuracy"] >= float(accuracy) else 1


if __name__ == "__main__":
    sys.exit(main())
