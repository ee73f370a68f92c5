#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Runs all tests: as root in one go; otherwise the integration tests alone run under sudo, because creating network
# namespaces and loading BPF programs needs root. Arguments go to `swift test`.
set -euo pipefail
cd "$(dirname "$0")/.."

swift=${SWIFT:-swift}
integration=IntegrationTests
# What latprobe prints has the characters of the locale; the tests read UTF-8.
export LC_ALL=C.UTF-8
flags=(--explicit-target-dependency-import-check error "$@")

if [ "$(id -u)" = 0 ] || [ ! -d Tests/Integration ]; then
  exec "$swift" test "${flags[@]}"
fi

"$swift" test "${flags[@]}" --skip "^$integration\."
if ! command -v sudo >/dev/null; then
  echo "test: the integration tests need root (network namespaces, BPF) and there is no sudo; run 'make test' as root" >&2
  exit 1
fi
echo "test: sudo, because creating network namespaces and loading BPF programs needs root"
status=0
# sudo resets the PATH; what the tests write into .build must stay the caller's.
sudo env PATH="$PATH" LC_ALL="$LC_ALL" ${LATPROBE_QEMU:+LATPROBE_QEMU="$LATPROBE_QEMU"} "$swift" test "${flags[@]}" --skip-build --filter "^$integration\." || status=$?
sudo chown -R "$(id -u):$(id -g)" .build
exit "$status"
