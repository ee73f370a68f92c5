# SPDX-License-Identifier: GPL-2.0-or-later
"""tun_echoes.py DEVICE FROM TO COUNT: plays the far end of a tun device. Sends COUNT ICMP echo requests, and waits for the
answer to each.
"""
import fcntl
import os
import select
import socket
import struct
import sys
import time

IFF_TUN, IFF_NO_PI, TUNSETIFF = 1, 0x1000, 0x400454CA


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def echo(source, target, number):
    message = struct.pack("!BBHHH", 8, 0, 0, 4711, number) + b"latprobe"
    message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(message), number, 0, 64, 1, 0) + source + target
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + message


device, source, target, count = sys.argv[1], *map(socket.inet_aton, sys.argv[2:4]), int(sys.argv[4])
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
# What leaves a device is dropped until the kernel has taken note of its carrier, which may be a second after the ioctl.
for _ in range(500):
    with open("/sys/class/net/%s/operstate" % device) as state:
        if state.read().strip() == "up":
            break
    time.sleep(0.01)
else:
    sys.exit("%s does not come up" % device)
time.sleep(0.05)
for number in range(1, count + 1):
    os.write(tun, echo(source, target, number))
    while True:
        if not select.select([tun], [], [], 5)[0]:
            sys.exit("no answer to request %d" % number)
        packet = os.read(tun, 2048)
        if packet[0] == 0x45 and packet[9] == 1 and packet[12:16] == target:
            break
