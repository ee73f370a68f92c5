# SPDX-License-Identifier: GPL-2.0-or-later
"""mirrored_echoes.py DEVICE COUNT GAP_MS: what a mirror port shows of two others: COUNT echo requests and their replies, all
sent out of the device, each GAP_MS behind the one before (runs as root).
"""
import socket
import struct
import sys
import time

device, count, gap = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1000
port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
port.bind((device, 0))
ethernet = bytes.fromhex("525400770002") + bytes.fromhex("020000000009") + struct.pack("!H", 0x0800)
stations = [socket.inet_aton("198.18.0.1"), socket.inet_aton("198.18.0.2")]
for number in range(count):
    for kind, source, destination in ((8, *stations), (0, *reversed(stations))):
        echo = struct.pack("!BBHHH", kind, 0, 0, 77, number) + b"mirrored by a switch"
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(echo), number, 0, 64, 1, 0) + source + destination
        port.send(ethernet + header + echo)
        time.sleep(gap)
