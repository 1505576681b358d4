#!/usr/bin/env python3
"""Fits the polynomials of core/math.h by Remez's exchange and prints their coefficients.

    python3 tools/fit_math.py                       print every constant, with the error of each fit
    python3 tools/fit_math.py --check core/math.h   fail when one of them is not in that header

Needs mpmath. A fit minimises max |weight(x) * (P(x) - target(x))| over [low, high], where the
weight turns an error of P into a relative error of the whole function: "error 2^-28" is what the
polynomial alone does to the result. The coefficients are then rounded to the scalar,
and the error printed is that of the rounded ones.
"""
import argparse
import re
import struct
import sys

from mpmath import mp, mpf

mp.dps = 60


def round_to(scalar, value):
    """`value` rounded to the nearest number of the scalar."""
    value = float(value)
    return struct.unpack("f", struct.pack("f", value))[0] if scalar == "f32" else value


def literal(scalar, value):
    """The C++ literal that reads back as exactly `value`."""
    text = "%.9g" % value if scalar == "f32" else "%.17g" % value
    if not re.search(r"[.e]", text):
        text += ".0"
    return text + ("f" if scalar == "f32" else "")


def evaluate(coefficients, x):
    result = mpf(0)
    for c in reversed(coefficients):
        result = result * x + c
    return result


def chebyshev_points(low, high, count):
    """Denser towards the ends, where errors turn fastest; never 0, where targets are 0/0."""
    middle, half = (low + high) / 2, (high - low) / 2
    points = [middle - half * mp.cos(mp.pi * i / (count - 1)) for i in range(count)]
    return [x if abs(x) > mpf(10) ** -12 else mpf(10) ** -12 for x in points]


def extrema(errors):
    """Indices of the largest error within every run of one sign."""
    found = []
    for i, e in enumerate(errors):
        if e == 0:
            continue
        if found and (errors[found[-1]] > 0) == (e > 0):
            if abs(e) > abs(errors[found[-1]]):
                found[-1] = i
        else:
            found.append(i)
    return found


def remez(target, weight, low, high, degree):
    """Coefficients of the polynomial of that degree with the smallest largest weighted error."""
    grid = chebyshev_points(low, high, 40 * (degree + 2) + 1)
    targets = [target(x) for x in grid]
    weights = [weight(x) for x in grid]
    size = degree + 2
    reference = [round((len(grid) - 1) * (i + mpf(1) / 2) / size) for i in range(size)]
    for _ in range(40):
        matrix = mp.matrix(degree + 2, degree + 2)
        right = mp.matrix(degree + 2, 1)
        for row, j in enumerate(reference):
            for i in range(degree + 1):
                matrix[row, i] = weights[j] * grid[j] ** i
            matrix[row, degree + 1] = (-1) ** row
            right[row] = weights[j] * targets[j]
        solution = mp.lu_solve(matrix, right)
        coefficients = [solution[i] for i in range(degree + 1)]
        errors = [w * (evaluate(coefficients, x) - t) for x, w, t in zip(grid, weights, targets)]
        peaks = extrema(errors)
        while len(peaks) > degree + 2:  # one too many: drop the smaller end
            peaks.pop(0 if abs(errors[peaks[0]]) < abs(errors[peaks[-1]]) else -1)
        if len(peaks) < degree + 2:
            raise ArithmeticError("remez: %d alternations, needs %d" % (len(peaks), degree + 2))
        if max(abs(errors[i]) for i in peaks) < abs(solution[degree + 1]) * mpf("1.001"):
            return coefficients
        reference = peaks
    raise ArithmeticError("remez: no convergence in 40 exchanges")


def fit(name, scalar, target, weight, low, high, degree):
    """Prints the rounded coefficients, lowest power first, and returns their literals."""
    low, high = mpf(low), mpf(high)
    coefficients = [round_to(scalar, c) for c in remez(target, weight, low, high, degree)]
    worst = max(abs(weight(x) * (evaluate(coefficients, x) - target(x)))
                for x in chebyshev_points(low, high, 801))
    print("// %s %s on [%s, %s], degree %d, error 2^%.1f" %
          (scalar, name, mp.nstr(low, 5), mp.nstr(high, 5), degree, float(mp.log(worst, 2))))
    literals = [literal(scalar, c) for c in coefficients]
    print("  " + ", ".join(literals))
    return literals


def split(name, scalar, value, bits):
    """value = high + low; `high` has so few bits that its product with an exponent is exact."""
    exponent = int(mp.floor(mp.log(value, 2)))
    unit = mpf(2) ** (exponent + 1 - bits)
    high = round_to(scalar, mp.floor(value / unit) * unit)
    low = round_to(scalar, value - high)
    print("// %s %s = high (%d bits) + low" % (scalar, name, bits))
    literals = [literal(scalar, high), literal(scalar, low)]
    print("  " + ", ".join(literals))
    return literals


# e^r = 1 + r + r^2 p(r)
def fit_exp(scalar, degree):
    bound = mp.log(2) / 2 * mpf("1.0001")  # the quotient is rounded, so |r| may pass ln(2) / 2
    return fit("exp p(r)", scalar, lambda r: (mp.exp(r) - 1 - r) / r**2,
               lambda r: r**2 / mp.exp(r), -bound, bound, degree)


# log(1 + f) = f - f^2 / 2 + f^3 p(f)
def fit_log_power(scalar, degree):
    return fit("log p(f)", scalar, lambda f: (mp.log(1 + f) - f + f**2 / 2) / f**3,
               lambda f: abs(f**3 / mp.log(1 + f)), mp.sqrt(mpf(1) / 2) - 1, mp.sqrt(2) - 1, degree)


# log((1 + s) / (1 - s)) = 2 s + s z p(z), z = s^2, s = f / (2 + f)
def fit_log_quotient(scalar, degree):
    s_of = mp.sqrt
    return fit("log p(z)", scalar, lambda z: (2 * mp.atanh(s_of(z)) / s_of(z) - 2) / z,
               lambda z: z * s_of(z) / (2 * mp.atanh(s_of(z))), 0,
               ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2, degree)


# tanh(x) = x + x z p(z), z = x^2
def fit_tanh(scalar, limit, degree):
    return fit("tanh p(z)", scalar, lambda z: (mp.tanh(mp.sqrt(z)) / mp.sqrt(z) - 1) / z,
               lambda z: z * mp.sqrt(z) / mp.tanh(mp.sqrt(z)), 0, mpf(limit) ** 2, degree)


# erf(x) = x + x p(z), z = x^2
def fit_erf_small(scalar, limit, degree):
    return fit("erf p(z)", scalar, lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1,
               lambda z: mp.sqrt(z) / mp.erf(mp.sqrt(z)), 0, mpf(limit) ** 2, degree)


# erf(x) = 1 - exp(q(t)), t = x - centre
def fit_erf_large(scalar, low, high, centre, degree):
    return fit("erf q(x - %s)" % centre, scalar, lambda t: mp.log(mp.erfc(t + centre)),
               lambda t: mp.erfc(t + centre) / mp.erf(t + centre),
               mpf(low) - centre, mpf(high) - centre, degree)


# sin(2 pi t) = t p(z), z = t^2
def fit_sine(scalar, degree):
    return fit("sin(2 pi t) p(z)", scalar, lambda z: mp.sin(2 * mp.pi * mp.sqrt(z)) / mp.sqrt(z),
               lambda z: mp.sqrt(z) / mp.sin(2 * mp.pi * mp.sqrt(z)), 0, mpf(1) / 16, degree)


def all_constants():
    constants = []
    for scalar, bits in (("f32", 15), ("f64", 41)):
        constants += split("ln 2", scalar, mp.log(2), bits)
        print("// %s 1 / ln 2" % scalar)
        constants.append(literal(scalar, round_to(scalar, 1 / mp.log(2))))
        print("  " + constants[-1])
    constants += fit_exp("f32", 4)
    constants += fit_exp("f64", 9)
    constants += fit_log_power("f32", 8)
    constants += fit_log_quotient("f64", 6)
    constants += fit_tanh("f32", "0.625", 5)
    constants += fit_tanh("f64", "0.625", 11)
    constants += fit_erf_small("f32", "1", 6)
    constants += fit_erf_large("f32", "1", "4", 1, 6)
    constants += fit_erf_small("f64", "1", 13)
    constants += fit_erf_large("f64", "1", "6", 1, 19)
    constants += fit_sine("f64", 8)
    return constants


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", metavar="HEADER",
                        help="fail when a constant is missing from this header")
    header = parser.parse_args().check
    constants = all_constants()
    if header is None:
        return 0
    with open(header, encoding="utf-8") as file:
        numbers = set(re.findall(r"\d[\d.]*(?:e[-+]?\d+)?f?", file.read()))
    missing = [c for c in constants if c.lstrip("-") not in numbers]
    for c in missing:
        print("fit_math: %s is not in %s" % (c, header), file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
