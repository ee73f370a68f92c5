#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Runs a scenario in the virtual lab and reports: out/lab/NAME/{session,report}.
set -euo pipefail
cd "$(dirname "$0")/.."

latprobe=${LATPROBE:-.build/release/latprobe}
scenario=$1
name=$(basename "$scenario" .yaml)
out=out/lab/$name

root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || {
    echo "lab: needs root for a network namespace and a tap, and there is no sudo; run 'make lab' as root" >&2
    exit 1
  }
  echo "lab: sudo, because a network namespace and a tap of its own need root"
  root=(sudo --preserve-env=LATPROBE_QEMU,TMPDIR)
fi
"${root[@]}" "$(dirname "$latprobe")/lab" run "$scenario" --latprobe "$latprobe" -o "$out/session" "${@:2}"
if [ ${#root[@]} -gt 0 ]; then sudo chown -R "$(id -u):$(id -g)" out/lab build/lab; fi
"$latprobe" report "$out/session" -o "$out/report"
echo "lab: pictures and tables are in $out/report"
