#!/usr/bin/env bash
# From a fresh clone to all tests passed: installs what is missing, fetches the Linux guest, builds without warnings, tests.
#
#   Tests/check.sh [OPTIONS of swift test]      for example: Tests/check.sh --filter TidyTests
#
# VITRINE_VECTORS=DIR makes the vector tests read DIR.
set -euo pipefail
cd "$(dirname "$0")/.."
export HOME="${HOME:-/tmp}"

say() { printf '\n== %s\n' "$*" >&2; }

command -v swift >/dev/null || { say "The program 'swift' is missing; see https://www.swift.org/install/linux/"; exit 1; }
say "Packages"
Tests/packages.sh test
say "Linux guest"
Tests/guests.sh || say "No Linux guest here (reason above); its tests are left out."

say "QMP client"
Tests/qmp-client.sh || say "No qemu.qmp here (reason above); its test is left out."

say "Building"
log=$(mktemp)
trap 'rm -f -- "$log"' EXIT
swift build --build-tests 2>&1 | tee "$log"
# Our own files only: what libraries warn about is theirs.
if grep -E "^$PWD/(Sources|Tests)/.*warning:|^$PWD/Package.swift.*warning:" "$log"; then
    say "Warnings are errors here."
    exit 1
fi

say "Testing"
swift test "$@"
