#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Kills record, tap, send and agent at random moments (SIGKILL), and looks at what is left.

What was on disk must be readable and never pass a gate, the next start must not be in trouble, and no program, link,
process, qdisc or promiscuous device may stay. Usage: kills.py [COUNT] [COMMAND...]; 100 of each of record tap send agent
unless given. Root, for namespaces of its own. LATPROBE: the program. Exits with 0, or 2 where something was wrong.
"""

import ctypes
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from testbed import LATPROBE, REFLECTOR, Testbed, run

PROG_GET_FD, LINK_GET_FD = 13, 30
SYS_BPF = {"x86_64": 321}.get(os.uname().machine, 280)
libc = ctypes.CDLL(None, use_errno=True)


def is_there(command, number):
    """Whether the kernel still has the BPF program or link of this id."""
    attribute = ctypes.create_string_buffer(number.to_bytes(4, sys.byteorder), 128)
    file = libc.syscall(SYS_BPF, command, attribute, 128)
    if file >= 0:
        os.close(file)
    return file >= 0


def bpf_ids(pid):
    """Ids of the BPF programs and links that the process holds."""
    found = set()
    try:
        for name in os.listdir(f"/proc/{pid}/fdinfo"):
            with open(f"/proc/{pid}/fdinfo/{name}") as file:
                for key, number in re.findall(r"^(prog_id|link_id):\s*(\d+)", file.read(), re.M):
                    found.add((LINK_GET_FD if key == "link_id" else PROG_GET_FD, int(number)))
    except OSError:
        pass
    return found


def processes():
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/exe") == LATPROBE:
                found.add(int(pid))
        except OSError:
            pass
    return found


def devices(bed):
    """What a killed command could leave at the devices of both namespaces."""
    state = []
    for namespace in (bed.a, bed.b, bed.bridge):
        links = run("ip", "-d", "-n", namespace, "link").stdout
        state.append(re.findall(r"^\d+: (\S+):|(promiscuity \d+)", links, re.M))
        state.append(run("tc", "-n", namespace, "qdisc", "show").stdout)
    return state


class Round:
    """One start and its kill."""

    def __init__(self, bed, folder, command):
        self.bed, self.folder, self.command = bed, folder, command
        self.output = f"{folder}/run"
        self.state = f"{folder}/state"
        self.host = None
        os.makedirs(self.state, mode=0o700)

    def arguments(self, output, *more):
        bed = self.bed
        if self.command == "record":
            return ["ip", "netns", "exec", bed.bridge, LATPROBE, "record", "--topology", "veth", "--netns", bed.a, "--netns", bed.b,
                    "-o", output, *more]
        if self.command == "tap":
            return ["ip", "netns", "exec", bed.b, LATPROBE, "tap", "wire-in=eth0", "-o", output, *more]
        return ["ip", "netns", "exec", bed.a, LATPROBE, "send", REFLECTOR, "--rate", "200", "-o", output, *more]

    def start(self):
        log = open(f"{self.folder}/log", "w")
        if self.command != "agent":
            return subprocess.Popen(self.arguments(self.output), stderr=log, stdout=log)
        socket = f"unix:{self.folder}/socket"
        namespaces = ["--netns", self.bed.a, "--netns", self.bed.b]
        arguments = [LATPROBE, "agent", socket, "--state", self.state, *namespaces]
        agent = subprocess.Popen(["ip", "netns", "exec", self.bed.a, *arguments], stderr=log, stdout=log)
        end = time.monotonic() + 20
        while not os.path.exists(f"{self.folder}/socket") and time.monotonic() < end:
            time.sleep(0.01)
        self.host = subprocess.Popen(
            ["ip", "netns", "exec", self.bed.bridge, LATPROBE, "record", "--topology", "veth", "--side", "host"]
            + [*namespaces, "--guest", socket, "--duration", "1s", "-o", self.output],
            stderr=open(f"{self.folder}/host", "w"), stdout=log)
        return agent

    def check(self, problems):
        """What is on disk."""
        if self.host:
            try:
                self.host.wait(40)
            except subprocess.TimeoutExpired:
                self.host.kill()
                problems.append("the host waits for ever")
        places = [self.output] + [f"{self.state}/{name}" for name in os.listdir(self.state)]
        kept = 0
        for place in places:
            kept += self.look(place, problems)
        if self.command == "agent":
            return kept
        # `ip netns exec` becomes the program itself: both kinds of kill met it.
        again = run(*self.arguments(self.output, "--force", "--duration", "50ms"), check=False)
        if again.returncode != 0:
            problems.append(f"the next start: {again.stderr}")
        elif run(LATPROBE, "report", self.output, "--json", check=False).returncode != 0:
            problems.append("the next recording cannot be read")
        return kept

    def look(self, place, problems):
        names = os.listdir(place) if os.path.isdir(place) else []
        machines = [name for name in names if os.path.exists(f"{place}/{name}/machine.json")]
        if not machines:
            return 0
        report = run(LATPROBE, "report", place, "--json", check=False)
        if report.returncode != 0:
            problems.append(f"{place} cannot be read: {report.stderr}")
        gate = run(LATPROBE, "gate", place, "--require", "* p50 < 1000s", check=False)
        if gate.returncode != 3 or "INVALID" not in gate.stdout:
            problems.append(f"{place} is not INVALID to a gate: {gate.returncode} {gate.stdout} {gate.stderr}")
        sizes = [
            os.path.getsize(f"{place}/{name}/ctf/{stream}")
            for name in machines for stream in os.listdir(f"{place}/{name}/ctf") if stream != "metadata"]
        return int(sum(sizes) > 0)


def await_start(folder, process):
    """Until it records (the agent: until its host does)."""
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        for name in ("log", "host"):
            if os.path.exists(f"{folder}/{name}"):
                with open(f"{folder}/{name}") as file:
                    if re.search("^(recording|sending to)|^listening on .* to ", file.read(), re.M):
                        return
        time.sleep(0.01)


def one(bed, command, before):
    problems, ids = [], set()
    folder = tempfile.mkdtemp(dir=bed.folder)
    try:
        work = Round(bed, folder, command)
        process = work.start()
        # Some before they record, most while they do.
        if random.random() < 0.75:
            await_start(folder, process)
        end = time.monotonic() + random.uniform(0, 1.5)
        while time.monotonic() < end:
            ids |= bpf_ids(process.pid)
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        if process.wait() != -signal.SIGKILL:
            with open(f"{folder}/log") as file:
                problems.append(f"it ended by itself: {file.read()}")
        kept = work.check(problems)
        end = time.monotonic() + 5
        while time.monotonic() < end and (
            processes() - before["processes"] or any(is_there(*each) for each in ids)):
            time.sleep(0.05)
        left = processes() - before["processes"]
        if left:
            problems.append(f"processes are left: {left}")
        if any(is_there(*each) for each in ids):
            problems.append("BPF programs or links are left")
        if devices(bed) != before["devices"]:
            problems.append(f"devices have changed: {before['devices']} {devices(bed)}")
        return kept, problems
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    failed = 0
    with Testbed() as bed:
        bed.traffic()
        before = {"processes": processes(), "devices": devices(bed)}
        for command in sys.argv[2:] or ["record", "tap", "send", "agent"]:
            kept = wrong = 0
            for number in range(count):
                has, problems = one(bed, command, before)
                kept += has
                wrong += bool(problems)
                for problem in problems:
                    print(f"{command} {number}: {problem}", flush=True)
            print(f"{command}: killed {count} times, {kept} had stamps on disk, {wrong} wrong", flush=True)
            failed += wrong
    sys.exit(2 if failed else 0)


main()
