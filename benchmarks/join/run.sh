#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The join against peers, in one run: latprobe report, babeltrace2 that merely prints the recording, and the same
# questions asked of DuckDB (PyPI, in an environment of its own), whose answers must be the same. Sizes: SIZES (1000000 10000000), in stamps.
set -euo pipefail
cd "$(dirname "$0")/../.."

latprobe=${LATPROBE:-.build/release/latprobe}
joinload=$(dirname "$latprobe")/joinload
sizes=${SIZES:-1000000 10000000}
scratch=$(mktemp -d "${TMPDIR:-/var/tmp}/latprobe-join-XXXXXX")
trap 'rm -rf "$scratch"' EXIT

[ -x "$joinload" ] || { echo "join: no $joinload: run 'swift build -c release --product joinload'" >&2; exit 1; }
command -v babeltrace2 >/dev/null || { echo "join: no babeltrace2: run 'make deps'" >&2; exit 1; }
python3 -m venv "$scratch/python"
"$scratch/python/bin/pip" install --quiet duckdb numpy

# NAME COMMAND…: wall and CPU seconds, and the peak in MiB.
measure() {
  local name=$1
  shift
  /usr/bin/time -f "%e %U %S %M" -o "$scratch/time" "$@" >"$scratch/output"
  awk -v name="$name" -v stamps="$size" '{
    printf "| %s | %d | %.1f | %.1f | %d | %.2f |\n", name, stamps, $1, $2 + $3, $4 / 1024, stamps / $1 / 1e6
  }' "$scratch/time"
}

echo "| | stamps | wall, s | CPU, s | memory at the peak, MiB | million stamps a second |"
echo "|---|---|---|---|---|---|"
for size in $sizes; do
  "$joinload" --output "$scratch/$size" --stamps "$size"
  measure "latprobe report" "$latprobe" report --json "$scratch/$size"
  mv "$scratch/output" "$scratch/report.json"
  measure "DuckDB" "$scratch/python/bin/python" benchmarks/join/duck.py "$scratch/$size" "$scratch/report.json"
  measure "babeltrace2" babeltrace2 "$scratch/$size"
  rm -rf "${scratch:?}/$size"
done
