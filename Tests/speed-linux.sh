#!/usr/bin/env bash
# Measures work inside Linux (sha256sum, gzip, awk, fork and exec, a shell loop; i386 and amd64) and the boot of the Debian disks beside
# QEMU's TCG and, for amd64 with BusyBox, User-Mode Linux, in one run; prints a Markdown table. Not part of CI.
#
#   Tests/speed-linux.sh [--rounds N] [--no-boot] [--no-work] [--engine E] [--arch A,…] [--programs P,…] [--processor-time]
#
# VITRINE names a binary to measure instead of a release build made here. The Debian disks are those of `vitrine demo debian-i386` and
# `debian-amd64`, the kernels beside them; BusyBox comes from Debian's package busybox-static for both architectures.
#
# Needs: qemu-system-x86, python3, cpio, apt-get, dpkg-deb; user-mode-linux for its column.
set -euo pipefail
cd "$(dirname "$0")/.."

need() { command -v "$1" >/dev/null || { echo "speed: the program '$1' is missing; install the Debian package $2" >&2; exit 1; }; }
need qemu-system-i386 qemu-system-x86
need python3 python3
need cpio cpio

guests=${XDG_CACHE_HOME:-$HOME/.cache}/vitrine/guests
[ -s "$guests/busybox" ] || Tests/guests.sh "$guests"
if [ -z "${VITRINE:-}" ]; then
    swift build -c release --product vitrine >&2
    VITRINE=$(swift build -c release --show-bin-path)/vitrine
fi
for arch in i386 amd64; do
    [ -s "$guests/debian-$arch.vmlinuz" ] || "$VITRINE" demo "debian-$arch" ${VITRINE_MIRROR:+--mirror "$VITRINE_MIRROR"} --headless --max-instructions 1
done
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
(cd "$work" && apt-get -qq download busybox-static:amd64 2>/dev/null && dpkg-deb -x busybox-static_*.deb .) ||
    { echo "speed: apt-get cannot download busybox-static:amd64" >&2; exit 1; }
uml=()
if command -v linux.uml >/dev/null; then uml=(--uml); else echo "speed: no User-Mode Linux here (Debian package user-mode-linux)" >&2; fi
python3 Tests/Fixtures/Speed/linux.py --vitrine "$VITRINE" --guests "$guests" --kernel32 "$guests/debian-i386.vmlinuz" \
    --kernel64 "$guests/debian-amd64.vmlinuz" --busybox32 "$guests/busybox" --busybox64 "$work/bin/busybox" ${uml[@]+"${uml[@]}"} "$@"
