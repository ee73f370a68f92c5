#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Pairs DNS and echoes of a large capture with latprobe and with tshark: wall time, CPU time and memory of both.
# The capture is real traffic between two namespaces, repeated with later times up to the size asked for.
# Usage: run.sh [MIB [FOLDER]]; the capture (1024 MiB) is made in FOLDER (/tmp) and removed; root for the namespaces.
# TSHARK=0 leaves tshark out, whose memory grows with the capture.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/../.."

if [ "$(id -u)" != 0 ]; then
  echo "pair: sudo, since making network namespaces needs root" >&2
  exec sudo -- "$self" "$@"
fi
size=${1:-1024}
latprobe=$(realpath .build/release/latprobe)
name=pair
parent=${2:-/tmp}
. benchmarks/namespaces.sh
ip netns exec "$b" dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --address=/test/10.1.2.3 \
  --listen-address=198.18.0.2 --bind-interfaces --user=root --pid-file= 2>"$folder/dnsmasq" &
ip netns exec "$b" tcpdump -i f1 -w "$folder/seed" --time-stamp-precision=nano -s 0 -B 65536 -Z root \
  'udp port 53 or icmp' 2>"$folder/tcpdump" &
dump=$!
sleep 1
seq -f 'host%.0f.test A' 4999 >"$folder/names"
ip netns exec "$a" ping -q -i 0.002 -w 8 198.18.0.2 >/dev/null &
ip netns exec "$a" dnsperf -s 198.18.0.2 -d "$folder/names" -Q 5000 -l 8 -c 20 -T 1 >"$folder/dnsperf" 2>&1 ||
  { cat "$folder/dnsperf" >&2; exit 1; }
sleep 2
kill -INT "$dump"
wait "$dump" || { cat "$folder/tcpdump" >&2; exit 1; }
python3 benchmarks/pair/repeat.py "$folder/seed" "$size" >"$folder/capture"
# Both read it from the page cache, as far as that holds it.
cat "$folder/capture" >/dev/null

run() { # NAME COMMAND…
  local name=$1
  shift
  python3 benchmarks/measure.py "$folder/taken" "$@" >"$folder/out" 2>"$folder/said" ||
    { cat "$folder/said" >&2; exit 1; }
  awk -v name="$name" -v size="$size" '{
    printf "%-9s %8.1f s wall, %8.1f s CPU, %6.1f MiB/s, %8.0f MiB at the peak\n", name, $1, $2, size / $1, $3 / 1024 }' \
    "$folder/taken"
}

ls -l "$folder/capture" | awk '{ printf "capture   %.0f MiB\n", $5 / 1048576 }'
run latprobe "$latprobe" pair --proto dns,icmp "$folder/capture"
ours=$(cut -d' ' -f1 "$folder/taken")
paired=$(sed -nE 's/.* (dns|icmp): ([0-9]+) of.*/\2/p' "$folder/out" | awk "{ sum += \$1 } END { print sum }")
echo "pairs     $paired"
if [ "${TSHARK:-1}" != 0 ]; then
  run tshark tshark -r "$folder/capture" -n -o dns.retransmission_timer:7 -Y 'dns.time or icmp.resptime' -T fields \
    -e frame.time_epoch -e dns.time -e icmp.resptime
  theirs=$(wc -l <"$folder/out")
  [ "$theirs" = "$paired" ] || { echo "pair: latprobe has $paired pairs, tshark $theirs" >&2; exit 1; }
  echo "ratio     $(echo "$(cut -d' ' -f1 "$folder/taken") $ours" | awk '{ printf "%.1f", $1 / $2 }') times as fast"
fi
