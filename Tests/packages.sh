#!/usr/bin/env bash
# Installs the Debian and Ubuntu packages that Vitrine needs and that are not there yet. Asks nothing.
#
#   Tests/packages.sh run      to build it and to run the guests of `vitrine demo`
#   Tests/packages.sh test     the same, and what the tests need
#
# As root, or with sudo; without either it says which packages are missing. Packages that an archive does not have are
# left out with a sentence when Vitrine works without them.
set -euo pipefail

say() { printf 'packages: %s\n' "$*" >&2; }

# Without these nothing works …
required="libncurses-dev libzstd-dev libzydis-dev zlib1g-dev seabios"
# … and without one of these some guest or some test is missing.
optional="grub-rescue-pc memtest86+ ipxe cpio grub-common grub-pc-bin xorriso mtools mmdebstrap uidmap fakeroot e2fsprogs debian-archive-keyring"
case ${1:-run} in
    run) ;;
    test)
        required="$required nasm tmux gzip procps gdb"
        optional="$optional acpica-tools qemu-utils python3 python3-venv"
        ;;
    *)
        say "usage: Tests/packages.sh run|test"
        exit 64
        ;;
esac

command -v apt-get >/dev/null || {
    say "there is no apt-get here; install what Debian calls: $required $optional"
    exit 1
}

missing() {
    local package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || printf '%s ' "$package"
    done
}

# The Linux guest is Debian 12's kernel for 32-bit PCs: apt must know the architecture i386 to fetch it (Tests/guests.sh).
codename=$(. /etc/os-release 2>/dev/null && printf '%s' "${VERSION_CODENAME:-}")
wants_i386=no
if [ "$codename" = bookworm ] && [ "$(dpkg --print-architecture)" = amd64 ]; then
    dpkg --print-foreign-architectures | grep -qx i386 || wants_i386=yes
fi

# shellcheck disable=SC2086  # lists of words
needed="$(missing $required)$(missing $optional)"
if [ -z "$needed" ] && [ "$wants_i386" = no ]; then
    say "everything is there"
    exit 0
fi

if [ "$(id -u)" = 0 ]; then
    root=""
elif command -v sudo >/dev/null; then
    root="sudo"
else
    say "not root, and there is no sudo; install these packages and start again: ${needed:-none}"
    [ "$wants_i386" = no ] || say "for the Linux guest also: dpkg --add-architecture i386 && apt-get update"
    # shellcheck disable=SC2086
    [ -z "$(missing $required)" ] || exit 1
    exit 0
fi

apt() { $root env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -qq -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 "$@"; }
# Archives fail now and then: once more, after fetching the lists anew.
twice() { apt "$@" || { say "apt-get failed; trying once more"; sleep 5; apt update || true; apt "$@"; }; }

[ "$wants_i386" = no ] || $root dpkg --add-architecture i386
apt update || { say "apt-get update failed; trying once more"; sleep 5; apt update || say "apt-get update failed; going on with the lists that are there"; }

install=""
for package in $needed; do
    if [ -n "$(apt-cache show --no-all-versions "$package" 2>/dev/null)" ]; then
        install="$install $package"
    elif [[ " $required " == *" $package "* ]]; then
        say "apt knows no package $package, and nothing works without it"
        exit 1
    else
        say "apt knows no package $package; going on without it"
    fi
done
if [ -n "$install" ]; then
    say "installing$install"
    # shellcheck disable=SC2086
    twice install -y --no-install-recommends $install >/dev/null
fi
