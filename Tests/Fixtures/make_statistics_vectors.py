#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes Tests/Analysis/StatisticsVectors.swift from SciPy; the tests themselves do not need SciPy.

    python3 Tests/Fixtures/make_statistics_vectors.py > Tests/Analysis/StatisticsVectors.swift
    swift format -i Tests/Analysis/StatisticsVectors.swift
"""
import math

import numpy as np
import scipy
from scipy import stats


def number(value):
    return repr(float(value))


print("// SPDX-License-Identifier: GPL-2.0-or-later")
print(f"// Made by Tests/Fixtures/make_statistics_vectors.py with SciPy {scipy.__version__}; do not edit.\n")
print("enum StatisticsVectors {")

print("  /// k, n, p, P(X <= k), P(X > k)")
print("  static let binomial: [(k: Int, n: Int, p: Double, lower: Double, upper: Double)] = [")
for n, p in [(1, 0.5), (2, 0.3), (23, 0.01), (299, 0.01), (997, 0.99), (1000, 0.5), (10_007, 0.001),
             (100_003, 0.9999), (1_000_003, 0.01), (10_000_019, 0.5), (100_000_007, 0.0001), (100_000_007, 0.99)]:
    mean, sd = n * p, math.sqrt(n * p * (1 - p))
    ks = sorted({min(n - 1, max(0, int(mean + z * sd))) for z in (-20, -8, -3, -1, 0, 1, 3, 8, 20)})
    for k in ks:
        lower, upper = stats.binom.cdf(k, n, p), stats.binom.sf(k, n, p)
        print(f"    ({k}, {n}, {p!r}, {number(lower)}, {number(upper)}),")
print("  ]\n")

print("  /// probability, n, p, quantile")
print("  static let quantiles: [(probability: Double, n: Int, p: Double, k: Int)] = [")
for n in [1, 5, 23, 299, 997, 29_956, 1_000_003, 100_000_007]:
    for p in [0.0001, 0.01, 0.5, 0.9, 0.9999]:
        for probability in [0.025, 0.05, 0.975]:
            print(f"    ({probability}, {n}, {p!r}, {int(stats.binom.ppf(probability, n, p))}),")
print("  ]\n")

print("  /// n, p, ranks of the interval by quantile_test on 1 ... n; 0 where SciPy gives no bound")
print("  static let intervals: [(n: Int, p: Double, low: Int, high: Int)] = [")
for n in [1, 7, 23, 299, 300, 500, 997, 1000, 10_000, 29_956, 100_003]:
    for p in [0.5, 0.9, 0.99, 0.999, 0.9999]:
        interval = stats.quantile_test(np.arange(1, n + 1), p=p).confidence_interval(0.95)
        low, high = (0 if math.isnan(v) else int(v) for v in interval)
        print(f"    ({n}, {p!r}, {low}, {high}),")
print("  ]\n")

print("  /// k, n, 95 % Clopper-Pearson interval")
print("  static let proportions: [(k: Int, n: Int, low: Double, high: Double)] = [")
for k, n in [(0, 1), (1, 1), (0, 23), (7, 23), (23, 23), (1, 997), (10, 997), (500, 1_000_003), (999_999, 1_000_003),
             (3, 100_000_007)]:
    # By the beta distribution: binomtest's own solver stops at 2e-12.
    low = stats.beta.ppf(0.025, k, n - k + 1) if k > 0 else 0.0
    high = stats.beta.ppf(0.975, k + 1, n - k) if k < n else 1.0
    print(f"    ({k}, {n}, {number(low)}, {number(high)}),")
print("  ]\n")

print("  /// phi, n, ones, n_eff by the definition: series 1{x > 0.75} of an AR(1) process from the tests' own generator")
print("  static let autoregressive: [(phi: Double, n: Int, ones: Int, effective: Double)] = [")
MASK = (1 << 64) - 1


def split_mix(state):
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def effective(x):
    n = len(x)
    c = x - x.mean()
    if not c.any():
        return float(n)
    rho = np.correlate(c, c, "full")[n - 1:] / (c @ c)
    total = 0.0
    for m in range(0, n - 1, 2):
        pair = rho[m] + rho[m + 1]
        if pair <= 0:
            break
        total += pair
    factor = 2 * total - 1
    return float(n) if factor <= 1 else max(1.0, n / factor)


for phi in [0.0, 0.5, 0.9, 0.99, -0.5]:
    for n in [23, 997, 9973]:
        generator = split_mix(42)
        value, series = 0.0, []
        for _ in range(n):
            # Sum of four uniforms: the same in both languages to the last bit.
            noise = sum(next(generator) >> 11 for _ in range(4)) / float(1 << 53) - 2
            value = phi * value + noise
            series.append(1.0 if value > 0.75 else 0.0)
        x = np.array(series)
        print(f"    ({phi}, {n}, {int(x.sum())}, {number(effective(x))}),")
print("  ]")
print("}")
