#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Root works where another user lays traps: nothing of a victim's may be touched, and none of his code may run.

Each row of the table is a place and a command; before each try the neighbour (nobody) has laid its traps, and in some
it goes on exchanging files meanwhile (Tests/Fixtures/swap_files.py). The victim is a file and a folder of root's that
the traps lead to. Usage: neighbour.py [TRIES]; 100 of each row unless given. Root. LATPROBE: the program. Exits with 0,
or 2 where something of the victim's was touched, or code of the neighbour's ran.
"""

import os
import random
import shutil
import stat
import subprocess
import sys
import time

from testbed import FIXTURES, LATPROBE, Testbed, run

NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
# What is written below a report's folder, and of what is in a recording's those that --force must get rid of.
REPORT = ["segments.csv", "ccdf.csv", "pit.csv", "report.json", "report.html", ".segments.csv.tmp", ".report.json.tmp",
          "plots/ccdf-tx-1.csv", "plots/ccdf-tx.gp", "plots/ccdf-tx.svg"]
RECORDING = [".session.json.tmp", "host-a/.machine.json.tmp", "host-a/.ballast", "host-a/ctf/metadata", "host-a/ctf/stream_0_0"]


class Victim:
    """A file and a folder of root's."""

    def __init__(self, folder):
        self.folder, self.file = f"{folder}/victim", f"{folder}/victim/precious"
        os.mkdir(self.folder, 0o755)
        with open(self.file, "w") as file:
            file.write("precious")
        self.before = self.state()

    def state(self):
        found = []
        for path in (self.folder, self.file):
            status = os.lstat(path)
            found += [stat.filemode(status.st_mode), status.st_uid, status.st_gid]
        status = os.lstat(self.file)
        # But for the number of links: the neighbour's may be replaced.
        with open(self.file) as file:
            return found + [status.st_mtime_ns, status.st_size, file.read(), sorted(os.listdir(self.folder))]


def theirs(path):
    """The neighbour's own from now on."""
    run("chown", "-hR", f"{NOBODY}:{NOBODY}", path)


def lay(folder, make):
    """Traps by the names of what is written."""
    if folder.endswith("report"):
        names = REPORT
        os.makedirs(f"{folder}/plots", exist_ok=True)
    else:
        names = RECORDING
        shutil.copytree(f"{FIXTURES}/recording-5", folder)
        run("chmod", "-R", "u+rwX", folder)
    for name in names:
        if os.path.exists(f"{folder}/{name}"):
            os.unlink(f"{folder}/{name}")
        make(f"{folder}/{name}")


class Place:
    """A folder of the neighbour's, or one in which anybody may write, with a recording of the neighbour's."""

    def __init__(self, bed, victim, mode, owner):
        self.path = f"{bed.folder}/place"
        shutil.rmtree(self.path, ignore_errors=True)
        os.mkdir(self.path)
        self.run = f"{self.path}/run"
        shutil.copytree(f"{FIXTURES}/recording-5", self.run)
        theirs(self.run)
        run("chmod", "-R", "u+rwX", self.run)
        os.chmod(self.path, mode)
        os.chown(self.path, owner, owner)
        self.proof = f"{bed.folder}/proof/proof"
        self.victim = victim

    def traps(self, kind, below, owner):
        """`below` is filled with traps."""
        victim = self.victim
        make = {
            "links": lambda path: os.symlink(victim.file, path),
            "folders": lambda path: os.symlink(victim.folder, path),
            "pipes": os.mkfifo,
            "hard links": lambda path: os.link(victim.file, path),
        }[kind]
        lay(below, make)
        for folder, _, files in os.walk(below):
            os.chown(folder, owner, owner)
            # A hard link is the victim's own file: its owner stays.
            for name in files if kind != "hard links" else []:
                os.lchown(f"{folder}/{name}", owner, owner)


def rows():
    """Name, mode and owner of the place; what traps lie where, and whose they are; whether they move; the command."""
    report_there = lambda place: ["report", place.run]
    report_out = lambda place: ["report", place.run, "-o", f"{place.path}/out"]
    repair = lambda place: ["repair", place.run]
    record = lambda place: ["record", "--topology", "host-nic", "--dev", "lo", "--duration", "50ms", "-o",
                            f"{place.path}/out"]
    forced = lambda place: [*record(place), "--force"]
    tap = lambda place: ["tap", "lo", "--duration", "50ms", "-o", f"{place.path}/out", "--force"]
    foreign = lambda command: lambda place: [*command(place), "--foreign"]
    for kind in ("links", "folders", "pipes", "hard links"):
        yield f"report, {kind}", 0o755, NOBODY, (kind, "run/report", NOBODY), False, report_there
        yield f"report --foreign, {kind}", 0o755, NOBODY, (kind, "run/report", NOBODY), False, foreign(report_there)
        # As root unpacks an archive of the neighbour's.
        yield f"report, unpacked, {kind}", 0o755, 0, (kind, "run/report", 0), False, report_there
        yield f"report -o, sticky, {kind}", 0o1777, 0, (kind, "report", NOBODY), False, lambda place: [
            "report", place.run, "-o", f"{place.path}/report"]
        yield f"record --force, sticky, {kind}", 0o1777, 0, (kind, "out", NOBODY), False, forced
        yield f"record --force, unpacked, {kind}", 0o755, 0, (kind, "out", 0), False, forced
        yield f"record --foreign, {kind}", 0o755, NOBODY, (kind, "out", NOBODY), False, foreign(forced)
    yield "report, exchanged", 0o755, NOBODY, None, True, report_there
    yield "report -o, exchanged", 0o755, NOBODY, None, True, report_out
    yield "report -o, sticky, exchanged", 0o1777, 0, None, True, report_out
    yield "report -o, open, exchanged", 0o777, 0, None, True, report_out
    yield "record, exchanged", 0o755, NOBODY, None, True, record
    yield "record, sticky, exchanged", 0o1777, 0, None, True, forced
    yield "record, open, exchanged", 0o777, 0, None, True, record
    yield "tap, sticky, exchanged", 0o1777, 0, None, True, tap
    yield "repair, exchanged", 0o755, NOBODY, None, True, repair


def main():
    tries = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    wrong = 0
    with Testbed() as bed:
        os.chmod(bed.folder, 0o755)
        victim = Victim(bed.folder)
        os.mkdir(f"{bed.folder}/proof")
        os.chmod(f"{bed.folder}/proof", 0o777)
        swapper = f"{bed.folder}/swap_files.py"
        shutil.copy(f"{FIXTURES}/swap_files.py", swapper)
        os.chmod(swapper, 0o644)
        print(f"{'root does, where':<38}{'tries':>7}{'written':>9}{'refused':>9}{'touched':>9}{'code ran':>10}")
        for name, mode, owner, trap, moves, command in rows():
            reasons = set()
            counts = {"written": 0, "refused": 0, "touched": 0, "ran": 0}
            place = Place(bed, victim, mode, owner)
            neighbour = None
            if moves:
                neighbour = subprocess.Popen(
                    [*AS_NOBODY, "/usr/bin/python3", swapper, place.path, victim.file, place.proof])
            for _ in range(tries):
                if trap:
                    place = Place(bed, victim, mode, owner)
                    place.traps(trap[0], f"{place.path}/{trap[1]}", trap[2])
                else:
                    time.sleep(random.uniform(0, 0.05))
                result = run("ip", "netns", "exec", bed.a, LATPROBE, *command(place), check=False)
                if result.returncode == 1:
                    reasons.add(result.stderr.strip().split("\n")[-1].replace(bed.folder, "")[:150])
                counts["written" if result.returncode == 0 else "refused"] += 1
                if result.returncode not in (0, 1) or result.returncode == 1 and "Error: " not in result.stderr:
                    wrong += 1
                    print(f"{name}: exit {result.returncode}: {result.stderr[-500:]}", flush=True)
                if victim.state() != victim.before:
                    counts["touched"] += 1
                    print(f"{name}: {victim.before} {victim.state()}", flush=True)
                    victim.before = victim.state()
                if os.path.exists(place.proof):
                    counts["ran"] += 1
                    with open(place.proof) as file:
                        print(f"{name}: it ran as {file.read()}", flush=True)
                    os.unlink(place.proof)
            if neighbour:
                if neighbour.poll() is not None:
                    wrong += 1
                    print(f"{name}: the neighbour has ended")
                neighbour.kill()
                neighbour.wait()
            wrong += counts["touched"] + counts["ran"]
            print(f"{name:<38}{tries:>7}{counts['written']:>9}{counts['refused']:>9}{counts['touched']:>9}"
                  f"{counts['ran']:>10}", flush=True)
            for reason in sorted(reasons)[:3]:
                print(f"  {reason}")
    sys.exit(2 if wrong else 0)


main()
