#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# run.sh SECONDS [TARGET…]: fuzzes each target for its share of SECONDS, one on each processor. What is worth keeping of
# the inputs stays in out/fuzz/corpus for the next run, and what was found in out/fuzz/found. Ends with 1 if a target
# trapped, hung for 10 s or took more than 512 MiB. FUZZ: the program. FUZZ_SEED: a number, for a run that begins with the
# seeds alone and tries the same inputs each time, as many as there is time for.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=$1
shift
fuzz=${FUZZ:-.build-fuzz/release/fuzz}
[ $# -gt 0 ] || set -- $(ls fuzz/seeds)
targets=("$@")
jobs=$(nproc)
share=$((seconds * jobs / ${#targets[@]}))
[ "$share" -gt 0 ] || share=1
corpus=out/fuzz/corpus
order=()
if [ -n "${FUZZ_SEED:-}" ]; then
  corpus=$(mktemp -d)
  trap 'rm -rf "$corpus"' EXIT
  order=(-seed="$FUZZ_SEED" -reload=0)
  export SWIFT_DETERMINISTIC_HASHING=1
fi
mkdir -p out/fuzz/found
# A trap is libFuzzer's to report.
export SWIFT_BACKTRACE=enable=no

one() {
  local target=$1 status=0
  mkdir -p "$corpus/$target"
  FUZZ_TARGET=$target "$fuzz" -max_total_time="$share" -timeout=10 -rss_limit_mb=512 -max_len=65536 -print_final_stats=1 \
    "${order[@]}" -dict=fuzz/extremes.dict -artifact_prefix="out/fuzz/found/$target-" "$corpus/$target" \
    "fuzz/seeds/$target" >"out/fuzz/$target.log" 2>&1 || status=$?
  echo "$status" >"out/fuzz/$target.status"
}

for target in "${targets[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || true; done
  one "$target" &
done
wait

printf '%-18s %12s %10s %10s %s\n' target executions edges 'of edges' found
failed=0
for target in "${targets[@]}"; do
  log=out/fuzz/$target.log
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  edges=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$log" | tail -n 1)
  all=$(sed -n 's/^INFO: Loaded .* modules* *(\([0-9]*\) inline.*/\1/p' "$log" | head -n 1)
  found=nothing
  if [ "$(cat "out/fuzz/$target.status")" != 0 ]; then
    failed=1
    found=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    found=${found:-"no input; see $log"}
  fi
  printf '%-18s %12s %10s %10s %s\n' "$target" "${executions:--}" "${edges:--}" "${all:--}" "$found"
done
[ "$failed" = 0 ] || {
  echo "fuzz: put what was found into fuzz/seeds/TARGET as found-NAME, mend it, and the tests keep it mended" >&2
  exit 1
}
