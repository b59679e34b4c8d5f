#!/usr/bin/env bash
# Fetches and builds the Debian Linux guest that the demo and the end-to-end tests run; installs nothing.
#
#   Tests/guests.sh [DIR]        DIR defaults to ${XDG_CACHE_HOME:-$HOME/.cache}/vitrine/guests
#
# What it leaves in DIR (and does not build again when it is there):
#   vmlinuz       Debian's 6.1 kernel for i386 (package linux-image-6.1.0-*-686, not -pae)
#   busybox       statically linked, i386 (package busybox-static)
#   initrd.img    newc archive: busybox, kernel modules for the emulated disks and virtio, shells on tty1, ttyS0 and hvc0; `poweroff` works
#   linux.iso     GRUB rescue CD with both
#
# Needs: apt-get, dpkg-deb, cpio; for the ISO grub-mkrescue (grub-common, grub-pc-bin), xorriso and mtools.
# apt must know the i386 architecture: `dpkg --add-architecture i386 && apt-get update` (done here when run as root).
set -euo pipefail

dir=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/vitrine/guests}
mkdir -p "$dir"
cd "$dir"

say() { printf 'guests: %s\n' "$*" >&2; }
need() { command -v "$1" >/dev/null || { say "the program '$1' is missing; install the Debian package $2"; exit 1; }; }
# Renames only what was finished, so that an interrupted run leaves nothing half-built under a final name.
finish() { mv -f -- "$1" "$2"; }

work=$(mktemp -d "$dir/.work.XXXXXX")
trap 'rm -rf -- "$work"' EXIT

kernel_package() {
    apt-cache --names-only search '^linux-image-6\.1\.0-[0-9]+-686$' | awk '{ print $1 }' | sort -t- -k4,4n | tail -n 1
}

prepare_apt() {
    need apt-get apt
    if ! dpkg --print-foreign-architectures | grep -qx i386 && [ "$(dpkg --print-architecture)" != i386 ]; then
        [ "$(id -u)" = 0 ] || { say "run as root once: dpkg --add-architecture i386 && apt-get update"; exit 1; }
        dpkg --add-architecture i386
        apt-get -qq update
    elif [ "$(id -u)" = 0 ] && [ -z "$(kernel_package)" ]; then
        apt-get -qq update
    fi
}

# fetch PACKAGE: its unpacked tree in $work/PACKAGE
fetch() {
    need dpkg-deb dpkg
    say "fetching $1:i386"
    mkdir -p "$work/debs/$1" "$work/$1"
    (cd "$work/debs/$1" && apt-get -qq download "$1:i386" 2>"$work/apt.log") || { cat "$work/apt.log" >&2; exit 1; }
    dpkg-deb -x "$work/debs/$1/"*.deb "$work/$1"
}

if [ ! -s vmlinuz ] || [ ! -e modules/virtio_blk.ko ] || [ ! -s busybox ]; then
    prepare_apt
    package=$(kernel_package)
    [ -n "$package" ] || { say "apt knows no package linux-image-6.1.0-*-686; is the bookworm archive in sources.list?"; exit 1; }
    fetch "$package"
    fetch busybox-static
    # The modules that make the emulated disks, CD, floppy, power button and virtio devices work, with everything they depend on.
    release=${package#linux-image-}
    source=$work/$package/lib/modules/$release
    mkdir -p "$work/modules"
    wanted="ata_piix sd_mod sr_mod isofs ext4 vfat nls_cp437 nls_ascii floppy button evdev"
    wanted="$wanted virtio_pci virtio_blk virtio_console virtio_rng virtio_balloon"
    seen=" "
    add() {
        local name=${1//-/_} file dependency
        case $seen in *" $name "*) return ;; esac
        seen="$seen$name "
        file=$(find "$source" -name "$name.ko" -o -name "${name//_/-}.ko" | head -n 1)
        [ -n "$file" ] || return 0
        # `depends=` in the .modinfo section: a comma-separated list ended by a zero byte.
        for dependency in $(tr '\0' '\n' <"$file" | sed -n 's/^depends=//p' | head -n 1 | tr ',' ' '); do add "$dependency"; done
        cp "$file" "$work/modules/$name.ko"
        echo "$name" >>"$work/modules/order"
    }
    for module in $wanted; do add "$module"; done
    rm -rf modules
    finish "$work/modules" modules
    cp "$work/busybox-static/bin/busybox" "$work/busybox"
    finish "$work/busybox" busybox
    cp "$work/$package/boot/vmlinuz-$release" "$work/vmlinuz"
    finish "$work/vmlinuz" vmlinuz
    rm -f initrd.img linux.iso
fi

if [ ! -s initrd.img ]; then
    need cpio cpio
    say "building initrd.img"
    root=$work/root
    mkdir -p "$root"/{bin,sbin,dev,proc,sys,tmp,root,mnt,etc/acpi/PWRF,usr/bin,usr/sbin,lib/modules}
    cp busybox "$root/bin/busybox"
    chmod 755 "$root/bin/busybox"
    cp modules/* "$root/lib/modules/"
    ln -s /bin/busybox "$root/bin/sh"
    ln -s /bin/busybox "$root/sbin/init"
    ln -s /sbin/init "$root/init"
    cat >"$root/etc/rc" <<'RC'
#!/bin/sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox --install -s
hostname guest
while read module; do insmod /lib/modules/$module.ko 2>/dev/null; done </lib/modules/order
# Only with a virtio console; init would try again and again.
[ -e /sys/class/tty/hvc0/dev ] && (while :; do getty -n -l /bin/sh 115200 hvc0 vt100; sleep 1; done) &
acpid -l /dev/null
echo
echo "Debian Linux $(uname -r) on $(uname -m) with BusyBox; 'poweroff' ends it."
RC
    chmod 755 "$root/etc/rc"
    cat >"$root/etc/inittab" <<'INITTAB'
::sysinit:/etc/rc
tty1::respawn:-/bin/sh
tty2::askfirst:-/bin/sh
ttyS0::respawn:/sbin/getty -n -l /bin/sh 115200 ttyS0 vt100
::ctrlaltdel:/sbin/reboot
::shutdown:/bin/umount -a -r
INITTAB
    printf '#!/bin/sh\npoweroff\n' >"$root/etc/acpi/PWRF/00000080"
    chmod 755 "$root/etc/acpi/PWRF/00000080"
    printf 'root::0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
    printf 'root:x:0:\n' >"$root/etc/group"
    # Owner and times are fixed so that the same input gives the same archive.
    find "$root" -exec touch -h -d @0 {} +
    (cd "$root" && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet --reproducible -R 0:0 -o -H newc) >"$work/initrd.img"
    finish "$work/initrd.img" initrd.img
    rm -f linux.iso
fi

if [ ! -s linux.iso ]; then
    need grub-mkrescue "grub-common (with grub-pc-bin)"
    need xorriso xorriso
    need mformat mtools
    say "building linux.iso"
    iso=$work/iso
    mkdir -p "$iso/boot/grub"
    cp vmlinuz initrd.img "$iso/boot/"
    cat >"$iso/boot/grub/grub.cfg" <<'CFG'
set timeout=3
set default=0
menuentry "Debian Linux (screen)" {
    linux /boot/vmlinuz quiet
    initrd /boot/initrd.img
}
menuentry "Debian Linux (screen and COM1)" {
    linux /boot/vmlinuz console=tty0 console=ttyS0,115200
    initrd /boot/initrd.img
}
CFG
    grub-mkrescue -d /usr/lib/grub/i386-pc -o "$work/linux.iso" "$iso" >"$work/mkrescue.log" 2>&1 || { cat "$work/mkrescue.log" >&2; exit 1; }
    finish "$work/linux.iso" linux.iso
fi
say "ready in $dir"
