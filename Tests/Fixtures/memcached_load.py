# SPDX-License-Identifier: GPL-2.0-or-later
"""memcached_load.py SERVER COUNT: asks memcached one thing after another, at random times about 1 ms apart: 9 gets to 1 set,
keys of 64 bytes, values of 1024. Prints for each request what it was, and by CLOCK_REALTIME, in nanoseconds, when the client
began to send it and when it had read the whole answer.
"""
import random
import socket
import sys
import time

KEYS = [(b"key%d-" % number).ljust(64, b"k") for number in range(23)]
VALUE = b"v" * 1024

server, count = sys.argv[1], int(sys.argv[2])
random.seed(23)
log = []


def ask(sock, name, request, end):
    begin = time.time_ns()
    sock.sendall(request)
    answer = sock.recv(65536)
    while not answer.endswith(end):
        answer += sock.recv(65536)
    log.append((name, begin, time.time_ns()))
    return answer


with socket.create_connection((server, 11211)) as sock:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for key in KEYS:
        assert ask(sock, "set", b"set %s 0 0 1024\r\n%s\r\n" % (key, VALUE), b"\r\n") == b"STORED\r\n"
    while len(log) < count:
        time.sleep(random.expovariate(1000))
        key = random.choice(KEYS)
        if random.random() < 0.1:
            assert ask(sock, "set", b"set %s 0 0 1024\r\n%s\r\n" % (key, VALUE), b"\r\n") == b"STORED\r\n"
        else:
            assert VALUE in ask(sock, "get", b"get %s\r\n" % key, b"END\r\n")
for entry in log:
    print(*entry)
