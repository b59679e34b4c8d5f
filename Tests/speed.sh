#!/usr/bin/env bash
# Measures Vitrine beside Debian's Bochs and QEMU's TCG in one run and prints Markdown tables; not part of CI.
#
#   Tests/speed.sh [--rounds N] [--kernels a,b,…] [--builds i386,x86-64] [--emulators vitrine,qemu,bochs] [--engine E] [--no-linux]
#
# Kernels (Tests/Fixtures/Speed/*.c) are bootable floppies, the same image for all three; the Linux boot is the guest that
# Tests/guests.sh builds, from the same GRUB CD for all three. Times are the emulator's processor time between two marks in the
# guest's output, best (of the kernels the median) of N rounds (3), taking turns; in brackets wall time. VITRINE names a binary to measure instead of a
# release build made here.
#
# Needs: bochs, bochsbios, vgabios, qemu-system-x86, nasm, gcc (with -m32; no 32-bit libraries), binutils, python3, grub-common,
# grub-pc-bin, xorriso, mtools.
set -euo pipefail
cd "$(dirname "$0")/.."

need() { command -v "$1" >/dev/null || { echo "speed: the program '$1' is missing; install the Debian package $2" >&2; exit 1; }; }
need bochs "bochs (with bochsbios and vgabios)"
need qemu-system-i386 qemu-system-x86
need nasm nasm
need gcc gcc
need objcopy binutils
need python3 python3
need grub-mkrescue "grub-common (with grub-pc-bin)"
need xorriso xorriso

guests=${XDG_CACHE_HOME:-$HOME/.cache}/vitrine/guests
case " $* " in *" --no-linux "*) ;; *) [ -s "$guests/initrd.img" ] || Tests/guests.sh "$guests" ;; esac
if [ -z "${VITRINE:-}" ]; then
    swift build -c release --product vitrine >&2
    VITRINE=$(swift build -c release --show-bin-path)/vitrine
fi
exec python3 Tests/Fixtures/Speed/speed.py --vitrine "$VITRINE" --guests "$guests" "$@"
