# SPDX-License-Identifier: GPL-2.0-or-later
"""Datagrams that differ in nothing, or in just what the test asks for.

send_datagrams.py MODE DESTINATION PORT COUNT GAP_MS
  connected  a connected UDP socket, one payload
  counted    a connected UDP socket, the payload counts
  segmented  the same, 7 of 100 bytes in each call, which leave as one packet (UDP_SEGMENT)
  raw        IPv4 with a header of our own: every datagram has the same id (runs as root)
  tagged     whole frames with VLAN tag 5 from eth0 to everybody, ids and payload count (runs as root)
  receive    reads COUNT datagrams on DESTINATION:PORT (GAP_MS: patience without any), prints how many came
  streams    COUNT TCP connections one after another, 10 000 bytes each
  accept     serves them
"""

import socket
import struct
import sys
import time

mode, host, port, count, gap = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]) / 1000
family = socket.AF_INET6 if ":" in host else socket.AF_INET
BYTES = 10_000
UDP_SEGMENT = 103


def send():
    client = socket.socket(family, socket.SOCK_DGRAM)
    client.connect((host, port))
    for number in range(count):
        client.send(b"%08d" % number if mode == "counted" else b"the same")
        time.sleep(gap)


def send_segmented():
    client = socket.socket(family, socket.SOCK_DGRAM)
    client.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 100)
    client.connect((host, port))
    for number in range(count):
        client.send(b"".join(b"%0100d" % (7 * number + part) for part in range(7)))
        time.sleep(gap)


def packet(number, payload):
    # ports, length, no checksum; for a raw socket the kernel fills in the IP header's checksum and source
    udp = struct.pack("!HHHH", 40_000, port, 8 + len(payload), 0) + payload
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), number, 0x4000, 64, 17, 0, bytes(4), socket.inet_aton(host)) + udp


def send_raw():
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    for _ in range(count):
        raw.sendto(packet(0x4242, b"the same"), (host, 0))
        time.sleep(gap)


def send_tagged():
    device = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    device.bind(("eth0", 0))
    ethernet = b"\xff" * 6 + device.getsockname()[4] + struct.pack("!HHH", 0x8100, 5, 0x0800)
    for number in range(count):
        device.send(ethernet + packet(number + 1, b"%08d" % number))
        time.sleep(gap)


def receive():
    server = socket.socket(family, socket.SOCK_DGRAM)
    server.bind((host, port))
    print("ready", flush=True)
    server.settimeout(gap)
    came = 0
    try:
        while came < count:
            server.recv(2048)
            came += 1
    except TimeoutError:
        pass
    print("received", came, flush=True)


def streams():
    for _ in range(count):
        client = socket.create_connection((host, port))
        client.sendall(bytes(BYTES))
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
        client.close()
        time.sleep(gap)


def accept():
    server = socket.create_server((host, port), family=family)
    print("ready", flush=True)
    for _ in range(count):
        connection, _ = server.accept()
        while connection.recv(65536):
            pass
        connection.close()


{
    "connected": send,
    "counted": send,
    "segmented": send_segmented,
    "raw": send_raw,
    "tagged": send_tagged,
    "receive": receive,
    "streams": streams,
    "accept": accept,
}[mode]()
