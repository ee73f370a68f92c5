#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Round trips of sockperf (--full-rtt) and of latprobe send on one veth path, in turn: medians of each run, and their medians.
# Usage: run.sh [ROUNDS [SECONDS]]; 7 of 2 s. Root, for namespaces of its own. Needs sockperf. LATPROBE: the program.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/../.."

if [ "$(id -u)" != 0 ]; then
  echo "roundtrip: sudo, since making network namespaces needs root" >&2
  exec sudo -- env LATPROBE="${LATPROBE:-}" "$self" "$@"
fi
rounds=${1:-7}
seconds=${2:-2}
latprobe=$(realpath "${LATPROBE:-.build/release/latprobe}")
name=roundtrip
. benchmarks/namespaces.sh
"$latprobe" reflect --netns "$b" 2>"$folder/reflect" &
ip netns exec "$b" sockperf server --ip 198.18.0.2 --port 11111 >"$folder/server" 2>&1 &
await_port 862
await_port 11111

for ((round = 1; round <= rounds; round++)); do
  ip netns exec "$a" sockperf ping-pong --ip 198.18.0.2 --port 11111 --full-rtt --mps 200 --time "$seconds" --msg-size 44 \
    >"$folder/sockperf" 2>&1 || { cat "$folder/sockperf" >&2; exit 1; }
  "$latprobe" send 198.18.0.2 --netns "$a" --rate 200 --duration "${seconds}s" --fifo 50 --timestamps user \
    -o "$folder/sent" --force 2>"$folder/said" || { cat "$folder/said" >&2; exit 1; }
  theirs=$(sed -nE 's/.*percentile 50\.000 = *([0-9.]+).*/\1/p' "$folder/sockperf")
  ours=$("$latprobe" report "$folder/sent" --json 2>/dev/null |
    python3 -c 'import json, sys; print(next(s for s in json.load(sys.stdin)["segments"] if s["name"] == "round-trip")["p50_ns"] / 1000)')
  echo "$theirs $ours" | tee -a "$folder/medians" | awk '{ printf "sockperf %7.1f us, latprobe %7.1f us\n", $1, $2 }'
done
middle() { cut -d' ' -f"$1" "$folder/medians" | sort -n | sed -n "$(((rounds + 1) / 2))p"; }
echo "$(middle 1) $(middle 2)" |
  awk '{ printf "medians  %7.1f us,          %7.1f us, ratio %.2f\n", $1, $2, $2 / $1 }'
