#!/usr/bin/env bash
# 64-bit guests that are not ours, scripted: the Debian installer through its first screens, memtest86+ x64, Xen with a Linux as its dom0.
# Fetches what is missing from Debian's archive and installs nothing. A quarter of an hour; not CI.
#
#   Tests/guests64.sh [NAME...]     only the guests whose name contains one of the words: installer memtest xen
#
# VITRINE=FILE takes another program than .build/release/vitrine, VITRINE_OPTIONS are added to `vitrine run`. The files go to
# ${XDG_CACHE_HOME:-$HOME/.cache}/vitrine/guests/amd64. Needs apt-get, dpkg-deb, cpio, for Xen grub-mkrescue (grub-common, grub-pc-bin),
# xorriso and mtools, for memtest86+ its package. apt must know amd64. Failed steps leave script, screen and logs in a folder that is named.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'guests64: %s\n' "$*" >&2; }
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vitrine/guests/amd64
mkdir -p "$cache"
words=("$@")
. Tests/Fixtures/Guests/steps.sh

# fetch PACKAGE: its unpacked tree in $work/PACKAGE
fetch() {
    say "fetching $1:amd64"
    mkdir -p "$work/debs/$1" "$work/$1"
    (cd "$work/debs/$1" && apt-get -qq download "$1:amd64" 2>"$work/apt.log") || { cat "$work/apt.log" >&2; return 1; }
    dpkg-deb -x "$work/debs/$1/"*.deb "$work/$1"
}
# The newest package whose name matches.
newest() { apt-cache --names-only search "$1" | awk '{ print $1 }' | sort -V | tail -n 1; }

prepare_installer() {
    [ ! -s "$cache/installer.gz" ] || return 0
    fetch debian-installer-12-netboot-amd64 || return 1
    local text
    text=$(find "$work/debian-installer-12-netboot-amd64" -path '*/text/debian-installer/amd64' -type d)
    cp "$text/linux" "$cache/installer"
    mv "$text/initrd.gz" "$work/installer.gz"
    mv "$work/installer.gz" "$cache/installer.gz"
}

# A CD with GRUB, the hypervisor, Debian's kernel as dom0 and a BusyBox that says where it is.
prepare_xen() {
    [ ! -s "$cache/xen.iso" ] || return 0
    local xen linux root=$work/root iso=$work/iso
    xen=$(newest '^xen-hypervisor-4\.[0-9]+-amd64$')
    linux=$(newest '^linux-image-6\.1\.0-[0-9]+-amd64$')
    [ -n "$xen" ] && [ -n "$linux" ] || { say "apt knows no package xen-hypervisor-4.*-amd64 or linux-image-6.1.0-*-amd64"; return 1; }
    fetch "$xen" && fetch "$linux" && fetch busybox-static || return 1
    mkdir -p "$root"/{bin,dev,proc,sys,root} "$iso/boot/grub"
    cp "$work/busybox-static/bin/busybox" "$root/bin/"
    ln -s busybox "$root/bin/sh"
    cat >"$root/init" <<'INIT'
#!/bin/sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox --install -s /bin
echo "dom0: Linux $(uname -r) on $(cat /sys/hypervisor/type), $(uname -m)"
exec setsid cttyhack sh
INIT
    chmod 755 "$root/init"
    (cd "$root" && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet --reproducible -R 0:0 -o -H newc | gzip -1) >"$iso/boot/initrd.img"
    cp "$work/$xen"/boot/xen-*-amd64.gz "$iso/boot/xen.gz"
    cp "$work/$linux"/boot/vmlinuz-* "$iso/boot/vmlinuz"
    # `placeholder`: GRUB gives Xen the words after the first.
    cat >"$iso/boot/grub/grub.cfg" <<'CFG'
set timeout=3
set default=0
menuentry "Xen" {
    multiboot2 /boot/xen.gz placeholder vga=text-80x25,keep console=com1,vga com1=115200,8n1 dom0_mem=256M noreboot
    module2 /boot/vmlinuz placeholder nomodeset console=hvc0 console=tty0
    module2 /boot/initrd.img
}
CFG
    grub-mkrescue -d /usr/lib/grub/i386-pc -o "$work/xen.iso" "$iso" >"$work/mkrescue.log" 2>&1 || { cat "$work/mkrescue.log" >&2; return 1; }
    mv "$work/xen.iso" "$cache/xen.iso"
}

# step NAME OPTIONS... <script
step() {
    local name=$1
    shift
    # shellcheck disable=SC2086  # a list of options
    guest "$name" --timeout 7200 --cpu-model x86-64-v2 --serial "file:$work/$name.serial" "$@" ${VITRINE_OPTIONS:-}
}

# Language, country, keyboard, chosen with keys; then the installer looks for a network card, which this PC does not have.
if wanted installer; then
    if prepare_installer; then
        step installer --memory 1024 --kernel "$cache/installer" --initrd "$cache/installer.gz" --append "vga=normal fb=false nomodeset --- quiet" <<'SCRIPT'
wait-for "Select a language" 1200
wait-for "English +- +English" 10
keys down
keys down
keys down
keys down
wait 2
keys enter
wait-for "Select your location|Standorts" 120
keys up
wait 1
keys enter
wait-for "Configure the keyboard|Tastatur" 300
keys down
wait 1
keys enter
wait-for "Detecting|erkannt|Ethernet|Netzwerk" 900
stop
SCRIPT
    else
        skip installer "its package could not be fetched"
    fi
fi

# All memory once with test 1, chosen in the configuration menu; the pass counter goes to 1 and the error counter stays 0.
if wanted memtest; then
    iso=/usr/lib/memtest86+/memtest86+x64.iso
    if [ -r "$iso" ]; then
        step memtest --memory 16 --cdrom "$iso" <<'SCRIPT'
wait-for F1 60
keys F1
wait-for "Test selection" 10
type 1
wait-for "Clear selection" 10
type 1
wait-for \.\.\.\.\.\.\.\.\.\.\. 10
type 3
wait 0.5
type 1\n
wait-for \.\*\.\.\.\.\.\.\.\.\. 10
keys F10
wait 0.5
keys F10
wait 0.5
keys enter
wait-for "6\.[0-9]+.*x64" 10
wait-for "Test #1" 30
wait-for "Pass: *[1-9][0-9]* .*Errors: *0\b" 900
stop
SCRIPT
    else
        skip memtest "no $iso; install the Debian package memtest86+"
    fi
fi

if wanted xen; then
    if prepare_xen; then
        step xen --memory 512 --cdrom "$cache/xen.iso" <<'SCRIPT'
wait-for "Xen" 120
keys enter
wait-for-serial "Xen version 4" 300
wait-for-serial "Dom0 has maximum" 300
wait-for "^dom0: Linux .* on xen, x86_64" 1800
type dmesg | grep -c -i xen\n
wait-for "^[1-9][0-9]*$" 60
type poweroff -f\n
wait 120
SCRIPT
    else
        skip xen "its packages could not be fetched"
    fi
fi

finish
