#!/usr/bin/env bash
# Boots a Debian disk from images that qemu-img has made, one of each format, to its login prompt. Not part of CI.
#
#   Tests/qemu-images.sh [FORMAT...]      all when none is given: vdi qcow2 qcow2-zlib qcow2-zstd vmdk vmdk-stream vpc vpc-fixed
#
# VITRINE names a binary to use instead of a release build made here. TMPDIR: where the images are (when not set: /var/tmp). The disk is that of
# `vitrine demo debian --arch i386`.
#
# Needs: qemu-utils.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v qemu-img >/dev/null || { echo "qemu-images: the program 'qemu-img' is missing; install the Debian package qemu-utils" >&2; exit 1; }
disk=${XDG_CACHE_HOME:-$HOME/.cache}/vitrine/guests/debian-i386.img
[ -f "$disk" ] || { echo "qemu-images: $disk is not there; 'vitrine demo debian' makes it" >&2; exit 1; }
if [ -z "${VITRINE:-}" ]; then
    swift build -c release --product vitrine >&2
    VITRINE=$(swift build -c release --show-bin-path)/vitrine
fi
work=$(mktemp -d "${TMPDIR:-/var/tmp}/vitrine-images-XXXXXX")
trap 'rm -rf -- "$work"' EXIT
printf 'wait-for "login: " 1200\nstop\n' >"$work/script"
failed=0
[ $# -gt 0 ] || set -- vdi qcow2 qcow2-zlib qcow2-zstd vmdk vmdk-stream vpc vpc-fixed
for format; do
    # An ending that says nothing: the format is found by content.
    image=$work/disk access=writable
    case $format in
    vdi | qcow2 | vmdk) options=(-O "$format") ;;
    qcow2-zlib) options=(-c -O qcow2) ;;
    qcow2-zstd) options=(-c -O qcow2 -o compression_type=zstd) ;;
    # Written once and only read afterwards.
    vmdk-stream) options=(-O vmdk -o subformat=streamOptimized) access=disposable ;;
    vpc) options=(-O vpc -o force_size=on) ;;
    vpc-fixed) options=(-O vpc -o subformat=fixed,force_size=on) ;;
    *) echo "qemu-images: there is no format '$format'" >&2; exit 64 ;;
    esac
    qemu-img convert "${options[@]}" "$disk" "$image"
    begun=$(date +%s)
    status=0
    "$VITRINE" run --headless --memory 256 --disk "$image" --disk-access "$access" --script "$work/script" \
        --screen-text "$work/screen" >"$work/said" 2>&1 || status=$?
    if [ "$status" = 0 ] && grep -q 'login:' "$work/screen"; then
        echo "$format: login after $(($(date +%s) - begun)) s"
    else
        echo "$format: no login (exit $status): $(tail -n 3 "$work/said" | tr '\n' ' ')"
        failed=1
    fi
    rm -f "$image" "$work/screen"
done
exit "$failed"
