#!/usr/bin/env python3
"""Judges two results of `cucina bench --json`: what became slower, what became faster.

    bench/compare.py OLD.json NEW.json

Each row that both have (same device, op, case, entry, dtype and backend) is judged by a two-sided
Mann-Whitney U test of its samples and by the ratio of the medians. It is slower or faster when both
say so: p below --alpha and the medians more than --threshold apart.

Exit code 0: nothing is slower; 1: something is; 2: a file is not such a result, or they have no row
in common.
"""

import argparse
import json
import math
import pathlib
import statistics
import sys

KEY = ("device", "op", "case", "entry", "dtype", "backend")


class BadResult(Exception):
    """A file that is no result of `cucina bench`."""


def ranks(values):
    """Ranks from 1, ties sharing the mean of theirs; and the sizes of the groups of ties."""
    order = sorted(range(len(values)), key=values.__getitem__)
    result, groups, at = [0.0] * len(values), [], 0
    while at < len(order):
        end = at
        while end < len(order) and values[order[end]] == values[order[at]]:
            end += 1
        for i in order[at:end]:
            result[i] = (at + 1 + end) / 2
        groups.append(end - at)
        at = end
    return result, groups


def exact_p(n, m, u):
    """P(U <= u or U >= nm - u) when all orders of n + m different values are equally likely.

    counts[k]: in how many ways k of the pairs are the wrong way round (Mann & Whitney 1947).
    """
    u = min(u, n * m - u)
    counts = [1] + [0] * (n * m)
    for i in range(1, n + 1):  # the Gaussian binomial, factor by factor: (1 - q^(m+i)) / (1 - q^i)
        for k in range(n * m, m + i - 1, -1):
            counts[k] -= counts[k - m - i]
        for k in range(i, n * m + 1):
            counts[k] += counts[k - i]
    return min(1.0, 2 * sum(counts[:math.floor(u) + 1]) / math.comb(n + m, n))


def normal_p(n, m, u, groups):
    """The same for large samples or ties: normal, corrected for ties and continuity."""
    total = n + m
    ties = sum(g**3 - g for g in groups) / (total * (total - 1))
    variance = n * m / 12 * (total + 1 - ties)
    if variance <= 0:
        return 1.0  # all values are equal
    z = max(0.0, abs(u - n * m / 2) - 0.5) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2))


def mann_whitney_p(a, b):
    """Two-sided p of "a and b come from one distribution"."""
    rank, groups = ranks([*a, *b])
    n, m = len(a), len(b)
    u = sum(rank[:n]) - n * (n + 1) / 2
    if n * m <= 400 and all(g == 1 for g in groups):
        return exact_p(n, m, u)
    return normal_p(n, m, u, groups)


def samples_of(row, where):
    samples = row.get("samples_seconds")
    if not isinstance(samples, list) or not samples:
        raise BadResult(f"{where}: samples_seconds must be a list with numbers in it")
    for value in samples:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value <= 0:
            raise BadResult(f"{where}: {value!r} in samples_seconds is no positive number")
    return samples


def read(path):
    """{key: samples} of a result file."""
    try:
        report = json.loads(pathlib.Path(path).read_text())
    except OSError as error:
        raise BadResult(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # not JSON, or not UTF-8
        raise BadResult(f"{path}: is no JSON: {error}") from error
    if not isinstance(report, dict) or not isinstance(report.get("rows"), list):
        raise BadResult(f"{path}: has no list `rows`; it is no result of cucina bench --json")
    rows = {}
    for i, row in enumerate(report["rows"]):
        where = f"{path}: row {i}"
        if not isinstance(row, dict):
            raise BadResult(f"{where}: is no object")
        key = tuple(row.get(name) for name in KEY)
        for name, part in zip(KEY, key):
            if not isinstance(part, str):
                raise BadResult(f"{where}: `{name}` must be a text")
        if key in rows:
            raise BadResult(f"{where}: {' '.join(key)} is there twice")
        rows[key] = samples_of(row, where)
    return rows


def judge(old, new, alpha, threshold):
    """(ratio of medians, p, verdict); a ratio above 1 is slower."""
    ratio = statistics.median(new) / statistics.median(old)
    p = mann_whitney_p(old, new)
    apart = max(ratio, 1 / ratio) > 1 + threshold
    if p >= alpha or not apart:
        return ratio, p, "same"
    return ratio, p, "slower" if ratio > 1 else "faster"


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", metavar="OLD.json")
    parser.add_argument("new", metavar="NEW.json")
    parser.add_argument("--alpha", type=float, default=0.01, help="largest p (default %(default)s)")
    parser.add_argument("--threshold", type=float, default=0.05,
                        help="least relative change of the median (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    old, new = read(options.old), read(options.new)
    common = [key for key in old if key in new]
    if not common:
        raise BadResult(f"{options.old} and {options.new} have no row in common")
    counts = {"slower": 0, "faster": 0, "same": 0}
    rows = []
    for key in common:
        ratio, p, verdict = judge(old[key], new[key], options.alpha, options.threshold)
        counts[verdict] += 1
        rows.append({**dict(zip(KEY, key)), "ratio": ratio, "p": p, "verdict": verdict})
    missing = {"only_in_old": len(old) - len(common), "only_in_new": len(new) - len(common)}
    if options.json:
        print(json.dumps({**counts, **missing, "rows": rows}, indent=1))
    else:
        for row in sorted(rows, key=lambda row: -row["ratio"]):
            print(f"{row['verdict']:<7} {row['ratio']:6.3f}x  p {row['p']:<8.2g} "
                  f"{' '.join(row[name] for name in KEY)}")
        print(f"{counts['slower']} slower, {counts['faster']} faster, {counts['same']} the same; "
              f"{missing['only_in_old']} only in the old, {missing['only_in_new']} only in the new")
    return 1 if counts["slower"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BadResult as bad:
        print(f"compare: {bad}", file=sys.stderr)
        sys.exit(2)
