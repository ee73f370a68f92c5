#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Nanoseconds that a program on net_dev_start_xmit adds to a packet: empty, minimal stamp, latprobe's stamp.
# Usage: run.sh [ROUNDS [PACKETS]]; needs root for a namespace of its own and for BPF.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/../.."

if [ "$(id -u)" != 0 ]; then
	echo "overhead: sudo, since making a network namespace and loading BPF programs needs root" >&2
	exec sudo -- "$self" "$@"
fi
rounds=${1:-60}
packets=${2:-20000}
namespace=latprobe-overhead-$$
cleanup() { ip netns del "$namespace" 2>/dev/null || true; }
trap cleanup EXIT
trap 'exit 130' INT TERM

ip netns add "$namespace"
ip -n "$namespace" link add lp0 type veth peer name lp1
ip -n "$namespace" addr add 198.18.0.1/24 dev lp0
ip -n "$namespace" link set lp0 up
ip -n "$namespace" link set lp1 up
# Nobody has this address: the other end drops each frame as meant for another host.
ip -n "$namespace" neigh add 198.18.0.2 lladdr 02:00:00:00:00:99 dev lp0 nud permanent
ip netns exec "$namespace" taskset -c 0 .build/release/overhead build/bpf/overhead.bpf.o lp0 "$rounds" "$packets"
