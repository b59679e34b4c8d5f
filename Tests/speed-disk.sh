#!/usr/bin/env bash
# Measures the throughput of disks inside Linux beside QEMU's TCG, for raw, VDI and qcow2 on virtio and IDE, in one run; prints a Markdown
# table. Not part of CI.
#
#   Tests/speed-disk.sh [--rounds N] [--formats raw,vdi,qcow2,vmdk,vhd] [--interfaces virtio,ide]
#
# VITRINE names a binary to measure instead of a release build made here. TMPDIR: where the images are (when not set: /var/tmp).
#
# Needs: qemu-system-x86, python3, nasm, cpio.
set -euo pipefail
cd "$(dirname "$0")/.."

need() { command -v "$1" >/dev/null || { echo "speed: the program '$1' is missing; install the Debian package $2" >&2; exit 1; }; }
need qemu-system-i386 qemu-system-x86
need python3 python3
need nasm nasm
need cpio cpio

guests=${XDG_CACHE_HOME:-$HOME/.cache}/vitrine/guests
[ -s "$guests/busybox" ] || Tests/guests.sh "$guests"
if [ -z "${VITRINE:-}" ]; then
    swift build -c release --product vitrine >&2
    VITRINE=$(swift build -c release --show-bin-path)/vitrine
fi
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
nasm -f bin -o "$work/iotest" Tests/Fixtures/Speed/iotest.asm
python3 Tests/Fixtures/Speed/disk.py --vitrine "$VITRINE" --guests "$guests" --kernel "$guests/vmlinuz" --busybox "$guests/busybox" \
    --program "$work/iotest" "$@"
