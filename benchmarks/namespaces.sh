# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# For benchmarks to source as root, with $name set: two network namespaces joined by a veth pair, and a folder for files.
#
#   namespace $a: f0 198.18.0.1/24  --  namespace $b: f1 198.18.0.2/24
#
# They, $folder (made in $parent, /tmp) and the jobs in the background are gone when the script ends.
a=latprobe-$name-$$-a
b=latprobe-$name-$$-b
folder=$(mktemp -d "${parent:-/tmp}/latprobe-$name-XXXXXX")
cleanup() {
  local pid
  for pid in $(jobs -p); do kill "$pid" 2>/dev/null || true; done
  wait
  ip netns del "$a" 2>/dev/null || true
  ip netns del "$b" 2>/dev/null || true
  rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

ip netns add "$a"
ip netns add "$b"
ip -n "$a" link add f0 type veth peer name f1 netns "$b"
for side in "$a f0 1" "$b f1 2"; do
  read -r namespace device number <<<"$side"
  ip netns exec "$namespace" sysctl -qw "net.ipv6.conf.$device.disable_ipv6=1"
  ip -n "$namespace" addr add "198.18.0.$number/24" dev "$device"
  ip -n "$namespace" link set "$device" up
done

# Waits until a program in $b listens on a UDP port.
await_port() {
  for _ in {1..50}; do
    if ip netns exec "$b" ss -Hlnu "sport = :$1" | grep -q .; then return; fi
    sleep 0.1
  done
  echo "$name: no server on port $1" >&2
  exit 1
}
