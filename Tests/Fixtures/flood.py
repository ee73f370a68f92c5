# SPDX-License-Identifier: GPL-2.0-or-later
"""flood.py ADDRESS PORT RATE SECONDS: UDP datagrams that make frames of 64 bytes on the wire, RATE a second on an absolute
schedule, by sendmmsg in bursts of 50. Prints how many it sent, and how many a second.
"""
import ctypes
import os
import socket
import sys
import time


class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("length", ctypes.c_size_t)]


class Message(ctypes.Structure):  # struct mmsghdr
    _fields_ = [("name", ctypes.c_void_p), ("name_length", ctypes.c_uint), ("vectors", ctypes.POINTER(Vector)),
                ("vector_count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
                ("flags", ctypes.c_int), ("sent", ctypes.c_uint)]


BURST = 50
address, port, rate, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
libc = ctypes.CDLL(None, use_errno=True)
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
client.connect((address, port))
# With Ethernet, IP and UDP headers and the frame check sequence 64 bytes.
vector = Vector(b"latprobe flood 64.", 18)
messages = (Message * BURST)(*[Message(vectors=ctypes.pointer(vector), vector_count=1) for _ in range(BURST)])
send, descriptor = libc.sendmmsg, client.fileno()

begin = time.monotonic()
end = begin + seconds
sent = 0
while True:
    now = time.monotonic()
    if now >= end:
        break
    due = begin + sent / rate
    if now < due:
        time.sleep(due - now)
    count = send(descriptor, messages, BURST, 0)
    if count < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    sent += count
print("sent", sent, "rate", round(sent / (time.monotonic() - begin)))
