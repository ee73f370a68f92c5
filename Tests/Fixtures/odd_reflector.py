#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What answers test packets and is no good reflector, or none.

    odd_reflector.py KIND HOST PORT      answers whatever comes, until it is killed
    odd_reflector.py forge SOURCE:PORT TARGET:PORT SIZE    sends one test packet in the name of another; as root

KIND: ahead (PTP's time, 267 ms ahead, S = 1), zero (receive time left 0, NTP's time), backward (sent before received),
echo, count (the packet behind a counter), chargen, port (chargen from another port each time).
"""
import socket
import struct
import sys
import time

LINE = bytes(range(33, 127)) * 2


def ptp(nanoseconds: int) -> bytes:
    return struct.pack("!II", nanoseconds // 10**9, nanoseconds % 10**9)


def ntp(nanoseconds: int) -> bytes:
    return struct.pack("!II", nanoseconds // 10**9 + 2208988800 & 0xFFFFFFFF, (nanoseconds % 10**9 << 32) // 10**9)


def stamp(data: bytes, sent: bytes, error: bytes, received: bytes) -> bytes:
    return data[:4] + sent + error + data[14:16] + received + data[:14] + b"\0\0\x40\0\0\0"


def answer(kind: str, data: bytes, number: int) -> bytes:
    now = time.time_ns()
    match kind:
        case "ahead":
            return stamp(data, ptp(now + 267_010_000), b"\xca\x01", ptp(now + 267_000_000))
        case "zero":
            return stamp(data, ntp(now), b"\x80\x01", bytes(8))
        case "backward":
            return stamp(data, ptp(now), b"\xc0\x01", ptp(now + 1_000_000))
        case "echo":
            return data
        case "count":
            return (struct.pack("!I", number) + data)[:len(data)]
        case "chargen" | "port":
            return LINE[number % 94:][:72]
    raise SystemExit(f"no kind {kind}")


def serve(kind: str, here: tuple[str, int]) -> None:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(here)
    print("ready", flush=True)
    number = 0
    while True:
        data, peer = udp.recvfrom(65536)
        number += 1
        if kind == "port":
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.sendto(answer(kind, data, number), peer)


def forge(source: tuple[str, int], target: tuple[str, int], size: int) -> None:
    packet = struct.pack("!IIIHH", 7, int(time.time()), 5, 0x4001, 99)
    packet += bytes(max(0, size - len(packet)))
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    raw.bind((source[0], 0))
    raw.sendto(struct.pack("!HHHH", source[1], target[1], 8 + len(packet), 0) + packet, (target[0], 0))


def address(text: str) -> tuple[str, int]:
    host, port = text.rsplit(":", 1)
    return host, int(port)


if __name__ == "__main__":
    if sys.argv[1] == "forge":
        forge(address(sys.argv[2]), address(sys.argv[3]), int(sys.argv[4]))
    else:
        serve(sys.argv[1], (sys.argv[2], int(sys.argv[3])))
