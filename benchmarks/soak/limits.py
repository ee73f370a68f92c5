#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs each command under several bounds of its address space (`ulimit -v`): it ends, and says why.

Where an allocation fails, Swift's runtime ends the process by a signal, which no program of Swift can prevent
(docs/privileges.md). Wrong is: no end within 10 s, or an end without a word. Usage: limits.py [MIB...]. Root, for
namespaces of its own. LATPROBE: the program. Exits with 0, or 2 where something was wrong.
"""

import os
import shutil
import signal
import sys

from testbed import Testbed, watch

LIMITS = [16, 32, 64, 96, 128, 160, 192, 256, 384, 512, 1024]


def outcome(folder, base, mebibytes):
    """What became of it, in a word, and what it said."""
    work = f"{folder}/work"
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(f"{work}/state", mode=0o700)
    ended = watch(base.words(), work, 3 if base.waits else 60, 10, RLIMIT_AS=mebibytes << 20)
    if ended.hung:
        return "hangs", ended.text
    if ended.code < 0 and not (ended.was_told and ended.code == -signal.SIGINT):
        return signal.Signals(-ended.code).name, ended.text
    return ("works" if ended.code in (0, 2, 3) or ended.was_told else f"exit {ended.code}"), ended.text


def main():
    limits = [int(word) for word in sys.argv[1:]] or LIMITS
    wrong = 0
    with Testbed() as bed:
        bed.traffic()
        print(f"{'MiB':<16}" + "".join(f"{limit:>10}" for limit in limits))
        for base in bed.commands():
            row = []
            for limit in limits:
                what, text = outcome(bed.folder, base, limit)
                row.append(what)
                # What doctor finds is its result.
                if what == "hangs" or what != "works" and not text.strip() and base.command != "doctor":
                    wrong += 1
                    print(f"{base}, {limit} MiB: {what}: {text[-300:]!r}", flush=True)
            print(f"{str(base):<16}" + "".join(f"{what:>10}" for what in row), flush=True)
    sys.exit(2 if wrong else 0)


main()
