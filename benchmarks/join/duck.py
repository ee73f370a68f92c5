#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The questions of a report asked of DuckDB: count, p50, p99 and p99.9 of each segment, by packet key.

Reads the streams of a generated recording as columns, by numpy. Usage: duck.py RECORDING REPORT; fails where the report
(latprobe report --json) has other numbers of a segment whose stamps all have keys.
"""

import glob
import json
import sys

import duckdb
import numpy as np

STAMP = np.dtype(
    [
        ("time", "<u8"),
        ("event", "u1"),
        ("hook", "u1"),
        ("queue", "<u2"),
        ("bits", "<u4"),
        ("flow", "<u4"),
        ("sequence", "<u4"),
        ("key", "<u8"),
    ]
)
HEADER = 72
HOOKS = {"txg0": 1, "txg1": 2, "txg2": 3, "txh0": 4, "txh1": 5, "rxh1": 8, "rxg0": 9, "rxg1": 11}


def read(folder):
    parts = []
    for path in sorted(glob.glob(f"{folder}/*/ctf/stream_*")):
        data = np.memmap(path, dtype=np.uint8, mode="r")
        offset = 0
        while offset < len(data):
            size = int(data[offset + 48 : offset + 56].view("<u8")[0]) // 8
            records = data[offset + HEADER : offset + size]
            assert len(records) % STAMP.itemsize == 0, f"{path}: has other events than stamps"
            parts.append(records.view(STAMP))
            offset += size
    return {name: np.concatenate([part[name] for part in parts]) for name in ("time", "hook", "key")}


def main():
    stamps = read(sys.argv[1])  # noqa: F841 (read by the query)
    database = duckdb.connect()
    database.execute("create table stamps as select * from stamps where key <> 0")
    with open(sys.argv[2]) as file:
        report = {segment["name"]: segment for segment in json.load(file)["segments"]}
    names = list(HOOKS)
    for first, last in list(zip(names, names[1:])) + [(names[0], names[-1])]:
        count, quantiles = database.execute(
            """
            select count(*), quantile_disc(delay, [0.5, 0.99, 0.999]) from (
              select b.time::bigint - a.time::bigint as delay from stamps a join stamps b using (key)
              where a.hook = ? and b.hook = ?
            ) where delay between -10000 and 1000000000
            """,
            [HOOKS[first], HOOKS[last]],
        ).fetchone()
        found = report[f"{first}-{last}"]
        theirs = (found["count"], [found[key] for key in ("p50_ns", "p99_ns", "p99_9_ns")])
        # At the socket TCP has bytes without keys, which only the report follows.
        if last != "rxg1" and theirs != (count, quantiles):
            sys.exit(f"{first}-{last}: {(count, quantiles)}, the report has {theirs}")


if __name__ == "__main__":
    main()
