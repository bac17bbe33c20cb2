#!/bin/sh
# The units in deploy/systemd, as systemd reads them: no fault, and no more exposed than the figure below (of 10; 0 is nothing).
# Exit code 3: there is no systemd-analyze of 250 or newer.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
if ! systemd-analyze security --help 2>/dev/null | grep -q -- --offline; then
    echo "*** no systemd-analyze 250 or newer: the units are not checked. ***" >&2
    exit 3
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
# The program need not be installed here for its units to be right.
for unit in "$root"/deploy/systemd/*.service; do
    sed 's#/usr/local/bin/jetbatch#/bin/true#' "$unit" >"$out/$(basename "$unit")"
done
mv "$out/jetbatch-worker@.service" "$out/jetbatch-worker@tiny.service"
for unit in "$out"/*.service; do
    # What systemd does not understand it says, and goes on.
    said=$(systemd-analyze verify --man=no "$unit" 2>&1 | grep -F "$(basename "$unit")" || true)
    [ -z "$said" ] || { printf '%s\n' "$said" >&2; exit 1; }
    if ! systemd-analyze security --offline=true --threshold=20 --no-pager "$unit" >"$out/security" 2>&1; then
        cat "$out/security" >&2
        exit 1
    fi
    tail -n 1 "$out/security"
done
