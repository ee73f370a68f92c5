# SPDX-License-Identifier: GPL-2.0-or-later
"""repeat.py SEED MIB: writes a capture of MIB mebibytes to standard output: the packets of the pcap file SEED (nanoseconds, as
this machine writes it) again and again, each time later, so that time goes on.
"""
import struct
import sys

seed = open(sys.argv[1], "rb").read()
limit = int(sys.argv[2]) << 20
assert seed[:4] == struct.pack("=I", 0xA1B23C4D), "no nanosecond pcap of this machine"
body = bytearray(seed[24:])
places, times = [], []
at = 0
while at < len(body):
    second, _, captured, _ = struct.unpack_from("=IIII", body, at)
    places.append(at)
    times.append(second)
    at += 16 + captured
# Whole seconds, and one more, so that none comes before the last of the copy before.
step = times[-1] - times[0] + 1
put = struct.Struct("=I").pack_into
out = sys.stdout.buffer
out.write(seed[:24])
written = 0
while written < limit:
    out.write(body)
    written += len(body)
    for number, place in enumerate(places):
        times[number] += step
        put(body, place, times[number])
