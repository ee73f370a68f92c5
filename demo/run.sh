#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The demo: two network namespaces ("containers") behind a bridge, real traffic of programs that we did not write
# (sockperf UDP ping-pong over IPv4, iperf3 TCP over IPv6) and latprobe's own test packets (send and reflect), recorded,
# reported and gated by latprobe.
#
#   namespace a            namespace br           namespace b
#   eth0 10.77.0.1  ----  to-a  bridge  to-b  ----  eth0 10.77.0.2
#
# Everything happens inside these namespaces, and nothing is left behind but out/demo/{session,sent,report,sockperf}.
# DEMO_SECONDS: how long the traffic runs (10). LATPROBE: the program (.build/release/latprobe).
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."

seconds=${DEMO_SECONDS:-10}
latprobe=${LATPROBE:-.build/release/latprobe}
out=out/demo
logs=$out/logs

fail() {
  echo "demo: $*" >&2
  exit 1
}

require() {
  local program
  for program in "$@"; do
    command -v "$program" >/dev/null || fail "$program is missing; run 'make deps'"
  done
}

# ------------------------------------------------------------------------- the half that needs root

namespaces=()

clean_up() {
  local pid namespace
  trap '' INT TERM
  for pid in $(jobs -p); do kill "$pid" 2>/dev/null || true; done
  wait
  # The veth pairs and the bridge go with their namespaces.
  for namespace in "${namespaces[@]}"; do ip netns delete "$namespace" 2>/dev/null || true; done
  if [ -n "${SUDO_UID:-}" ]; then chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$out"; fi
}

add_namespace() {
  namespaces+=("$1") # first, so that a signal in between leaves nothing behind
  ip netns add "$1"
  ip -n "$1" link set lo up
}

# A guest's end is eth0 in its own namespace, the host's end a port of the bridge.
add_guest() { # NAMESPACE PORT HOST-NUMBER
  ip -n "$bridge" link add "$2" type veth peer name eth0 netns "$1"
  ip -n "$bridge" link set "$2" master bridge up
  ip -n "$1" address add "10.77.0.$3/24" dev eth0
  ip -n "$1" address add "fd77::$3/64" dev eth0 nodad
  ip -n "$1" link set eth0 addrgenmode none up
}

# Runs a program in a namespace in the background: NAMESPACE LOG COMMAND…
start() {
  local namespace=$1 log=$logs/$2
  shift 2
  ip netns exec "$namespace" "$@" >"$log" 2>&1 </dev/null &
}

# Waits until a server answers for a TCP or UDP port: NAMESPACE tcp|udp PORT
await_port() {
  local try
  for try in {1..50}; do
    if ip netns exec "$1" ss -H -l -n "--$2" "sport = :$3" | grep -q .; then return; fi
    sleep 0.1
  done
  fail "no server on $2 port $3 after $try tries; see $logs"
}

traffic_and_recording() {
  local a=latprobe-a-$$ b=latprobe-b-$$ begun recorder udp tcp stamp session try status
  bridge=latprobe-br-$$
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM

  add_namespace "$bridge"
  add_namespace "$a"
  add_namespace "$b"
  # The bridge needs no address of its own; with IPv6 off it sends no discovery into the recording.
  ip netns exec "$bridge" sysctl -qw net.ipv6.conf.default.disable_ipv6=1
  ip -n "$bridge" link add bridge type bridge
  ip -n "$bridge" link set bridge up
  add_guest "$a" to-a 1
  add_guest "$b" to-b 2

  start "$b" sockperf-server.log sockperf server --ip 10.77.0.2 --port 11111
  start "$b" iperf3-server.log iperf3 --server --port 5201
  start "$b" reflect.log "$latprobe" reflect --stateful
  await_port "$b" udp 11111
  await_port "$b" tcp 5201
  await_port "$b" udp 862

  # A second on either side of the traffic: packets near an end of the recording cannot be told from lost ones.
  begun=$(mktemp)
  session=$(cat /proc/sys/kernel/random/uuid)
  "$latprobe" record --topology veth --netns "$a" --netns "$b" --duration "$((seconds + 4))s" --session "$session" \
    -o "$out/session" --force </dev/null &
  recorder=$!
  for try in {1..150}; do
    if [ "$out/session/session.json" -nt "$begun" ]; then break; fi
    if ! kill -0 "$recorder" 2>/dev/null; then break; fi
    sleep 0.1
  done
  rm -f "$begun"
  if ! kill -0 "$recorder" 2>/dev/null; then
    wait "$recorder" || status=$?
    fail "latprobe record ended at once (status ${status:-0}); its message is above"
  fi
  [ "$try" -lt 150 ] || fail "latprobe record did not begin within 15 s"
  sleep 1

  echo "demo: $seconds s of UDP ping-pong (sockperf, 5000 messages a second), TCP (iperf3, 200 Mbit/s) and test packets" \
    "(latprobe send, 1000 a second)"
  start "$a" sockperf.log sockperf ping-pong --ip 10.77.0.2 --port 11111 --time "$seconds" --mps 5000 --msg-size 200
  udp=$!
  start "$a" iperf3.log iperf3 --client fd77::2 --port 5201 --time "$seconds" --bitrate 200M
  tcp=$!
  start "$a" send.log "$latprobe" send 10.77.0.2 --rate 1000 --duration "${seconds}s" --fifo 50 --timestamps kernel --same-clock \
    --session "$session" -o "$out/sent" --force
  stamp=$!
  wait "$udp" || fail "sockperf failed; see $logs/sockperf.log"
  wait "$tcp" || fail "iperf3 failed; see $logs/iperf3.log"
  wait "$stamp" || fail "latprobe send failed; see $logs/send.log"
  wait "$recorder" || fail "latprobe record failed with status $?; its message is above"
  echo "demo: what latprobe send says:"
  sed 's/^/  /' "$logs/send.log"
}

if [ "${1:-}" = --record ]; then
  traffic_and_recording
  exit
fi

# --------------------------------------------------------------------------------------- the rest

require ip ss sockperf iperf3
mkdir -p "$logs"
[ -x "$latprobe" ] || fail "$latprobe is not there; run 'make build', or name the program in LATPROBE"
if [ "$(id -u)" = 0 ]; then
  "$self" --record
else
  require sudo
  echo "demo: sudo, because creating network namespaces and loading BPF programs needs root"
  sudo env PATH="$PATH" DEMO_SECONDS="$seconds" LATPROBE="$latprobe" "$self" --record
fi

# Runs latprobe, its command line above.
run() {
  local word line="\$ latprobe"
  for word in "$@"; do
    case $word in
      *' '*) line+=" '$word'" ;;
      *) line+=" $word" ;;
    esac
  done
  printf '\n%s\n' "$line"
  "$latprobe" "$@"
}

# One application first: the delays of another have nothing to do with its own.
run report "$out/session" --filter 'udp port 11111' -o "$out/sockperf"
run report "$out/session" "$out/sent" -o "$out/report"

gate() {
  local status=0
  run gate "$@" || status=$?
  case $status in
    0 | 2 | 3) ;; # PASS; FAIL; INCONCLUSIVE or INVALID: all of them are answers
    *) fail "latprobe gate failed with status $status" ;;
  esac
}
# From one guest's device to the other's, and there and back: generous, so that they hold on a small virtual machine as well.
gate "$out/session" --filter 'udp port 11111' --require 'txg1-rxg0 p99 < 5ms'
gate "$out/sent" --require 'stamp/round-trip p99 < 10ms'

echo
if ! command -v latprobe >/dev/null; then
  echo "latprobe: $latprobe; 'make && sudo make install' puts it on the PATH, then: latprobe report $out/session"
fi
echo "session:  $out/session (latprobe record), $out/sent (latprobe send)"
echo "report:   $out/report (segments.csv, groups.csv, ccdf.csv, pit.csv, report.json); of sockperf alone: $out/sockperf"
echo "pictures: $out/report/plots"
find "$out/report/plots" -name '*.png' 2>/dev/null | sort | sed 's/^/  /' || true

# Shows the first picture where there is a desktop to show it on.
picture=$(find "$out/report/plots" -name 'ccdf*.png' 2>/dev/null | sort | head -n 1 || true)
if [ -n "$picture" ] && [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && [ -z "${CI:-}" ] && command -v xdg-open >/dev/null
then
  xdg-open "$picture" >/dev/null 2>&1 || true
fi
