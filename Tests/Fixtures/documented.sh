#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Where the commands of the documentation run: `documented.sh FOLDER LATPROBE SCRIPT`, as root. A network and mounts of
# its own, so that the names that people read (eth0, web, 10.0.0.2) are there whatever the machine has.
#
#   web, db   10.7.0.1, 10.7.0.2   namespaces behind the bridge br0, containers of crun as well; web pings db
#   eth0      10.0.0.1             the NIC; 10.0.0.2 behind it answers DNS, port 5001 and test packets
#   eth1, eth2                     joined by a cable
set -eu
if [ "${4:-}" != inside ]; then exec unshare --mount --net --pid --fork --kill-child --mount-proc "$0" "$1" "$2" "$3" inside; fi
folder=$1 latprobe=$2 script=$3
fixtures=$(cd "$(dirname "$0")" && pwd)

mount --make-rprivate /
for path in /run/netns /run/crun; do
  mkdir -p "$path"
  mount -t tmpfs none "$path"
done
mkdir -p "$folder/bin"
printf '#!/bin/sh\nexec "$@"\n' >"$folder/bin/sudo"
printf '#!/bin/sh\nexec cat "%s/before.pcap"\n' "$folder" >"$folder/bin/ssh" # whose dumpcap writes to a pipe
chmod +x "$folder/bin/sudo" "$folder/bin/ssh"
ln -sf "$latprobe" "$folder/bin/latprobe"
export PATH="$folder/bin:$PATH"
cd "$folder"
ip link set lo up

if ! grep -q 'ip netns add web' "$script"; then
  for name in web db outside; do ip netns add "$name"; done
  ip link add br0 type bridge
  ip link set br0 up
  number=1
  for name in web db; do
    ip link add "to-$name" type veth peer name eth0 netns "$name"
    ip link set "to-$name" master br0 up
    ip -n "$name" address add "10.7.0.$number/24" dev eth0
    ip -n "$name" link set eth0 up
    ip netns exec "$name" sleep 300 &
    mkdir "/run/crun/$name"
    echo "{\"pid\": $!}" >"/run/crun/$name/status"
    number=$((number + 1))
  done
  ip link add eth0 type veth peer name eth0 netns outside
  ip address add 10.0.0.1/24 dev eth0
  ip -n outside address add 10.0.0.2/24 dev eth0
  ip link set eth0 up
  ip -n outside link set eth0 up
  ip route add default via 10.0.0.2
  ip link add eth1 type veth peer name eth2
  ip link set eth1 up
  ip link set eth2 up
  ip netns exec outside "$latprobe" reflect 2>/dev/null &
  ip netns exec outside python3 "$fixtures/documented.py" serve 10.0.0.2 >/dev/null &
  python3 "$fixtures/documented.py" ask 10.0.0.2 2>/dev/null &
  ip netns exec web ping -q -i 0.01 10.7.0.2 >/dev/null &
  python3 "$fixtures/documented.py" captures before.pcap behind.pcap before.pcapng behind.pcapng capture.pcapng
  sleep 0.5
fi
bash "$script"
