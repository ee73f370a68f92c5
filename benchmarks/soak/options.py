#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Gives every option of every command its extremes, alone and in pairs: no value may trap, hang or take much memory.

The options are those that the program itself lists, so that a new one is tried too. A command that waits for packets or
peers is told to end after half a second of work. Wrong is: an end by a signal, none within 10 s (of CPU time, for what
waits for nothing), more than 512 MiB, a failure that says nothing. Usage: options.py [COMMAND...]. Root, for namespaces
of its own. LATPROBE: the program. RUNS: at most so many values of an option alone and so many pairs of a command (all,
and 200); SEED chooses them. Exits with 0, or 2 where something was wrong.
"""

import itertools
import json
import os
import random
import re
import shutil
import signal
import sys

from testbed import LATPROBE, Testbed, run, watch

LIMIT, MEMORY = 10.0, 512 << 10
AT_WORK = re.compile(rb"^(recording|listening|sending|reflecting) ", re.M)

NUMBERS = [
    "0", "-0", "1", "2", "-1", "0.1", "99", "2147483647", "2147483648", "4294967295", "4294967296", "9007199254740993",
    "9223372036854775807", "9223372036854775808", "-9223372036854775808", "18446744073709551615", "18446744073709551616",
    "1e308", "-1e308", "1e-308", "1e19", "1" + "0" * 400, "nan", "inf", "-inf", "0x10", "", " ", ".", "\u0663", "\uff11",
]
QUANTITIES = [
    "0s", "-1s", "1ns", "0.1ns", "1us", "999us", "1ms", "150000h", "2562047h", "2562048h", "9e18ns",
    "8999999999999999999ns", "9223372036854775807ns", "9223372036854775808ns", "1e308h", "1" + "0" * 400 + "s", ".s",
    "nans", "infs", "1k", "79k", "80k", "4096", "1G", "1T", "8388607T", "8388608T", "1e308G", "0.001k", "1000000M",
    "1e-308k", "10000G",
]
WORDS = [
    "\x1b[31m", "a\nb", "=", "a=b", "=b", ",", "1,1", "," * 5000, "a" * 5000, "../..", "/dev/null", "/dev/zero",
    "/dev/full", "/proc/self/mem", "*", "%s%n", "-", "--", "1/0", "1/1", "1/4294967295", "1/4294967296", "1/-1", "/",
    "0-18446744073709551615", "64,18446744073709551616", "dns=0", "dns=65536", "icmp=65535", "dns,dns", "0.0.0.0/0",
    "::/129", "1.2.3.4/33", "::/340282366920938463463374607431768211456", "[::1]:0", "[::1]:65536", ":0", ":65536",
    "198.18.0.2:99999999999999999999", "unix:", "vsock:4294967296:1", "vsock:-1:-1", "tcp:127.0.0.1:65536",
    "serial:/dev/null", "unix:" + "a" * 200,
]
EXPRESSIONS = [
    "* p99 < 1e308s", "* p99 < 1" + "0" * 400 + "s", "* p99.99999999999999999999 < 1s", "* p100 < 1s", "* p0 < 1s",
    "* p-1 < 1s", "* p1e308 < 1s", "* pnan < 1s", "* p50 < nans", "* p50 < infs", "* p50 < -1s",
    "* count > 18446744073709551616", "* count >= 0", "* loss < 1e308%", "* loss <= 100%", "* " * 3000,
    "*" * 3000 + " p50 < 1s", "a*" * 40 + " p50 < 1s", "portrange 0-4294967296", "len > 4294967295",
    "ether[4294967295] = 1", "tcp[-1] = 1", "host 999.1.1.1", "vlan 99999", "(" * 5000, "not " * 5000 + "tcp",
    " or ".join(f"port {number}" for number in range(1, 2000)), "host,proto,port,flow", "host," * 2000 + "host",
]
VALUES = list(dict.fromkeys(NUMBERS + QUANTITIES + WORDS + EXPRESSIONS))
# These are written to, and stay within the working folder.
PATHS = {"output", "state", "io-dir"}


def values(name):
    """What an option is given."""
    for value in VALUES:
        # A number is a process, whose namespace is not ours.
        if name in ("netns", "container") and value.strip().isdigit():
            continue
        if name in PATHS and (value.startswith("/") or ".." in value):
            continue
        yield value


def listed():
    """The options and flags of each command, by the program's own list; "" is what it takes without a name."""
    tree = json.loads(run(LATPROBE, "--experimental-dump-help").stdout)
    found = {}
    for command in tree["command"]["subcommands"]:
        names = {max((each["name"] for each in argument.get("names", [])), key=len, default=""): argument["kind"] != "flag"
                 for argument in command.get("arguments", [])}
        found[command["commandName"]] = {name: has_value for name, has_value in names.items()
                                         if name not in ("help", "version")}
    return found


class Tally:
    def __init__(self):
        self.runs = self.refused = self.failed = self.worked = self.wrong = 0
        self.memory = self.time = 0.0

    def take(self, outcome, buffers):
        """What is wrong with it; empty: nothing."""
        code = outcome.code
        ended = outcome.was_told and code == -signal.SIGINT
        problem = ""
        if outcome.hung:
            problem = f"no end within {LIMIT:.0f} s"
        elif outcome.time > LIMIT:
            problem = f"{outcome.time:.1f} s"
        elif code < 0 and not ended:
            problem = f"ended by signal {-code}"
        elif "Fatal error" in outcome.text or not ended and code not in (0, 1, 2, 3, 64):
            problem = f"exit {code}"
        elif code in (1, 64) and not outcome.text.strip():
            problem = f"exit {code} without a word"
        # A buffer takes what it is asked to.
        elif outcome.memory > MEMORY and not buffers:
            problem = f"{outcome.memory >> 10} MiB"
        self.runs += 1
        self.refused += code == 64
        self.failed += code == 1
        self.worked += ended or code in (0, 2, 3)
        self.memory = max(self.memory, outcome.memory / 1024)
        self.time = max(self.time, outcome.time)
        self.wrong += bool(problem)
        return problem


class Trials:
    def __init__(self, folder):
        self.folder = f"{folder}/work"
        self.tallies = {}

    def one(self, base, changes):
        """The exit code."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(f"{self.folder}/state", mode=0o700)
        words = base.words(changes)
        outcome = watch(words, self.folder, 20 if base.waits else 60, LIMIT, AT_WORK if base.waits else None)
        problem = self.tallies.setdefault(base.command, Tally()).take(outcome, any(name == "buffer" for name, _ in changes))
        if problem:
            shown = [word if len(word) < 80 else f"{word[:60]}... ({len(word)} characters)" for word in words[5:]]
            print(f"{problem}: {shown}\n  {outcome.text[-600:]}", flush=True)
        return outcome.code

    def all(self, base, options, limit, chance):
        # A busy machine misses things, and calibrates badly.
        may_fail = base.command == "doctor" or "calibrate" in base.options
        if self.one(base, []) not in ((0, 1) if may_fail else (0, 2, 3)):
            self.tallies[base.command].wrong += 1
            print(f"{base}: does not work without extremes", flush=True)
        taken = {}
        for name, has_value in options.items():
            chosen = list(values(name)) if has_value else [None]
            if limit and len(chosen) > limit:
                chosen = chance.sample(chosen, limit)
            codes = {value: self.one(base, [(name, value)]) for value in chosen}
            # In pairs, what was refused alone would hide the other.
            taken[name] = [value for value, code in codes.items() if code != 64]
        pairs = [
            [(one, chance.choice(taken[one])), (other, chance.choice(taken[other]))]
            for one, other in itertools.combinations([name for name in taken if taken[name]], 2) for _ in range(3)]
        chance.shuffle(pairs)
        for pair in pairs[: limit or 200]:
            self.one(base, pair)


def main():
    limit = int(os.environ.get("RUNS", 0))
    chance = random.Random(int(os.environ.get("SEED", 41)))
    options = listed()
    wanted = sys.argv[1:] or list(options)
    with Testbed() as bed:
        trials = Trials(bed.folder)
        bed.traffic()
        for base in bed.commands():
            if base.command in wanted:
                trials.all(base, options[base.command], limit, chance)
    print(f"{'command':<9}{'runs':>7}{'refused':>9}{'failed':>8}{'worked':>8}{'MiB':>7}{'seconds':>9}{'wrong':>7}")
    for command, tally in trials.tallies.items():
        print(f"{command:<9}{tally.runs:>7}{tally.refused:>9}{tally.failed:>8}{tally.worked:>8}{tally.memory:>7.0f}"
              f"{tally.time:>9.1f}{tally.wrong:>7}")
    sys.exit(2 if any(tally.wrong for tally in trials.tallies.values()) else 0)


main()
