#!/usr/bin/env bash
# Whole guests, scripted, with the release build: prompts reached, commands typed and answered, a test of all memory, power-off;
# and the same digest twice at ten points of a Linux boot and on every model of processor. Some ten minutes; not part of CI.
#
#   Tests/acceptance.sh [NAME...]     only the steps whose name contains one of the words
#
# VITRINE=FILE takes another program than .build/release/vitrine. Failed steps leave script, screen and log in a folder that is named.
set -euo pipefail
cd "$(dirname "$0")/.."

words=("$@")
. Tests/Fixtures/Guests/steps.sh
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vitrine/guests
rescue=/usr/lib/grub-rescue

# step NAME NEEDED-FILE OPTIONS... <script: a guest that is left out when the file is not there.
step() {
    local name=$1 file=$2
    shift 2
    wanted "$name" || { cat >/dev/null; return 0; }
    if [ ! -r "$file" ]; then
        cat >/dev/null
        skip "$name" "no $file"
        return 0
    fi
    guest "$name" --timeout 3600 "$@"
}

grub() {
    # $3: one option or several words of them
    step "grub-$1" "$rescue/$2" $3 "$rescue/$2" --disposable <<SCRIPT
wait-for automatically 120
keys c
wait-for ^grub> 30
type ls\n
wait-for $4
type echo hello-\$grub_platform\n
wait-for ^hello-pc
stop
SCRIPT
}
grub floppy grub-rescue-floppy.img --floppy '\(fd0\)'
grub cdrom grub-rescue-cdrom.iso --cdrom '\(cd'
grub usb grub-rescue-usb.img --disk '\(hd0'
grub virtio grub-rescue-usb.img '--disk-interface virtio --disk' '\(hd0'

# All memory once with test 1, chosen in the configuration menu; the pass counter goes to 1 and the error counter stays 0.
step memtest86+ /usr/lib/memtest86+/memtest86+ia32.iso --memory 8 --cdrom /usr/lib/memtest86+/memtest86+ia32.iso <<'SCRIPT'
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
wait-for "Test #1" 30
wait-for "Pass: *[1-9][0-9]* .*Errors: *0\b" 600
stop
SCRIPT

ipxe() {
    step "ipxe-$1" "$3" "$2" "$3" <<'SCRIPT'
wait-for Ctrl-B 120
keys ctrl-b
wait-for ^iPXE> 60
type echo hello-ipxe\n
wait-for ^hello-ipxe
stop
SCRIPT
}
ipxe lkrn --kernel /boot/ipxe.lkrn
ipxe iso --cdrom /usr/lib/ipxe/ipxe.iso

step linux-screen "$cache/initrd.img" --kernel "$cache/vmlinuz" --initrd "$cache/initrd.img" <<'SCRIPT'
wait-for "^/ # " 600
type echo screen-$((6*7))\n
wait-for ^screen-42
type uname -m\n
wait-for ^i686
type poweroff -f\n
wait 60
SCRIPT
step linux-serial "$cache/initrd.img" --kernel "$cache/vmlinuz" --initrd "$cache/initrd.img" --append "console=ttyS0" --serial "file:$work/serial" <<'SCRIPT'
wait-for-serial "/ # " 600
type-serial echo serial-$((6*7))\n
wait-for-serial serial-42
type-serial poweroff -f\n
wait 60
SCRIPT
step linux-iso "$cache/linux.iso" --cdrom "$cache/linux.iso" <<'SCRIPT'
wait-for "Debian Linux" 120
keys enter
wait-for "^/ # " 900
type echo iso-$((6*7))\n
wait-for ^iso-42
type poweroff -f\n
wait 60
SCRIPT

# Twice to the same instruction: the same digest of processor, memory and chips.
# same NAME LIMIT OPTIONS...: two runs of so many instructions end in the same state.
same() {
    local name=$1 limit=$2 round first second
    shift 2
    for round in first second; do
        "$vitrine" run --headless --clock virtual --max-instructions "$limit" --stats "$work/$round.stats" --initrd "$cache/initrd.img" \
            --append "console=tty0 console=ttyS0" --serial none --timeout 3600 "$@"
    done
    first=$(grep -E '"(state_digest|instructions)"' "$work/first.stats")
    second=$(grep -E '"(state_digest|instructions)"' "$work/second.stats")
    if [ -n "$first" ] && [ "$first" = "$second" ] && grep -q "\"instructions\" : $limit," <<<"$first"; then
        report pass "$name" "$(sed -n 's/.*"state_digest" : "\(.*\)".*/\1/p' "$work/first.stats")"
    else
        report FAIL "$name" "$first / $second"
        failed=$((failed + 1))
    fi
}

determinism() {
    local limit model kernel
    wanted determinism || return 0
    if [ ! -r "$cache/initrd.img" ]; then
        skip determinism "no $cache/initrd.img"
        return 0
    fi
    for limit in 1 1000003 50000017 200000033 500000003 900000011 1400000023 2000000011 2600000017 3300000029; do
        same "determinism-$limit" "$limit" --kernel "$cache/vmlinuz"
    done
    # On every model: the kernel's own refusal to run on too old a processor is as good a run as another.
    for model in 486 pentium pentiumpro pentium3 x86-64-v1 x86-64-v2 x86-64-v3; do
        for limit in 300000007 1500000001; do
            kernel=$cache/vmlinuz
            if [[ $model == x86* ]] && [ -r "$cache/debian-amd64.vmlinuz" ]; then kernel=$cache/debian-amd64.vmlinuz; fi
            same "determinism-$model-$limit" "$limit" --kernel "$kernel" --cpu-model "$model" --memory 256
        done
    done
    same determinism-2-cpus 1500000001 --kernel "$cache/vmlinuz" --cpus 2
}
determinism

finish
