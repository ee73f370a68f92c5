# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients and servers whose traffic pairing is tested on: pairing_traffic.py ROLE ARGUMENTS."""
import http.client
import http.server
import socket
import struct
import sys
import time

SIP_CALL = "Via: SIP/2.0/UDP {via};branch=z9hG4bK{branch}\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>{to}\r\n" \
    "Call-ID: {call}\r\nCSeq: {number} {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"


def dns(server):
    """23 queries, each third one twice, and 7 over TCP on one connection, pipelined."""
    def query(number):
        name = b"".join(struct.pack("B", len(part)) + part for part in (b"host%d" % number, b"test")) + b"\0"
        return struct.pack(">HHHHHH", 1000 + number, 0x0100, 1, 0, 0, 0) + name + struct.pack(">HH", 1, 1)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(5)
        udp.connect((server, 53))
        for number in range(23):
            udp.send(query(number))
            if number % 3 == 0:
                udp.send(query(number))
                udp.recv(2048)
            udp.recv(2048)
    with socket.create_connection((server, 53)) as tcp:
        tcp.settimeout(5)
        tcp.sendall(b"".join(struct.pack(">H", len(query(n))) + query(n) for n in range(100, 107)))
        stream = tcp.makefile("rb")
        for _ in range(7):
            stream.read(struct.unpack(">H", stream.read(2))[0])


def web_server(address):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = b"x" * int(self.path[1:])
            self.send_response(200)
            if len(body) % 2:
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
            else:
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body if self.command == "GET" else b"")

        do_HEAD = do_GET

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments):
            pass

        wbufsize = -1

    server = http.server.ThreadingHTTPServer((address, 80), Handler)
    print("ready", flush=True)
    server.serve_forever()


def web(server):
    """On one connection: 11 GET, 5 HEAD, 7 POST."""
    connection = http.client.HTTPConnection(server, 80, timeout=5)
    for number in range(23):
        if number < 11:
            connection.request("GET", "/%d" % (number * 37))
        elif number < 16:
            connection.request("HEAD", "/%d" % (2 * number))
        else:
            connection.request("POST", "/", body=b"y" * (number * 100))
        connection.getresponse().read()
    connection.close()


def answered(sock, request, done):
    sock.sendall(request)
    data = b""
    while not done(data):
        part = sock.recv(65536)
        assert part, data
        data += part
    return data


def memcached(server):
    """Text 97 sets and gets in turn, meta and pipelined commands; binary; datagrams."""
    with socket.create_connection((server, 11211)) as text:
        for number in range(97):
            value = b"v" * 1024
            if number % 2 == 0:
                answered(text, b"set key%d 0 0 1024\r\n%s\r\n" % (number, value), lambda d: d == b"STORED\r\n")
            else:
                answered(text, b"get key%d\r\n" % (number - 1), lambda d: d.endswith(b"END\r\n"))
        answered(text, b"mg key0 v q O1\r\nmg none v q O2\r\nmn\r\n", lambda d: d.endswith(b"MN\r\n"))
        answered(text, b"get key0\r\nget none\r\ndelete key0\r\n", lambda d: d.endswith(b"DELETED\r\n"))
    with socket.create_connection((server, 11211)) as binary:
        def command(opcode, opaque, key, extras=b"", value=b""):
            body = extras + key + value
            return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, len(body), opaque, 0) + body

        answered(binary, command(0x01, 1, b"k", b"\0" * 8, b"value"), lambda d: len(d) == 24)
        # Two quiet gets, one of which hits, and a noop.
        answered(binary, command(0x09, 2, b"no") + command(0x09, 3, b"k") + command(0x0A, 4, b""),
                 lambda d: len(d) == 24 + 4 + 5 + 24)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(5)
        udp.connect((server, 11211))
        for number in range(13):
            udp.send(struct.pack(">HHHH", number, 0, 1, 0) + b"get key%d\r\n" % (2 * number))
            total = 1
            while total > 0:
                datagram = udp.recv(65536)
                total = (struct.unpack(">H", datagram[4:6])[0] if datagram[2:4] == b"\0\0" else total) - 1


def redis(server):
    """97 commands in turn, 5 at once."""
    with socket.create_connection((server, 6379)) as sock:
        def words(*parts):
            return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)

        for number in range(97):
            if number % 2 == 0:
                answered(sock, words(b"SET", b"k%d" % number, b"v" * 1024), lambda d: d == b"+OK\r\n")
            else:
                answered(sock, words(b"GET", b"k%d" % (number - 1)), lambda d: len(d) == 1024 + 9)
        answered(sock, b"".join(words(b"PING") for _ in range(5)), lambda d: d == b"+PONG\r\n" * 5)


def sip_message(start, to=";tag=2", **fields):
    return (start + "\r\n" + SIP_CALL.format(to=to, **fields)).encode()


def sip_fields(data):
    lines = data.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    number, method = headers["CSeq"].split()
    return lines[0], {"call": headers["Call-ID"], "number": number, "method": method}


def sip_proxy(address, callee):
    """Sends requests on to the callee and answers back to the caller, after some milliseconds."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 5060))
    print("ready", flush=True)
    callers = {}
    while True:
        data, source = sock.recvfrom(4096)
        start, fields = sip_fields(data)
        time.sleep(0.002)
        if start.startswith("SIP/2.0"):
            sock.sendto(data, callers[fields["call"]])
            continue
        seen = fields["call"] in callers
        callers[fields["call"]] = source
        if fields["method"] == "INVITE":
            sock.sendto(sip_message("SIP/2.0 100 Trying", via=source[0], branch=1, **fields), source)
            if seen:
                continue
        sock.sendto(sip_message(start, via=address, branch=2, **fields), (callee, 5060))


def sip_callee(address):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 5060))
    print("ready", flush=True)
    while True:
        data, source = sock.recvfrom(4096)
        _, fields = sip_fields(data)
        if fields["method"] == "INVITE":
            sock.sendto(sip_message("SIP/2.0 180 Ringing", via=source[0], branch=2, **fields), source)
            time.sleep(0.013)
        if fields["method"] != "ACK":
            sock.sendto(sip_message("SIP/2.0 200 OK", via=source[0], branch=2, **fields), source)


def sip_caller(address, proxy):
    """7 calls; each third one sends its INVITE twice."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 5060))
    sock.settimeout(5)

    def send(call, number, method):
        sock.sendto(sip_message(method + " sip:b@x SIP/2.0", to="", via=address, branch=1, call=call, number=number,
                                method=method), (proxy, 5060))

    def expect(number):
        while True:
            start, fields = sip_fields(sock.recv(4096))
            if start.startswith("SIP/2.0 200") and fields["number"] == str(number):
                return

    for call in range(7):
        name = "call%d@%s" % (call, address)
        send(name, 1, "INVITE")
        if call % 3 == 0:
            send(name, 1, "INVITE")
        expect(1)
        send(name, 1, "ACK")
        time.sleep(0.005)
        send(name, 2, "BYE")
        expect(2)


if __name__ == "__main__":
    roles = {"dns": dns, "web-server": web_server, "web": web, "memcached": memcached, "redis": redis,
             "sip-proxy": sip_proxy, "sip-callee": sip_callee, "sip-caller": sip_caller}
    roles[sys.argv[1]](*sys.argv[2:])
