"""Times a function of PyTorch as `cucina bench` times its kernels: a steady state, medians, samples."""

import statistics
import time

import torch


def quartiles(values):
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, median, high


def seconds_of(device, function, steps):
    """Of `steps` calls; on cuda between two events."""
    if device == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(steps):
            function()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3
    start = time.perf_counter()
    for _ in range(steps):
        function()
    return time.perf_counter() - start


def measure(device, function, seconds=0.2, least=7):
    """Samples in seconds per call."""
    function()
    start, once = time.perf_counter(), 1.0
    while time.perf_counter() - start < 0.1:
        once = seconds_of(device, function, 1)
    steps = max(1, min(1000, round((1e-3 if device == "cuda" else 50e-6) / max(once, 1e-9))))
    samples, spent = [], 0.0
    while (spent < seconds or len(samples) < least) and not (spent > 2 and len(samples) >= 3):
        samples.append(seconds_of(device, function, steps) / steps)
        spent += samples[-1] * steps
    return samples


def row(device, who, samples, **what):
    low, median, high = quartiles(samples)
    return {**what, "device": device, "who": who, "median_seconds": median,
            "low_quartile_seconds": low, "high_quartile_seconds": high,
            "samples_seconds": samples[:101]}


class Turns:
    """Sets of operands used in turn, so that each has left the caches when its turn comes."""

    def __init__(self, make, cache_bytes):
        first = make()
        held = sum(t.numel() * t.element_size() for t in first)
        count = max(1, min(512, -(-3 * cache_bytes // 2 // max(held, 1))))
        self.sets = [first, *(tuple(t.detach().clone() for t in first) for _ in range(count - 1))]
        self.at = 0

    def __call__(self):
        self.at = (self.at + 1) % len(self.sets)
        return self.sets[self.at]
