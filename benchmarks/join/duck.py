#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The questions of a report asked of DuckDB: count, p50, p99 and p99.9 of each segment, by packet key.

Reads the streams of a generated recording as columns, by numpy. Usage: duck.py RECORDING
"""

import glob
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
# txg0 txg1 txg2 txh0 txh1 rxh1 rxg0 rxg1
HOOKS = [1, 2, 3, 4, 5, 8, 9, 11]


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
    for first, last in list(zip(HOOKS, HOOKS[1:])) + [(HOOKS[0], HOOKS[-1])]:
        row = database.execute(
            """
            select count(*), quantile_disc(delay, [0.5, 0.99, 0.999]) from (
              select b.time::bigint - a.time::bigint as delay from stamps a join stamps b using (key)
              where a.hook = ? and b.hook = ?
            ) where delay between -10000 and 1000000000
            """,
            [first, last],
        ).fetchone()
        print(first, last, row)


if __name__ == "__main__":
    main()
