#!/usr/bin/env bash
# From a fresh clone to a running guest on this terminal: installs what is missing, builds in release, starts the demo.
#
#   Tests/quickstart.sh [GUEST] [OPTIONS]     GUEST as in `vitrine demo --list`; without one: Linux, or else GRUB
set -euo pipefail
cd "$(dirname "$0")/.."
export HOME="${HOME:-/tmp}"

say() { printf '\n== %s\n' "$*" >&2; }

command -v swift >/dev/null || { say "The program 'swift' is missing; see https://www.swift.org/install/linux/"; exit 1; }
say "Packages"
Tests/packages.sh run
say "Linux guest"
Tests/guests.sh || say "No Linux guest here (reason above); the other guests work without it."
say "Building (some minutes the first time)"
swift build -c release --product vitrine
vitrine="$(swift build -c release --show-bin-path)/vitrine"

guest=${1:-}
[ $# -eq 0 ] || shift
if [ -z "$guest" ]; then
    guest=grub
    guests=$("$vitrine" demo --list)
    # A guest that is not complete ends with what it needs, in parentheses.
    if grep -q '^linux .*[^)]$' <<<"$guests"; then guest=linux; fi
fi
say "Starting '$guest'. Next time: $vitrine demo"
exec "$vitrine" demo "$guest" "$@"
