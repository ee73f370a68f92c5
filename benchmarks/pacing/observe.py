# SPDX-License-Identifier: GPL-2.0-or-later
"""Packet times of a capture (pcap, nanoseconds) against an even schedule.

Usage: observe.py CAPTURE PACKETS_PER_SECOND [numbered]

The first second is left out.

The schedule is a line, time = phase + number * interval, fitted to the packets alone, so that it is the same for every
sender. The interval may be off by what the sender's clock is (rate_ppm). Its phase is that of the 1 % earliest packets for
overshoot (the lower envelope, but for a few that came too early), and for the share within 1 us the one with the most
packets within. With `numbered` that share goes by the packets' own numbers (of STAMP, in plain IPv4): where intervals are a
few microseconds any packet is close to some slot.

A slot is missed if no packet left between its time and the next slot's. Packets that were sent later to make up for
it are in another slot and do not count. Quantiles are of all slots; a missed one is later than any other.
Prints one line of JSON; times in ns.
"""
import bisect
import json
import math
import struct
import sys


def times(path):
    with open(path, "rb") as file:
        data = file.read()
    order, magic = "<", struct.unpack_from("<I", data)[0]
    if magic != 0xA1B23C4D:
        order, magic = ">", struct.unpack_from(">I", data)[0]
    if magic != 0xA1B23C4D:
        sys.exit(f"{path}: no pcap file with nanoseconds")
    found, offset, header = [], 24, struct.Struct(order + "IIII")
    while offset + 16 <= len(data):
        seconds, rest, length, _ = header.unpack_from(data, offset)
        number = struct.unpack_from(">I", data, offset + 16 + 42)[0] if length >= 46 else 0
        found.append((seconds * 1_000_000_000 + rest, number))
        offset += 16 + length
    return sorted(found)


def densest(ordered, window):
    """The most values that are within a window."""
    return max(bisect.bisect_right(ordered, value + window) - index for index, value in enumerate(ordered))


def fit(found, interval):
    """Least squares over the mean phases of windows of a second, which drift by less than half an interval each."""
    size = max(200, int(1e9 / interval))
    points, last = [], None
    for begin in range(0, len(found) - size // 2, size):
        window = found[begin : begin + size]
        angles = [2 * math.pi * (t % interval) / interval for t in window]
        angle = math.atan2(sum(map(math.sin, angles)), sum(map(math.cos, angles)))
        phase = angle / (2 * math.pi) * interval
        if last is not None:
            phase += round((last - phase) / interval) * interval
        last = phase
        points.append(((window[0] + window[-1]) / 2 / interval, phase))
    if len(points) < 4:
        return 0.0
    x, y = (sum(p[i] for p in points) / len(points) for i in (0, 1))
    return sum((p[0] - x) * (p[1] - y) for p in points) / sum((p[0] - x) ** 2 for p in points)


def quantile(ordered, p, count):
    """x of rank ceil(p n), of n values of which the largest are not there; None where it is one of those."""
    rank = max(1, math.ceil(p * count))
    return ordered[rank - 1] if rank <= len(ordered) else None


def main():
    path, rate = sys.argv[1], float(sys.argv[2])
    nominal = 1e9 / rate
    packets = times(path)
    packets = [(t - packets[0][0], number) for t, number in packets if t - packets[0][0] >= 1e9]
    found = [t for t, _ in packets]
    if len(found) < 100:
        sys.exit(f"{path}: {len(found)} packets are too few")
    # Below 10 s the clocks' difference in rate is not seen.
    drift = fit(found, nominal) if found[-1] - found[0] > 10e9 else 0.0
    interval = nominal + drift

    # Phases of all packets from the middle of the least full gap between them on.
    origin = found[0]
    phases = sorted((t - origin) % interval for t in found)
    gap, cut = max((b - a, b) for a, b in zip(phases, phases[1:] + [phases[0] + interval]))
    phases = sorted((p - cut) % interval for p in phases)
    early = phases[math.ceil(len(phases) / 100) - 1]
    start = origin + cut + early

    slots, extra = {}, 0
    for t in found:
        slot = math.floor((t - start) / interval)
        over = t - start - slot * interval
        # A slot's own packet, or the next slot's, which is one of the few that came too early.
        if over > 0.75 * interval and (slot in slots or over > interval - max(early, 1)):
            slot, over = slot + 1, 0
        if slot in slots:
            extra += 1
        else:
            slots[slot] = over
    count = max(slots) - min(slots) + 1
    overshoots = sorted(max(0, over) for over in slots.values())
    if sys.argv[3:] == ["numbered"]:
        numbers = [number for _, number in packets]
        share = densest(sorted(t - number * nominal for t, number in packets), 2000) / (max(numbers) - min(numbers) + 1)
    else:
        share = densest(phases, 2000) / max(count, len(found))
    result = {
        "packets": len(found),
        "slots": count,
        "missed": count - len(slots),
        "extra": extra,
        "rate_ppm": round(-drift / nominal * 1e6, 2),
        "within_1us": share,
    }
    for name, p in (("p50", 0.5), ("p99", 0.99), ("p99_9", 0.999)):
        value = quantile(overshoots, p, count)
        result[name] = None if value is None else round(value)
    result["max"] = round(overshoots[-1])
    print(json.dumps(result))


main()
