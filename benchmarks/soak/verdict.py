# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a run of run.sh was sound: verdict.py FOLDER; exits with 0 or 2.

Memory: the median of the last quarter is at most 1 MiB above that of the second quarter. What comes before 12 s does not
count: the sender knows each packet for 10 s.

Losses: packets that were sent and not answered are at most as many as the kernel and the reflector counted.
"""
import glob
import json
import re
import statistics
import sys

WARM_UP = 12
folder = sys.argv[1]


def load(name):
    return json.load(open(f"{folder}/{name}"))


failures = []
samples = [list(map(int, line.split())) for line in open(f"{folder}/memory")]
samples = [sample for sample in samples if sample[0] >= WARM_UP]
texts = []
for column, name in ((1, "send"), (2, "reflect")):
    values = [sample[column] for sample in samples]
    quarter = len(values) // 4
    if quarter == 0:
        sys.exit("soak: too few samples of memory")
    second, last = (statistics.median(part) for part in (values[quarter : 2 * quarter], values[-quarter:]))
    texts.append(f"{name} {second / 1024:.1f} to {last / 1024:.1f} MiB")
    if last > second + 1024:
        failures.append(f"{name} grew by {(last - second) / 1024:.1f} MiB")

before, after = load("before"), load("after")
machine = json.load(open(glob.glob(f"{folder}/sent/*/machine.json")[0]))
counts = next(p for p in machine["pairing"]["protocols"] if p["name"] == "stamp")["counts"]
counted = {
    f"{kind} at the {side}": after[side][kind] - before[side][kind]
    for side in ("sender", "reflector")
    for kind in ("socket", "device", "checksum")
}
counted["backlog of a CPU"] = after["backlog"] - before["backlog"]
reflected = re.search(r"(\d+) packets, (\d+) answered(.*)", open(f"{folder}/reflect").read())
counted["not answered by the reflector" + reflected[3]] = int(reflected[1]) - int(reflected[2])
unanswered = counts["requests"] - counts["paired"] - counts.get("abandoned", 0)
explained = {name: count for name, count in counted.items() if count > 0}
if unanswered > sum(explained.values()):
    failures.append(f"{unanswered - sum(explained.values())} packets were lost and not counted")
if counts["requests"] == 0 or counts["paired"] == 0:
    failures.append("nothing was answered")

reasons = ", ".join(f"{name} {count}" for name, count in explained.items())
print(
    f"soak: {counts['requests']} sent, {unanswered} not answered" + (f" (counted: {reasons})" if reasons else "")
    + f"; memory {', '.join(texts)}: " + ("FAIL: " + "; ".join(failures) if failures else "PASS")
)
sys.exit(2 if failures else 0)
