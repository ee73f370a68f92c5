#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest whose every number is at its extremes, one by one and in pairs: the host records, reports and judges all the same.

The guest speaks the agent's protocol (docs/agent.md) and sends a recording that was made here, with other numbers in a
message, in machine.json or in a stream. Wrong is: a command that is ended by a signal or takes more than 10 s (record: beyond
its duration and what the protocol allows), more than 512 MiB, or a host's recording that is not there. Usage: guest.py
[COUNT]; each number once unless given, then as many pairs. Root, for namespaces of its own. LATPROBE: the program. SEED
chooses the numbers. Exits with 0, or 2 where something was wrong.
"""

import glob
import json
import os
import random
import re
import select
import shutil
import socket
import struct
import sys
import threading
import time

from testbed import LATPROBE, Testbed, run, watch

MAGIC = b"LATPROBE"
GUEST_BOOT = "5b7f1c52-96a8-4b0e-9d6e-222222222222"
EXTREMES = [0, 1, -1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**53 + 1, 2**62 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
TEXTS = [*(str(number) for number in EXTREMES), str(-2**63), "1e308", "-1e308", "1e-308", "0.5", "1e19", "NaN"]
# Numbers of the protocol: where, and how many bytes they have.
MESSAGES = [
    ("version", 2), ("pong id", 8), ("pong received", 8), ("pong sent", 8), ("stamps", 8), ("lost", 8), ("size", 8), ("kind", 1),
    ("cpu", 2), ("sequence", 4), ("file size", 8), ("files", 4), ("bytes", 8), ("frame length", 4), ("frame number", 8),
]
# Bytes of each kind of event, and of a stream's packet header (docs/format.md).
SIZES = {0: 32, 1: 40, 2: 56, 3: 56, 4: 48, 5: 40, 6: 32, 7: 48, 8: 40, 9: 40}
HEADER = 72
WAIT = 90


class Gone(Exception):
    pass


class Guest(threading.Thread):
    """Answers one host. `numbers`: what is said in place of numbers, by name."""

    def __init__(self, path, files, numbers):
        super().__init__(daemon=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        self.files, self.numbers = files, numbers
        self.out, self.buffer, self.sound_until = 0, b"", float("inf")

    def number(self, name, size, value):
        # Of a guest that fails before, the host says so and does not begin.
        if time.monotonic() > self.sound_until or name == "version":
            value = self.numbers.get(name, value)
        return (value % 2 ** (8 * size)).to_bytes(size, "little")

    def send(self, kind, payload=b""):
        # The handshake itself is as it should be: else nothing of the rest would be heard.
        is_sound = kind < 16
        length = struct.pack("<I", len(payload)) if is_sound else self.number("frame length", 4, len(payload))
        number = struct.pack("<Q", self.out) if is_sound else self.number("frame number", 8, self.out)
        self.out += 1
        self.connection.sendall(length + bytes([kind, 0, 0, 0]) + number + payload)

    def receive(self):
        while True:
            if len(self.buffer) >= 16:
                size, kind = struct.unpack("<IB", self.buffer[:5])
                if len(self.buffer) >= 16 + size:
                    payload, self.buffer = self.buffer[16:16 + size], self.buffer[16 + size:]
                    return kind, payload
            ready, _, _ = select.select([self.connection], [], [], WAIT)
            part = self.connection.recv(1 << 16) if ready else b""
            if not part:
                raise Gone
            self.buffer += part

    def run(self):
        try:
            ready, _, _ = select.select([self.listener], [], [], WAIT)
            if ready:
                self.connection, _ = self.listener.accept()
                self.converse()
        except (OSError, Gone):
            pass

    @staticmethod
    def text(words):
        return struct.pack("<H", len(words)) + words.encode()

    def converse(self):
        text, now = self.text, lambda: time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        _, hello = self.receive()
        # The guest's clock is 5 s behind.
        shift = 5_000_000_000
        self.send(2, MAGIC + hello[13:45] + self.number("version", 2, 1) + b"\0" + os.urandom(32) + text("1"))
        while True:
            kind, payload = self.receive()
            if kind == 16:
                self.send(32, text("guest-b") + text("b") + text(GUEST_BOOT) + b"\0\0")
            elif kind == 17:
                self.send(33)
                self.sound_until = time.monotonic() + 0.1
            elif kind == 18:
                received = now() - shift
                self.send(34, self.number("pong id", 8, struct.unpack("<Q", payload)[0])
                          + self.number("pong received", 8, received) + self.number("pong sent", 8, now() - shift))
                self.send(35, b"".join(self.number(name, 8, 3) for name in ("stamps", "lost", "size")))
            elif kind == 19:
                self.send(36, text("the host") + text("/x"))
            elif kind == 20:
                for (which, cpu, sequence), content in self.files:
                    self.send(37, self.number("kind", 1, which) + self.number("cpu", 2, cpu)
                              + self.number("sequence", 4, sequence) + self.number("file size", 8, len(content)))
                    for place in range(0, len(content), 60_000):
                        self.send(38, content[place:place + 60_000])
                total = sum(len(content) for _, content in self.files)
                self.send(39, self.number("files", 4, len(self.files)) + self.number("bytes", 8, total))
            elif kind == 21:
                self.send(40)
            elif kind == 48:
                raise Gone

    def end(self):
        self.listener.close()
        self.join(WAIT)


def source(bed):
    """The files of a guest's recording."""
    path = f"{bed.folder}/source"
    run("ip", "netns", "exec", bed.bridge, LATPROBE, "record", "--topology", "veth", "--side", "guest", "--netns", bed.a, "--netns",
        bed.b, "--session", "s", "--duration", "500ms", "-o", path)
    [machine] = glob.glob(f"{path}/guest-*")
    with open(f"{machine}/machine.json") as file:
        described = json.load(file)
    boot = described["boot_id"]
    described.update(name="guest-b", hostname="b")
    text = json.dumps(described).replace(boot, GUEST_BOOT)
    with open(f"{machine}/ctf/metadata") as file:
        metadata = file.read().replace(boot, GUEST_BOOT)
    streams = []
    for name in sorted(os.listdir(f"{machine}/ctf")):
        match = re.fullmatch(r"stream_(\d+)_(\d+)", name)
        if match:
            with open(f"{machine}/ctf/{name}", "rb") as file:
                streams.append(((2, int(match[1]), int(match[2])), file.read()))
    return text, metadata, streams


def events(stream):
    """Where the events of a stream's first packet begin, by their kind."""
    place, found = HEADER, []
    while place + 9 < len(stream) and stream[place + 8] in SIZES:
        found.append((place, stream[place + 8]))
        place += SIZES[stream[place + 8]]
    return found


class Numbers:
    """All that can be at an extreme."""

    def __init__(self, bed):
        self.machine, self.metadata, self.streams = source(bed)
        self.json = [match.span(1) for match in re.finditer(r"[:\[,\s](-?[0-9][0-9.eE+\-]*)(?=[,\s\]}])", self.machine)]
        kinds = sorted({kind for _, stream in self.streams for _, kind in events(stream)})
        self.all = [("message", each) for each in MESSAGES] + [("machine.json", span) for span in self.json]
        self.all += [("event", (kind, place)) for kind in kinds for place in [0, *range(12, SIZES[kind], 4)]]
        self.all += [("header", place) for place in range(24, HEADER, 8)]

    def files(self, chosen, chance):
        """The guest's files, its messages, and what that is in words."""
        machine, streams = self.machine, [(key, bytearray(stream)) for key, stream in self.streams]
        messages, words = {}, []
        for kind, what in sorted(chosen, key=str, reverse=True):
            value = chance.choice(EXTREMES)
            if kind == "message":
                messages[what[0]] = value
            elif kind == "machine.json":
                value = chance.choice(TEXTS)
                what = (machine[max(0, what[0] - 30):what[0]], what)
                first, last = what[1]
                # From behind, so that what is before keeps its place.
                machine = machine[:first] + value + machine[last:]
            else:
                place = what
                _, stream = chance.choice(streams)
                if kind == "event":
                    places = [place for place, each in events(stream) if each == what[0]]
                    if not places:
                        continue
                    place = chance.choice(places) + what[1]
                size = 8 if kind == "header" or what[1] % 8 == 0 else 4
                stream[place:place + size] = (value % 2 ** (8 * size)).to_bytes(size, "little")
            words.append(f"{kind} {what} = {value}")
        files = [((0, 0, 0), machine.encode()), ((1, 0, 0), self.metadata.encode())]
        return files + [(key, bytes(stream)) for key, stream in streams], messages, ", ".join(words)


def one(bed, numbers, chosen, chance):
    """What is wrong with it."""
    folder = f"{bed.folder}/work"
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    files, messages, words = numbers.files(chosen, chance)
    guest = Guest(f"{folder}/socket", files, messages)
    guest.start()
    output, problems = f"{folder}/out", []
    record = ["ip", "netns", "exec", bed.bridge, LATPROBE, "record", "--topology", "veth", "--side", "host", "--netns", bed.a,
              "--netns", bed.b, "--guest", f"unix:{folder}/socket", "--session", "s", "--duration", "200ms", "-o", output]
    commands = [record, [LATPROBE, "report", output, "-v"], [LATPROBE, "report", output, "--json"],
                [LATPROBE, "gate", output, "--require", "* p99 < 1s", "--require", "* loss < 1%"], [LATPROBE, "repair", output]]
    codes = []
    for command in commands:
        name = next(word for word in command if word in ("record", "report", "gate", "repair"))
        begin = time.monotonic()
        # 10 s of silence, of a step, and of the files.
        outcome = watch(command, folder, 60, 10)
        codes.append(outcome.code)
        if outcome.hung or outcome.was_told:
            problems.append(f"{name} does not end within {time.monotonic() - begin:.0f} s: {outcome.text[-300:]}")
        elif outcome.code < 0 or "Fatal error" in outcome.text:
            problems.append(f"{name}: signal {-outcome.code}: {outcome.text[-300:]}")
        elif outcome.cpu > 10 or outcome.memory > 512 << 10:
            problems.append(f"{name}: {outcome.cpu:.1f} s of CPU, {outcome.memory >> 10} MiB")
        if name == "record":
            guest.end()
            # Without a handshake there is no recording to begin.
            if not glob.glob(f"{output}/host-*/machine.json") and "version" not in messages:
                problems.append(f"the host has no recording: {outcome.text[-300:]}")
                break
            if not os.path.exists(output):
                break
    return [f"{words}: {problem}" for problem in problems], codes[0], words


def main():
    chance = random.Random(int(os.environ.get("SEED", 41)))
    with Testbed() as bed:
        bed.traffic()
        numbers = Numbers(bed)
        count = int(sys.argv[1]) if len(sys.argv) > 1 else 0
        singles = [[each] for each in numbers.all]
        pairs = [chance.sample(numbers.all, 2) for _ in numbers.all]
        if count:
            singles, pairs = chance.sample(singles, min(count, len(singles))), pairs[:count]
        wrong = failed = 0
        for chosen in [[], *singles, *pairs]:
            problems, code, words = one(bed, numbers, chosen, chance)
            failed += code != 0
            if not chosen and code != 0:
                problems.append(f"without extremes record ends with {code}")
            wrong += bool(problems)
            for problem in problems:
                print(problem, flush=True)
    print(f"guest: {len(numbers.all)} numbers; {len(singles)} alone and {len(pairs)} pairs, record said so in {failed}; {wrong} wrong")
    sys.exit(2 if wrong else 0)


main()
