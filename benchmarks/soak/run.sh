#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `latprobe send` and `latprobe reflect` for a long time on a veth pair, at half the rate that `latprobe rfc2544` finds there:
# neither may grow, and each packet that was not answered has to be in a counter.
# Usage: run.sh [SECONDS]; 600 unless given, 20 at least. Root, for namespaces of its own.
# LATPROBE: the program. RATE: packets a second, instead of half of what rfc2544 finds. FOLDER: for recordings (2 GiB), /var/tmp.
# Exits with 0, or with 2 where it grew or packets are missing that nobody counted.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/../.."

if [ "$(id -u)" != 0 ]; then
  echo "soak: sudo, since making network namespaces needs root" >&2
  exec sudo -- env LATPROBE="${LATPROBE:-}" RATE="${RATE:-}" FOLDER="${FOLDER:-}" "$self" "$@"
fi
seconds=${1:-600}
[[ $seconds =~ ^[0-9]+$ ]] && [ "$seconds" -ge 20 ] || { echo "soak: SECONDS is a number from 20, not '$seconds'" >&2; exit 64; }
latprobe=$(realpath "${LATPROBE:-.build/release/latprobe}")
name=soak
parent=${FOLDER:-/var/tmp}
. benchmarks/namespaces.sh

reflect() {
  "$latprobe" reflect --netns "$b" --rate-limit 1000000 2>"$folder/reflect" &
  reflector=$!
  await_port 862
}

reflect
rate=${RATE:-}
if [ -z "$rate" ]; then
  "$latprobe" rfc2544 198.18.0.2 --netns "$a" --sizes 90 --measure throughput --search-trial 500ms --trial 2s --repeat 1 \
    --resolution 5 --wait 500ms --pause 100ms -o "$folder/rfc2544" >"$folder/table" 2>&1 ||
    { cat "$folder/table" >&2; exit 1; }
  rate=$(awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "throughput_pps") column = i }
    NR == 2 && $column > 0 { printf "%d", $column / 2 }' "$folder/rfc2544/throughput.csv")
  [ -n "$rate" ] || { echo "soak: rfc2544 found no rate; give one: RATE=1000" >&2; cat "$folder/table" >&2; exit 1; }
fi
kill -INT "$reflector"
wait "$reflector"
reflect
echo "soak: $seconds s at $rate packets/s, load $(cut -d' ' -f1-3 /proc/loadavg)"
python3 benchmarks/soak/counters.py "$a" "$b" >"$folder/before"
"$latprobe" send 198.18.0.2 --netns "$a" --rate "$rate" --duration "${seconds}s" --timestamps kernel --max-size 1G \
  -o "$folder/sent" 2>"$folder/said" &
sender=$!
python3 benchmarks/soak/memory.py "$sender" "$reflector" "$seconds" >"$folder/memory" || true
wait "$sender" || { cat "$folder/said" >&2; exit 1; }
kill -INT "$reflector"
wait "$reflector"
python3 benchmarks/soak/counters.py "$a" "$b" >"$folder/after"
sed -n '/answered/,$p' "$folder/said"
python3 benchmarks/soak/verdict.py "$folder"
