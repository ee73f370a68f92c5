#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Two starts on one folder at the same moment: one records, the other is told, and the recording is one start's alone.

Usage: starts.py [COUNT]; 60 unless given. Root, for namespaces of its own. LATPROBE: the program. Exits with 0, or 2
where something was wrong.
"""

import json
import os
import random
import subprocess
import sys
import time

from testbed import LATPROBE, Testbed, run


def one(bed, number):
    """What is wrong with it; empty: nothing. Half of the time there is a recording already, which both replace."""
    output = f"{bed.folder}/{number}"
    words = ["ip", "netns", "exec", bed.bridge, LATPROBE, "record", "--topology", "veth", "--netns", bed.a, "--netns", bed.b,
             "--duration", "300ms", "-o", output]
    if number % 2:
        run(*words)
        words.append("--force")
    labels = ["first", "second"]
    starts = []
    for label in labels:
        starts.append(subprocess.Popen([*words, "--label", f"start={label}"], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True))
        time.sleep(random.choice([0, 0, random.uniform(0, 0.2)]))
    said = [start.communicate(timeout=60)[1] for start in starts]
    codes = [start.returncode for start in starts]
    # Both, where the second came when the first was done and could replace it.
    if sorted(codes) not in ([0, 1], [0, 0]) or codes == [0, 0] and not number % 2:
        return f"exits {codes}: {said}"
    for code, text in zip(codes, said):
        if code == 1 and not any(words in text for words in ("another latprobe", "--force")):
            return f"the loser is not told why: {text}"
    with open(f"{output}/session.json") as file:
        session = json.load(file)
    members = session["members"]
    machines = [name for name in os.listdir(output) if os.path.exists(f"{output}/{name}/machine.json")]
    if sorted(members) != sorted(machines):
        return f"members {members}, folders {machines}"
    if codes != [0, 0] and session["labels"].get("start") != labels[codes.index(0)]:
        return f"the winner is {labels[codes.index(0)]}, the recording says {session['labels']}"
    report = run(LATPROBE, "report", output, "--json", check=False)
    if report.returncode != 0:
        return f"the recording cannot be read: {report.stderr}"
    damage = [line for line in json.loads(report.stdout)["warnings"] if "cut off" in line or "damage" in line]
    return f"the recording is damaged: {damage}" if damage else ""


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    wrong = 0
    with Testbed() as bed:
        bed.traffic()
        for number in range(count):
            problem = one(bed, number)
            if problem:
                wrong += 1
                print(f"{number}: {problem}", flush=True)
    print(f"two starts on one folder {count} times: {wrong} wrong")
    sys.exit(2 if wrong else 0)


main()
