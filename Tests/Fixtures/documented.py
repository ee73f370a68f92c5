# SPDX-License-Identifier: GPL-2.0-or-later
"""Traffic and captures for the commands that the documentation shows.

documented.py captures FILE...   UDP exchanges of DNS and memcached, the same in each file, 50 us later in the next
documented.py serve ADDRESS      answers DNS queries and echoes port 5001, until it is ended
documented.py ask ADDRESS        asks them 200 times a second, until it is ended
"""

import select
import socket
import struct
import sys
import time


def query(number):
    return struct.pack(">HHHHHH", number & 0xFFFF, 0x0100, 1, 0, 0, 0) + b"\x04test\0\0\x01\0\x01"


def answer(request):
    record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\x01\x02\x03"
    return request[:2] + b"\x81\x80\0\x01\0\x01\0\0\0\0" + request[12:] + record


def frame(source, target, sport, dport, number, payload):
    udp = struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), number & 0xFFFF, 0, 64, 17, 0)
    return b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\0" + head + bytes(source) + bytes(target) + udp


def capture(path, shift):
    client, server = (10, 0, 0, 1), (10, 0, 0, 2)
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1))

        def put(nanoseconds, data):
            file.write(struct.pack("<IIII", 1_700_000_000 + nanoseconds // 10**9, nanoseconds % 10**9, len(data), len(data)))
            file.write(data)

        for n in range(499):
            start = shift + n * 3_000_000
            header = struct.pack(">HHHH", n, 0, 1, 0)
            put(start, frame(client, server, 40001, 53, 4 * n, query(n)))
            put(start + 90_000, frame(server, client, 53, 40001, 4 * n + 1, answer(query(n))))
            put(start + 1_000_000, frame(client, server, 40002, 11211, 4 * n + 2, header + b"get key\r\n"))
            reply = header + b"VALUE key 0 1\r\nx\r\nEND\r\n"
            put(start + 1_070_000, frame(server, client, 11211, 40002, 4 * n + 3, reply))


def serve(address):
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    sockets[0].bind((address, 53))
    sockets[1].bind((address, 5001))
    print("ready", flush=True)
    while True:
        for ready in select.select(sockets, [], [])[0]:
            data, peer = ready.recvfrom(2048)
            ready.sendto(answer(data) if ready is sockets[0] else data, peer)


def ask(address):
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    number = 0
    while True:
        for sock, port in zip(sockets, (53, 5001)):
            sock.sendto(query(number), (address, port))
            sock.settimeout(0.2)
            try:
                sock.recv(2048)
            except TimeoutError:
                pass
        number += 1
        time.sleep(0.005)


if __name__ == "__main__":
    if sys.argv[1] == "captures":
        for index, name in enumerate(sys.argv[2:]):
            capture(name, index * 50_000)
    else:
        {"serve": serve, "ask": ask}[sys.argv[1]](sys.argv[2])
