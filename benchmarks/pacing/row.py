# SPDX-License-Identifier: GPL-2.0-or-later
"""Prints a row of the table of run.sh.

Usage: row.py --header | NAME RESULT TAKEN | --own NAME REPORT SESSION | --share RATE RESULT TAKEN
RESULT is of observe.py, TAKEN of measure.py, REPORT of `latprobe report --json`. --share exits with 1 below 99 %.
"""
import glob
import json
import sys


def micro(value):
    return "missed" if value is None else f"{value / 1000:.2f}"


def line(name, figures, missed, cpu, rest=""):
    print(f"{name:<22}" + "".join(f"{micro(f):>10}" for f in figures) + f"{missed:>10}{cpu:>8}  {rest}", flush=True)


def cpu(path):
    wall, used = (float(word) for word in open(path).read().split()[:2])
    return f"{100 * used / wall:.1f}"


def main():
    if sys.argv[1] == "--header":
        names = ["p50 us", "p99", "p99.9", "max", "missed %", "CPU %"]
        print(f"{'overshoot':<22}" + "".join(f"{n:>10}" for n in names[:5]) + f"{names[5]:>8}  packets, within 1 us, ppm")
    elif sys.argv[1] == "--own":
        report = json.load(open(sys.argv[3]))
        pacing = next(s for s in report["segments"] if s["direction"] == "pacing")
        machine = json.load(open(glob.glob(f"{sys.argv[4]}/*/machine.json")[0]))
        counts = next(p for p in machine["pairing"]["protocols"] if p["name"] == "pacing")["counts"]
        missed = counts.get("missed_slots", 0) + counts.get("overdue", 0)
        figures = [pacing[f"{name}_ns"] for name in ("p50", "p99", "p99_9", "max")]
        line(sys.argv[2], figures, f"{100 * missed / counts['requests']:.3f}", "", str(counts["requests"]))
    elif sys.argv[1] == "--share":
        result = json.load(open(sys.argv[3]))
        share = result["within_1us"]
        print(f"  {int(sys.argv[2]):>7}/s  {100 * share:6.2f} %, {result['packets']} packets, CPU {cpu(sys.argv[4])} %",
              flush=True)
        sys.exit(share < 0.99)
    else:
        result = json.load(open(sys.argv[2]))
        figures = [result[name] for name in ("p50", "p99", "p99_9", "max")]
        rest = f"{result['packets']}, {100 * result['within_1us']:.1f} %, {result['rate_ppm']:+.1f}"
        line(sys.argv[1], figures, f"{100 * result['missed'] / result['slots']:.3f}", cpu(sys.argv[3]), rest)


main()
