#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An authenticated STAMP sender and stateful reflector (RFC 8762, sections 4.2.2 and 4.3.2), byte by byte.

    stamp_authenticated.py send HOST PORT COUNT KEY     prints what is wrong with each answer; exit code 1 if anything is
    stamp_authenticated.py reflect HOST PORT COUNT KEY  answers so many; the code of every fifth answer is wrong
"""
import hashlib
import hmac
import socket
import struct
import sys
import time

# Sequence, zero, time, error estimate, SSID, zero; then the code over these 96 bytes.
REQUEST = struct.Struct("!I 12x Q H H 68x")
# Sequence, zero, T3, error estimate, SSID, zero, T2, zero; the sender's sequence, zero, T1, error estimate, zero, TTL, zero.
ANSWER = struct.Struct("!I 12x Q H H 4x Q 8x I 12x Q H 6x B 15x")
SSID = 4711
# S = 0, Z = 0 (NTP), 2^17 / 2^32 s.
NTP_ERROR = 0x1101
# S = 0, Z = 1 (PTPv2).
PTP_ERROR = 0x5101


def code(data: bytes, key: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()[:16]


def ntp(now: int) -> int:
    seconds, rest = divmod(now, 1_000_000_000)
    return (seconds + 2_208_988_800) << 32 | (rest << 32) // 1_000_000_000


def ptp(now: int) -> int:
    seconds, rest = divmod(now, 1_000_000_000)
    return seconds << 32 | rest


def send(peer: tuple[str, int], count: int, key: bytes) -> None:
    wrong = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(5)
        udp.connect(peer)
        udp.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 61)
        for number in range(1000, 1000 + count):
            sent = ntp(time.time_ns())
            data = REQUEST.pack(number, sent, NTP_ERROR, SSID)
            # One whose code is of another key, which is not answered, and one with padding behind the code.
            if number == 1003:
                udp.send(data + code(data, b"another key" * 3))
            udp.send(data + code(data, key) + bytes(7 * (number % 2)))
            answer = udp.recv(2048)
            if len(answer) != 112 + 7 * (number % 2):
                wrong.append(f"{number}: {len(answer)} bytes")
            if not hmac.compare_digest(answer[96:112], code(answer[:96], key)):
                wrong.append(f"{number}: code")
            own, t3, error, ssid, t2, sequence, t1, sent_error, ttl = ANSWER.unpack(answer[:96])
            if (own, sequence, t1, sent_error, ttl, ssid) != (number - 1000, number, sent, NTP_ERROR, 61, SSID):
                wrong.append(f"{number}: {own} {sequence} {t1 - sent} {sent_error:x} {ttl} {ssid}")
            if not error & 0x4000 or not t2 <= t3 or abs((t2 >> 32) - time.time()) > 5:
                wrong.append(f"{number}: error estimate {error:x}, T2 {t2:x}, T3 {t3:x}")
    print(*wrong, f"{count} answers, {len(wrong)} wrong", sep="\n")
    sys.exit(1 if wrong else 0)


def reflect(here: tuple[str, int], count: int, key: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(here)
        udp.settimeout(20)
        print("ready", flush=True)
        for number in range(count):
            request, peer = udp.recvfrom(2048)
            t2 = ptp(time.time_ns())
            if len(request) < 112 or not hmac.compare_digest(request[96:112], code(request[:96], key)):
                sys.exit(f"{number}: {len(request)} bytes, or the code is wrong")
            sequence, t1, error, ssid = REQUEST.unpack(request[:96])
            answer = ANSWER.pack(number, ptp(time.time_ns()), PTP_ERROR, ssid, t2, sequence, t1, error, 64)
            right = code(answer, key)
            udp.sendto(answer + (bytes(16) if number % 5 == 4 else right) + request[112:], peer)


if __name__ == "__main__":
    mode, host, port, number, secret = sys.argv[1:6]
    {"send": send, "reflect": reflect}[mode]((host, int(port)), int(number), secret.encode())
