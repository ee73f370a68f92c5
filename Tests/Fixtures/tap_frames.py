# SPDX-License-Identifier: GPL-2.0-or-later
"""What QEMU does with a tap, for a guest that broadcasts.

tap_frames.py TAP COUNT   writes COUNT UDP datagrams (port 5001, whole frames) to the tap, 2 ms apart (runs as root)
"""

import fcntl
import os
import struct
import sys
import time

name, count = sys.argv[1], int(sys.argv[2])
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 2, 0x1000
tap = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
time.sleep(0.5)  # the bridge puts the port into forwarding


def checksum(header):
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


for number in range(count):
    payload = b"%08d" % number
    udp = struct.pack("!HHHH", 40_000, 5001, 8 + len(payload), 0) + payload
    header = struct.pack("!BBHHHBBH4B4B", 0x45, 0, 20 + len(udp), number, 0, 64, 17, 0, 10, 77, 0, 9, 10, 77, 0, 255)
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    os.write(tap, b"\xff" * 6 + b"\x02\x00\x00\x00\x00\x09\x08\x00" + header + udp)
    time.sleep(0.002)
