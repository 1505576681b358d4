#!/usr/bin/env python3
"""Times PyTorch at what cucina does, for results to be set beside `cucina bench`.

    bench/peers/run.py [--device cpu|cuda] [--bench BENCH.json] [--json FILE] [--seconds N]

Training steps of LeNet-5 and ResNet-20: eager and channels last; on cuda also compiled with
max-autotune, and as one CUDA graph of the whole step with the fused, capturable Adam. With --bench
also the ops of that result of `cucina bench --json`, shape by shape.

PyTorch is taken from the Python in $CUCINA_TORCH_PYTHON, from this one, or from the one that
tests/torch/make_vectors.py --install made. Exit code 77 where there is none; 4: no GPU for cuda.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
VENV = CACHE / "cucina" / "torch"
NO_TORCH = 77


def say(text):
    print(f"peers: {text}", file=sys.stderr, flush=True)


def has_torch(python):
    return pathlib.Path(python).exists() and subprocess.run(
        [python, "-c", "import torch"], stderr=subprocess.DEVNULL).returncode == 0


def run_where_torch_is(arguments):
    """Replaces this process by one whose Python has PyTorch; returns where there is none."""
    for python in (os.environ.get("CUCINA_TORCH_PYTHON", ""), sys.executable,
                   VENV / "bin" / "python"):
        if python and has_torch(python):
            os.execv(python, [str(python), "-B", __file__, "--here", *arguments])


def read_report(path):
    try:
        report = json.loads(path.read_text())
        for row in report["rows"]:
            for key in ("op", "case", "entry", "dtype", "shapes"):
                row[key]
        report["peaks"]["cache_bytes"] + 0
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"peers: {path} is no result of cucina bench --json: {error!r}")
    return report


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--bench", type=pathlib.Path, help="a result of cucina bench --json")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the rows there")
    parser.add_argument("--seconds", type=float, default=600, help="start nothing after so many")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    deadline = time.monotonic() + options.seconds
    report = read_report(options.bench) if options.bench else None
    if not options.here:
        run_where_torch_is(arguments)
        say("no PyTorch here, so nothing is compared with it; tests/torch/make_vectors.py --install")
        return NO_TORCH
    import torch
    if options.device == "cuda" and not torch.cuda.is_available():
        say("this PyTorch finds no GPU")
        return 4
    import ops
    import train_step
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    rows = []

    def keep(row):
        """Written after each row: compiling can take longer than there is time."""
        rows.append(row)
        what = [row["model"], f"batch {row['batch']}"] if row["op"] == "train_step" else \
            [row["op"], row["case"], row["entry"]]
        print(f"{row['who']:<17} {' '.join(what)} {row['dtype']}: "
              f"{1e3 * row['median_seconds']:.4f} ms", flush=True)
        if options.json:
            text = json.dumps({"v": 1, "torch": torch.__version__, "device": options.device,
                               "threads": torch.get_num_threads(), "rows": rows}, indent=1)
            whole = options.json.with_suffix(".tmp")
            whole.write_text(text + "\n")
            whole.replace(options.json)

    for row in train_step.rows(options.device, deadline, say):
        keep(row)
    for row in ops.rows(options.device, report, deadline, say) if report else ():
        keep(row)
    if options.device == "cuda":
        for row in train_step.rows(options.device, deadline, say, compiled=True):
            keep(row)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
