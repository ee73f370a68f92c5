#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the fuzzer's seeds (fuzz/seeds/TARGET/NAME): small inputs that are right, from which it starts.

Run in the checkout, after a target or a format has changed. What the fuzzer has found lies there too, as found-*, and is
left alone."""
import gzip
import pathlib
import struct

ROOT = pathlib.Path(__file__).resolve().parent
SEEDS = ROOT / "seeds"
FIXTURES = ROOT.parent / "Tests/Fixtures"
SERVER, TCP, SYN, FIN, RST, GAP, CUT, AGAIN = (1 << n for n in range(8))


def seed(target, name, content):
    folder = SEEDS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def say(*packets):
    """What Conversation.swift reads: (marks, payload) for each packet."""
    return b"".join(bytes([marks, len(payload)]) + payload for marks, payload in packets)


def stream(*sides):
    """A TCP connection: handshake, then payloads by turns, the client first."""
    turns = [(TCP | (SERVER if n % 2 else 0), text) for n, text in enumerate(sides)]
    return say((TCP | SYN, b""), (TCP | SYN | SERVER, b""), *turns, (TCP | FIN, b""), (TCP | FIN | SERVER, b""))


def dns(flags, answers=0):
    name = b"\x07example\x03org\x00"
    answer = name + struct.pack(">HHIH", 1, 1, 60, 4) + b"\x0a\x00\x00\x01"
    return struct.pack(">HHHHHH", 0x1234, flags, 1, answers, 0, 0) + name + struct.pack(">HH", 1, 1) + answer * answers


def framed(message):
    return struct.pack(">H", len(message)) + message


def sip(first, method="INVITE"):
    lines = [first, "Via: SIP/2.0/UDP a.example;branch=z9hG4bK1", "From: <sip:a@example.org>;tag=1",
             "To: <sip:b@example.org>", "Call-ID: 1@a", f"CSeq: 1 {method}", "Content-Length: 0", "", ""]
    return "\r\n".join(lines).encode()


def memcached(opcode, magic=0x80, key=b"k", value=b""):
    return struct.pack(">BBHBBHIIQ", magic, opcode, len(key), 0, 0, 0, len(key) + len(value), 7, 0) + key + value


def raw(payload, number=17, ports=(40000, 53)):
    transport = struct.pack(">HHHH", *ports, 8 + len(payload), 0) + payload if number == 17 else payload
    return struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(transport), 1, 0x4000, 64, number, 0, 0x0a000001,
                       0x0a000002) + transport


def ethernet(packet, tags=b""):
    return b"\x02" * 6 + b"\x04" * 6 + tags + b"\x08\x00" + packet


def pcap(packets, link=1, magic=0xA1B23C4D):
    out = struct.pack("<IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    for n, packet in enumerate(packets):
        out += struct.pack("<IIII", 1, n * 1000, len(packet), len(packet)) + packet
    return out


def pcapng(packets, link=1):
    def block(kind, body):
        body += b"\0" * (-len(body) % 4)
        return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)
    out = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    out += block(1, struct.pack("<HHI", link, 0, 65535) + struct.pack("<HHB3x", 9, 1, 9) + struct.pack("<HH", 0, 0))
    for n, packet in enumerate(packets):
        padded = packet + b"\0" * (-len(packet) % 4)
        out += block(6, struct.pack("<IIIII", 0, 0, 1000 + n, len(packet), len(packet)) + padded
                     + struct.pack("<HHQHH", 4, 8, 1, 0, 0))
    return out + block(5, struct.pack("<III", 0, 0, 2000) + struct.pack("<HHQHH", 5, 8, 3, 0, 0))


def erf(packets):
    out = b""
    for n, packet in enumerate(packets):
        body = b"\0\0" + packet
        out += struct.pack("<Q", n << 20) + struct.pack(">BBHHH", 2, 4, 16 + len(body), 0, len(packet)) + body
    return out


QUERY, ANSWER = dns(0x0100), dns(0x8180, 1)
PACKETS = [ethernet(raw(QUERY)), ethernet(raw(ANSWER, ports=(53, 40000)), b"\x81\x00\x00\x05")]

seed("capture", "pcap", pcap(PACKETS))
seed("capture", "pcapng", pcapng(PACKETS))
seed("capture", "erf", erf(PACKETS))
seed("capture", "pcap-gzip", gzip.compress(pcap(PACKETS), mtime=0))
seed("pair-file", "pcap", pcap(PACKETS))
seed("pair-file", "pcapng-raw", pcapng([packet[14:] for packet in PACKETS[:1]], 101))
for link, head in enumerate([struct.pack("<I", 2), b"\x02" * 12 + b"\x08\x00", b"", b"", struct.pack(">I", 2),
                             b"\0" * 14 + b"\x08\x00"]):
    seed("packet", f"link-{link}", bytes([link]) + head + raw(QUERY))

seed("pair-dns", "udp", say((0, QUERY), (SERVER, ANSWER), (SERVER, ANSWER)))
seed("pair-dns", "tcp", stream(framed(QUERY), framed(ANSWER)))
echo = struct.pack(">BBHHH", 8, 0, 0, 7, 1) + b"0123456789abcdef"
seed("pair-icmp", "echo", say((0, echo), (SERVER, b"\0" + echo[1:])))
seed("pair-memcached", "text", stream(b"set k 0 0 1\r\nv\r\n", b"STORED\r\n", b"get k\r\n", b"VALUE k 0 1\r\nv\r\nEND\r\n"))
seed("pair-memcached", "binary", stream(memcached(0), memcached(0, 0x81, b"", b"v"), memcached(9), memcached(9, 0x81)))
seed("pair-memcached", "udp", say((0, struct.pack(">HHHH", 1, 0, 1, 0) + b"get k\r\n"),
                                  (SERVER, struct.pack(">HHHH", 1, 0, 1, 0) + b"END\r\n")))
seed("pair-redis", "strings", stream(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", b"$1\r\nv\r\n", b"PING\r\n", b"+PONG\r\n"))
seed("pair-redis", "nested", stream(b"*1\r\n$4\r\nEXEC\r\n", b"*2\r\n*1\r\n:1\r\n%1\r\n+a\r\n,1.5\r\n"))
seed("pair-http", "length", stream(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
seed("pair-http", "chunked", stream(b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
                                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"))
seed("pair-http", "upgrade", stream(b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
                                    b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n"))
for target in ["pair-sip", "pair-sip-forward"]:
    seed(target, "udp", say((0, sip("INVITE sip:b@example.org SIP/2.0")), (SERVER, sip("SIP/2.0 180 Ringing")),
                            (SERVER, sip("SIP/2.0 200 OK"))))
    seed(target, "tcp", stream(sip("BYE sip:b@example.org SIP/2.0", "BYE"), sip("SIP/2.0 200 OK", "BYE")))
question = struct.pack(">IQHH", 1, 0xE0000000 << 32, 0x8001, 0) + b"\0" * 28
reply = struct.pack(">IQHHQIQHHB3x", 1, 0xE0000001 << 32, 0x8001, 0, 0xE0000001 << 32, 1, 0xE0000000 << 32, 0x8001, 0, 64)
seed("pair-stamp", "udp", say((0, question), (SERVER, reply)))
seed("pair-udp-echo", "udp", say((0, b"hello there, echo"), (SERVER, b"hello there, echo")))
for target in ["pair-tcp-handshake", "pair-tcp-ack"]:
    seed(target, "data", stream(b"question", b"answer"))
    seed(target, "gaps", say((TCP | SYN, b""), (TCP | SYN | SERVER, b""), (TCP, b"one"), (TCP | AGAIN, b"one"),
                             (TCP | GAP, b"two"), (TCP | SERVER | CUT, b"three"), (TCP | RST, b"")))

for name in ["0_0", "1_0", "3_0"]:
    content = (FIXTURES / f"recording-5/host-a/ctf/stream_{name}").read_bytes()
    seed("stream", f"stream_{name}", content)
    seed("repair", f"stream_{name}", content[:-1])
seed("machine", "recording-5", (FIXTURES / "recording-5/host-a/machine.json").read_bytes())
seed("machine", "recording-1", next(FIXTURES.glob("recording-1/*/machine.json")).read_bytes())
seed("session", "recording-5", (FIXTURES / "recording-5/session.json").read_bytes())
seed("metadata", "recording-5", (FIXTURES / "recording-5/host-a/ctf/metadata").read_bytes())

for path in sorted((ROOT.parent / "probes").glob("*.yaml")):
    seed("topology", path.stem, path.read_bytes())
seed("rule", "echo", "name: echo\ntransport: udp\nports: [7]\nkey: {offset: 0, length: 4}\n")
seed("policy", "all", "require: ['txg1-rxg0 p99 < 200us', '* loss < 0.1%']\nalpha: 0.05\nlimits: {lost: 0}\n")
seed("requirement", "quantile", "txg1-rxg0 p99.9 <= 1.5ms")
seed("requirement", "share", "tx/* loss < 0.1%")
seed("filter", "hosts", "udp port 53 and (host 10.0.0.1 or net 198.18.0.0/15) and not ip6")
seed("filter", "vlan", "tcp[tcpflags] & tcp-syn != 0 or vlan 5")
seed("line", "range", "198.18.0.1-198.18.0.9")
seed("line", "cpus", "0-3,5,7-8\n")
seed("line", "qemu", b"qemu-system-x86_64\0-name\0guest=web\0-netdev\0tap,id=n,ifname=tap0,vhost=on\0-smp\0" + b"2\0")
seed("message", "start", struct.pack("<IB3xQ", 0, 2, 0))
seed("message", "pong", struct.pack("<IB3xQ", 24, 18, 0) + struct.pack("<Qqq", 1, 2, -1))
for name, text in [("vsock", "vsock:3:9000"), ("tcp", "tcp://[::1]:9000"), ("serial", "serial:/dev/vport1p1")]:
    seed("endpoint", name, text)
seed("test-packet", "question", question)
seed("test-packet", "answer", reply)
seed("test-packet", "authenticated", bytes(112))
