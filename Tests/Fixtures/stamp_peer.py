#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A STAMP sender and a stateful STAMP reflector made of scapy's packets, unauthenticated.

    stamp_peer.py send HOST PORT COUNT    prints what is wrong with each answer; exit code 1 if anything is
    stamp_peer.py reflect HOST PORT COUNT answers so many
"""
import socket
import sys
import time

from scapy.contrib.stamp import STAMPSessionReflectorTestUnauthenticated as Answer
from scapy.contrib.stamp import STAMPSessionSenderTestUnauthenticated as Request
from scapy.packet import RawVal


def send(peer: tuple[str, int], count: int) -> None:
    wrong = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(5)
        udp.connect(peer)
        for number in range(100, 100 + count):
            # NTP's format of time, which is scapy's default.
            request = Request(Request(seq=number, ts=time.time() + 2208988800, ssid=77).build())
            udp.send(bytes(request))
            answer = Answer(udp.recv(2048))
            expected = {
                "seq": number - 100, "ssid": 77, "seq_sender": number, "ts_sender": request.ts, "ttl_sender": 64,
                "err_estimate_sender": request.err_estimate, "mbz1": 0, "mbz2": 0,
            }
            for name, value in expected.items():
                if getattr(answer, name) != value:
                    print(f"{number}: {name} is {getattr(answer, name)}, not {value}")
                    wrong += 1
            if answer.err_estimate.Z != 1:
                print(f"{number}: Z is {answer.err_estimate.Z}")
                wrong += 1
    print(f"{count} answers, {wrong} wrong")
    sys.exit(1 if wrong else 0)


def reflect(here: tuple[str, int], count: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(here)
        udp.settimeout(20)
        print("ready", flush=True)
        for number in range(count):
            data, peer = udp.recvfrom(2048)
            received = time.time() + 2208988800
            request = Request(data)
            answer = Answer(
                seq=number, ts=time.time() + 2208988800, ts_rx=received, ssid=request.ssid, seq_sender=request.seq,
                # As it came: scapy reads NTP's format alone.
                ts_sender=RawVal(data[4:12]), err_estimate_sender=request.err_estimate, ttl_sender=64)
            udp.sendto(bytes(answer), peer)


if __name__ == "__main__":
    mode, host, port, number = sys.argv[1:5]
    {"send": send, "reflect": reflect}[mode]((host, int(port)), int(number))
