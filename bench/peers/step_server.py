"""Times training steps of PyTorch on request, for bench/train_step: the twin of train_step_bench.

    step_server.py MODEL BATCH DTYPE wall|cpu

Of channels last and contiguous, with the default Adam and, where this version has it on a CPU, the
fused one, the way that takes the least time here is the one that is measured.
"""

import json
import os
import statistics
import sys
import time

import torch

import train_step

TRIAL_SECONDS = 0.5  # of each way


def resident(field):
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return 0


def run(seconds, step, clock):
    samples, start, last = [], time.perf_counter(), clock()
    while True:
        step()
        now = clock()
        samples.append(now - last)
        last = now
        if time.perf_counter() - start >= seconds:
            return samples


def ways(model, batch, bf16):
    for layout_name, layout in (("channels last", torch.channels_last),
                                ("contiguous", torch.contiguous_format)):
        for fused in (False, True):
            try:
                step = train_step.Step(model, batch, "cpu", bf16, layout=layout, fused=fused)
                step()
            except (RuntimeError, TypeError):
                continue  # this version has no fused Adam on a CPU
            yield f"{layout_name}, {'fused' if fused else 'default'} Adam", step


def say(line):
    print(json.dumps(line), flush=True)


def main(model, batch, dtype, clock_name):
    clock = time.process_time if clock_name == "cpu" else time.perf_counter
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    before, best = resident("VmRSS"), None
    for way, step in ways(model, int(batch), dtype == "bf16"):
        run(TRIAL_SECONDS / 4, step, clock)
        seconds = statistics.median(run(TRIAL_SECONDS, step, clock))
        if best is None or seconds < best[0]:
            best = seconds, way, step
    _, way, step = best
    say({"who": f"PyTorch {torch.__version__}", "way": way,
         "parameters": sum(p.numel() for p in step.net.parameters()),
         "resident_bytes": resident("VmHWM") - before})
    for line in sys.stdin:
        say({"samples": run(float(line), step, clock)})


if __name__ == "__main__":
    main(*sys.argv[1:])
