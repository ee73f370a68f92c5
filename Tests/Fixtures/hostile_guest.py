#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An agent at a UNIX socket that misbehaves: hostile_guest.py SOCKET PHASE WAY [SECONDS]

From the first message of PHASE on (prepared, first-pong, started, pong, stopped, file) it says nothing any more (stall),
one byte a second (drip), PROGRESS without end (flood), or its warnings and reasons again and again (words).
"""
import os
import socket
import struct
import sys
import time

path, phase, way = sys.argv[1:4]
length = float(sys.argv[4]) if len(sys.argv) > 4 else 120
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
os.chmod(path, 0o600)
listener.listen(1)
print("listening", flush=True)
peer = listener.accept()[0]
number = 0


def text(words):
    return struct.pack("<H", len(words)) + words


def frame(kind, payload):
    global number
    header = struct.pack("<IB3xQ", len(payload), kind, number)
    number += 1
    return header + payload


def read(count):
    data = b""
    while len(data) < count:
        part = peer.recv(count - len(data))
        if not part:
            sys.exit("the host has gone")
        data += part
    return data


def hear():
    """Kind and payload of the next message but PINGs, which are answered."""
    while True:
        size, kind = struct.unpack("<IB11x", read(16))
        payload = read(size)
        if kind != 18:
            return kind, payload
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        say("pong" if started else "first-pong", 34, payload + struct.pack("<qq", now, now))


def say(point, kind, payload):
    data = frame(kind, payload)
    if point != phase:
        return peer.sendall(data)
    print("misbehaving", flush=True)
    end = time.time() + length
    global number
    try:
        if way == "stall":
            time.sleep(length)
        elif way == "drip":
            for byte in data[:-1]:
                peer.sendall(bytes([byte]))
                time.sleep(1)
            time.sleep(max(0, end - time.time()))
        else:
            number -= 1
            while time.time() < end:
                if way == "flood":
                    peer.sendall(frame(35, struct.pack("<QQQ", 1 << 53, 1 << 53, 1 << 53)))
                else:
                    peer.sendall(frame(36, text(b"reason %d " % number * 30) + text(b"/x")))
    except OSError:
        pass
    sys.exit(0)


started = False
size, kind = struct.unpack("<IB11x", read(16))
hello = read(size)
nonce = hello[13:45]
peer.sendall(frame(2, b"LATPROBE" + nonce + struct.pack("<HB", 1, 0) + bytes(32) + text(b"0")))
hear()
say("prepared", 32, text(b"guest-hostile") + text(b"hostile") + text(b"boot") + b"\0\0")
hear()
say("started", 33, b"")
started = True
hear()
say("stopped", 36, text(b"the host") + text(b"/x"))
hear()
say("file", 37, struct.pack("<BHIQ", 0, 0, 0, 1000))
time.sleep(length)
