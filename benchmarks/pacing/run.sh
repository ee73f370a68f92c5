#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# How well senders keep a schedule of 1 ms: latprobe, irtt and sockperf, one after the other on the same veth pair, seen by
# one capture on the sending device. Then the highest rate at which 99 % of latprobe's packets leave within 1 us.
# Usage: run.sh [SECONDS]; each sender runs for so long (60). Root, for namespaces of its own and SCHED_FIFO.
# Needs irtt, sockperf and tcpdump (apt-get install irtt sockperf tcpdump). LATPROBE: the program.
# CPU: the CPU that latprobe's sending thread stays on; none, if unset. SEARCH=0 leaves the search for the rate out.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/../.."

if [ "$(id -u)" != 0 ]; then
  echo "pacing: sudo, since making network namespaces and SCHED_FIFO need root" >&2
  exec sudo -- env LATPROBE="${LATPROBE:-}" CPU="${CPU:-}" SEARCH="${SEARCH:-}" "$self" "$@"
fi
seconds=${1:-60}
for program in irtt sockperf tcpdump; do
  command -v "$program" >/dev/null || { echo "pacing: $program is missing: apt-get install $program" >&2; exit 1; }
done
latprobe=$(realpath "${LATPROBE:-.build/release/latprobe}")
name=pacing
. benchmarks/namespaces.sh
# Nobody has this address: the other end drops each frame as meant for another host.
ip -n "$a" neigh add 198.18.0.9 lladdr 02:00:00:00:00:99 dev f0 nud permanent

start() { ip netns exec "$b" "$@" >"$folder/server-$(basename "$1")" 2>&1 & }
start "$latprobe" reflect
start irtt server -i 0
start sockperf server --ip 198.18.0.2 --port 11111
await_port 862
await_port 2112
await_port 11111

# Runs a sender while its packets are captured: PORT COMMAND…; what was taken of the CPU is in $folder/taken.
observe() {
  local port=$1 dump
  shift
  rm -rf "$folder/sent"
  ip netns exec "$a" tcpdump -i f0 -w "$folder/capture" --time-stamp-precision=nano -s 64 -B 65536 -Z root \
    "udp and src host 198.18.0.1 and dst port $port" 2>"$folder/tcpdump" &
  dump=$!
  until grep -q 'listening on' "$folder/tcpdump"; do sleep 0.1; done
  ip netns exec "$a" python3 benchmarks/measure.py "$folder/taken" "$@" >"$folder/out" 2>"$folder/said" ||
    { cat "$folder/out" "$folder/said" >&2; exit 1; }
  sleep 1.5
  kill -INT "$dump"
  wait "$dump" || { cat "$folder/tcpdump" >&2; exit 1; }
  grep -q '^0 packets dropped by kernel' "$folder/tcpdump" ||
    { echo "pacing: the capture is not whole" >&2; cat "$folder/tcpdump" >&2; exit 1; }
}

row() { # NAME PORT COMMAND…
  local name=$1 port=$2
  shift 2
  observe "$port" "$@"
  python3 benchmarks/pacing/observe.py "$folder/capture" 1000 >"$folder/result"
  python3 benchmarks/pacing/row.py "$name" "$folder/result" "$folder/taken"
}

own() { # NAME: latprobe's own figures of the run before
  "$latprobe" report "$folder/sent" --json >"$folder/report" 2>/dev/null
  python3 benchmarks/pacing/row.py --own "$1" "$folder/report" "$folder/sent"
}

tuning=(--fifo 50)
if [ -n "${CPU:-}" ]; then tuning+=(--cpu "$CPU"); fi
echo "load $(cut -d' ' -f1-3 /proc/loadavg), $(nproc) CPUs, Linux $(uname -r), clock $(cat \
  /sys/devices/system/clocksource/clocksource0/current_clocksource); $seconds s each at 1000 packets/s"
python3 benchmarks/pacing/row.py --header
row 'latprobe, SCHED_FIFO' 862 "$latprobe" send 198.18.0.2 --rate 1000 --duration "${seconds}s" -o "$folder/sent" \
  "${tuning[@]}"
own '  its own figures'
row 'latprobe' 862 "$latprobe" send 198.18.0.2 --rate 1000 --duration "${seconds}s" -o "$folder/sent"
own '  its own figures'
row 'irtt' 2112 irtt client -q -i 1ms -d "${seconds}s" 198.18.0.2
row 'irtt, busy' 2112 irtt client -q -i 1ms -d "${seconds}s" --timer=busy 198.18.0.2
row 'sockperf' 11111 sockperf under-load --ip 198.18.0.2 --port 11111 --time "$seconds" --mps 1000 --reply-every 1 \
  --msg-size 44

if [ "${SEARCH:-1}" = 0 ]; then exit; fi
# The smallest packet that it sends. Nobody answers here.
size=18
"$latprobe" send 127.0.0.1:9 --size "$size" --count 1 -o "$folder/sent" 2>/dev/null || size=44
rm -rf "$folder/sent"
frame=$((size + 46))
echo "share of packets that leave within 1 us of their schedule, frames of $frame bytes:"
try() { # RATE; true if it holds
  local span=2
  observe 862 "$latprobe" send 198.18.0.9 --rate "$1" --size "$size" --duration "$((span + 1))s" -o "$folder/sent" \
    "${tuning[@]}"
  python3 benchmarks/pacing/observe.py "$folder/capture" "$1" numbered >"$folder/result"
  python3 benchmarks/pacing/row.py --share "$1" "$folder/result" "$folder/taken"
}
best=0
failed=0
for rate in 1000 2000 5000 10000 20000 50000 100000 200000 500000; do
  if try "$rate"; then best=$rate; elif [ "$best" != 0 ] && [ "$failed" = 0 ]; then failed=$rate; fi
  if [ "$best" -gt "$failed" ]; then failed=0; fi
done
# Between the highest that held and the next that did not.
while [ "$best" != 0 ] && [ "$failed" != 0 ] && [ $((failed * 100)) -gt $((best * 110)) ]; do
  middle=$(((best + failed) / 2))
  if try "$middle"; then best=$middle; else failed=$middle; fi
done
echo "99 % within 1 us: up to $best packets/s at $frame bytes"
echo "by its own figures, without a capture:"
for rate in 1000 10000 20000 50000 100000; do
  rm -rf "$folder/sent"
  "$latprobe" send 198.18.0.9 --netns "$a" --rate "$rate" --size "$size" --duration 2s --timestamps user \
    -o "$folder/sent" "${tuning[@]}" 2>"$folder/said"
  "$latprobe" report "$folder/sent" --delays -o "$folder/figures" --force >/dev/null 2>&1
  awk -F, -v rate="$rate" 'NR > 1 && $2 == "pacing" { count++; near += $5 <= 1000 }
    END { printf "  %7d/s  %6.2f %%, %d packets\n", rate, 100 * near / count, count }' "$folder/figures/delays.csv"
done
