#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Small packets on a veth pair: what latprobe tap, tcpdump and dumpcap see, lose and take of a CPU, one after the other.
# Usage: run.sh [RATE [SECONDS [ROUNDS]]]; needs root for namespaces of its own.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/../.."

if [ "$(id -u)" != 0 ]; then
  echo "tap: sudo, since making network namespaces and packet sockets needs root" >&2
  exec sudo -- "$self" "$@"
fi
rate=${1:-200000}
seconds=${2:-10}
rounds=${3:-3}
latprobe=$(realpath "${LATPROBE:-.build/release/latprobe}")
name=tap
. benchmarks/namespaces.sh
# Nobody has this address: the other end drops each frame as meant for another host.
ip -n "$a" neigh replace 198.18.0.2 lladdr 02:00:00:00:00:99 dev f0 nud permanent

received() { ip -n "$b" -s -j link show f1 | sed -E 's/.*"rx":\{"bytes":[0-9]+,"packets":([0-9]+).*/\1/'; }

# Runs one reader during a flood; its standard error is in $folder/said.
flood() { # NAME COMMAND…
  local name=$1 before sent drops
  shift
  before=$(received)
  ip netns exec "$b" python3 benchmarks/measure.py "$folder/taken" "$@" >"$folder/said" 2>&1 &
  local reader=$!
  sleep 1
  sent=$(ip netns exec "$a" python3 Tests/Fixtures/flood.py 198.18.0.2 5001 "$rate" "$seconds")
  sleep 2
  kill -INT "$reader"
  wait "$reader" || { cat "$folder/said" >&2; exit 1; }
  drops=$(eval "$drops_of" <"$folder/said")
  awk -v name="$name" -v passed=$(($(received) - before)) -v sent="$sent" -v drops="$drops" \
    '{ split(sent, words, " ")
       printf "%-9s %9d packets at %6d/s, dropped %d (%.3f %%), %.2f us of CPU a packet, %.0f MiB\n", name, passed,
         words[4], drops, 100 * drops / passed, 1e6 * $2 / (passed - drops), $3 / 1024 }' "$folder/taken"
}

for ((round = 0; round < rounds; round++)); do
  drops_of="sed -nE 's/.*, dropped ([0-9]+),.*/\1/p'"
  rm -rf "$folder/recording"
  flood latprobe "$latprobe" tap wire-in=f1 -o "$folder/recording"
  drops_of="sed -nE 's/^([0-9]+) packets dropped by kernel.*/\1/p'"
  flood tcpdump tcpdump -i f1 -w /dev/null -s 384 -B 65536 --time-stamp-precision=nano
  drops_of="sed -nE 's,^Packets received/dropped on interface .*: [0-9]+/([0-9]+) .*,\1,p'"
  flood dumpcap dumpcap -q -i f1 -w /dev/null -s 384 -B 64
done
