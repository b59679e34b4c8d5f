#!/usr/bin/env bash
# Debian from its own disk, whole: GRUB's menu, kernel, login on the screen, checks of processor and disk in the guest, power-off with 0,
# a clean file system; then the same file system without a boot loader, as users of User-Mode Linux know it. Ten minutes and more; not CI.
#
#   Tests/debian.sh [--arch i386|amd64] [--interface ide|virtio] [--cpus N] [--memory MIB] [--clock host|virtual] [-- OPTIONS]
#
# OPTIONS go to `vitrine run`. VITRINE=FILE takes another program than .build/release/vitrine; VITRINE_MIRROR=URI names the archive that
# the disk is made from when it is not there. Failed steps leave script, screen and logs in a folder that is named.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

arch=i386
interface=ide
cpus=1
memory=256
clock=virtual
usage() {
    sed -n '5s/^# *//p' "$0" >&2
    exit 64
}
while [ $# -gt 0 ]; do
    case $1 in
        --arch) arch=${2:-} ;;
        --interface) interface=${2:-} ;;
        --cpus) cpus=${2:-} ;;
        --memory) memory=${2:-} ;;
        --clock) clock=${2:-} ;;
        --) shift; break ;;
        *) usage ;;
    esac
    shift 2 || usage
done
[[ $arch =~ ^(i386|amd64)$ && $interface =~ ^(ide|virtio)$ && $cpus =~ ^[1-8]$ && $memory =~ ^[0-9]+$ && $clock =~ ^(host|virtual)$ ]] || usage

options=(--headless --cpus "$cpus" --clock "$clock" --timeout 7200 "$@")
drive=sda
if [ "$interface" = virtio ]; then
    options+=(--disk-interface virtio)
    drive=vda
fi
machine=i686
if [ "$arch" = amd64 ]; then
    machine=x86_64
    # The user's own --cpu-model stands behind this one, and the last counts.
    options=(--cpu-model x86-64-v2 "${options[@]}")
fi

vitrine=${VITRINE:-}
if [ -z "$vitrine" ]; then
    swift build -c release --product vitrine >&2
    vitrine="$(swift build -c release --show-bin-path)/vitrine"
fi
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vitrine/guests
# Made when it is missing; the run itself ends after one instruction.
"$vitrine" demo "debian-$arch" ${VITRINE_MIRROR:+--mirror "$VITRINE_MIRROR"} --headless --max-instructions 1
work=$(mktemp -d)
failed=0

report() { printf '%-6s %-16s %s\n' "$1" "$2" "$3"; }
fail() {
    report FAIL "$1" "$2"
    failed=$((failed + 1))
}

# check NAME SECONDS COMMAND: types the command on the screen; passes when its status is 0.
check() { printf 'type %s; echo %s=$?\\n\nwait-for "^%s=[0-9]" %s\nwait-for "^%s=0" 1\n' "$3" "$1" "$1" "$2" "$1"; }

login() {
    cat <<'SCRIPT'
wait-for "debian login:" 1200
type root\n
wait-for Password: 60
type vitrine\n
wait-for "^root@debian:~#" 200
SCRIPT
}

# run NAME OPTIONS <script
run() {
    local name=$1 began=$SECONDS status=0 outcome
    shift
    cat >"$work/$name.script"
    "$vitrine" run "${options[@]}" --serial "file:$work/$name.serial" --script "$work/$name.script" --screen-text "$work/$name.screen" \
        --stats "$work/$name.stats" "$@" >"$work/$name.log" 2>&1 || status=$?
    outcome=$(sed -n 's/.*"outcome" : "\(.*\)".*/\1/p' "$work/$name.stats" 2>/dev/null || true)
    if [ "$status" = 0 ] && [ "$outcome" = power-off ]; then
        report pass "$name" "power-off, $((SECONDS - began)) s, $(sed -n 's/.*"instructions" : \([0-9]*\).*/\1/p' "$work/$name.stats") instructions"
    else
        fail "$name" "status $status ($outcome), see $work/$name.*"
    fi
}

# clean NAME IMAGE: the file system was unmounted in good order and holds no error.
clean() {
    if e2fsck -fn "$2" >"$work/$1.log" 2>&1 && dumpe2fs -h "$2" 2>/dev/null | grep -q '^Filesystem state: *clean$' &&
        ! dumpe2fs -h "$2" 2>/dev/null | grep -q needs_recovery; then
        report pass "$1" "$(tail -n 1 "$work/$1.log" | sed 's/^[^:]*: //')"
    else
        fail "$1" "see $work/$1.log"
    fi
}

# What Linux says when it thinks little of its hardware.
blame='unstable|lost.*tick|calibrat.*fail|unable to calibrate|broken|failed to access|BUG:|WARNING:|Call Trace|\bOops|lockup|hung_task|blocked for more'
blame+='|I/O error|ata[0-9.]+: .*(error|fail|exception|frozen|timeout|limiting)|firmware bug|hardware error|ACPI.*(error|exception|warning)'
blame+='|nobody cared|spurious|warp|skew|timed out|APIC.*(error|fail)|DMA.*(error|disabled)|i8042.*(fail|no controller)|virtio.*(fail|error)'
blame+='|EXT4-fs (error|warning)|segfault|general protection|invalid opcode|trap '

cp --sparse=always "$cache/debian-$arch.img" "$work/disk.img"
{
    cat <<'SCRIPT'
wait-for "GNU GRUB" 120
wait-for "The highlighted entry" 10
keys enter
SCRIPT
    login
    check uname 30 "uname -a; uname -m | grep -qx $machine"
    check cpuinfo 30 "cat /proc/cpuinfo >/dev/ttyS0; test \$(nproc) = $cpus"
    check root 30 "findmnt -no SOURCE / | grep -qx /dev/${drive}1"
    check running 600 "systemctl is-system-running --wait"
    check failed 60 "test -z \"\$(systemctl --failed -q --no-pager)\""
    # The shell's own consoles get the log once more; between the marks is what the host looks at.
    check dmesg 60 "(echo MARK-BEGIN; dmesg --color=never; echo MARK-END) >/dev/ttyS0"
    check audit 300 "test -z \"\$(dpkg --audit)\""
    check apt 300 "apt-get check"
    # /etc/issue and the like are ours; everything else is as it was packed.
    check verify 1200 "test -z \"\$(dpkg --verify | grep -v ' c /')\""
    check sha256 1800 "sha256sum --quiet -c /var/lib/vitrine/usr.sha256"
    check python 120 "python3 -c 'import hashlib as h; assert sum(x*x for x in range(9**6))%1000003==558670 and 2**.5*2**.5-2<1e-15; print(h.sha256(b\"\").hexdigest()[:8])'"
    check openssl 300 "printf abc | openssl sha256 | grep -q ba7816bf; openssl speed -seconds 1 sha256 aes-128-cbc 2>&1 | tail -n 3"
    check rsa 600 "openssl genrsa 1024 >k 2>/dev/null; openssl rsa -in k -check -noout"
    check cipher 300 "openssl enc -aes-256-cbc -pbkdf2 -k x -in /bin/bash | openssl enc -d -aes-256-cbc -pbkdf2 -k x | cmp - /bin/bash"
    check gzip 300 "gzip -9 </bin/bash | gzip -d | cmp - /bin/bash"
    check awk 120 "awk 'BEGIN { for (i = 1; i < 1e5; i++) s += 1 / i / i; exit !(s > 1.64492406 && s < 1.64492407) }'"
    check forks 300 "i=0; while [ \$i -lt 300 ]; do /bin/true; i=\$((i+1)); done"
    check write 300 "dd if=/dev/urandom of=x bs=1M count=32 status=none && sync && cp x y && sync && echo 3 >/proc/sys/vm/drop_caches && cmp x y && rm x y"
    printf 'type halt -p\\n\nwait 300\n'
} | run disk --disk "$work/disk.img" --memory "$memory"

tr -d '\r' <"$work/disk.serial" | sed -n '/^MARK-BEGIN$/,/^MARK-END$/p' >"$work/dmesg"
if [ "$(wc -l <"$work/dmesg")" -lt 100 ]; then
    fail dmesg "the kernel's log did not come, see $work/disk.serial"
elif grep -E -i "$blame" "$work/dmesg" >"$work/blame"; then
    fail dmesg "$(wc -l <"$work/blame") lines blame the hardware, the first: $(head -n 1 "$work/blame")"
else
    report pass dmesg "$(wc -l <"$work/dmesg") lines, none blames the hardware"
fi
clean fsck "$work/disk.img?offset=1048576"

# The file system alone, without a table of partitions: started by the firmware with the kernel beside it.
dd if="$work/disk.img" of="$work/root_fs" bs=1M skip=1 conv=sparse status=none
{
    login
    check direct 30 "findmnt -no SOURCE / | grep -qx /dev/$drive"
    check small 30 "free -m"
    printf 'type poweroff\\n\nwait 300\n'
} | run direct --disk "$work/root_fs" --memory 128 --kernel "$cache/debian-$arch.vmlinuz" --initrd "$cache/debian-$arch.initrd.img" \
    --append "root=/dev/$drive rw nomodeset"
clean direct-fsck "$work/root_fs"

printf '%s, %s, %s processors: %d failed\n' "$arch" "$interface" "$cpus" "$failed"
if [ "$failed" = 0 ]; then rm -rf -- "$work"; else exit 1; fi
