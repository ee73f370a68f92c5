#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# services.sh FOLDER PACKAGE…: unpacks Debian packages below FOLDER/root, with what they need and this machine lacks.
# They are not installed, because an installed service is started, now and at each boot.
set -euo pipefail

folder=$1
shift
[ "$(cat "$folder/packages" 2>/dev/null)" = "$*" ] && exit 0
command -v apt-get >/dev/null || { echo "services: not a Debian; see to it that you have: $*"; exit 0; }

root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "services: run as root: $0 $folder $*" >&2; exit 1; }
  root=(sudo)
fi
echo "services: unpacking $* below $folder (apt-get needs root to download)"
rm -rf "$folder"
mkdir -p "$folder/archives/partial" "$folder/root"
get() {
  "${root[@]}" apt-get install --download-only -qq -y --no-install-recommends \
    -o "Dir::Cache::archives=$(realpath "$folder")/archives" "$@" >/dev/null
}
get "$@" || { "${root[@]}" apt-get update -qq && get "$@"; }
find "$folder/archives" -name '*.deb' -exec dpkg-deb --extract {} "$folder/root" \;
rm -rf "$folder/archives"
echo "$*" >"$folder/packages"
