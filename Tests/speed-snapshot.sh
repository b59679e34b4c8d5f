#!/usr/bin/env bash
# A Debian guest with 512 MiB, snapshots beside QEMU's savevm and loadvm in one run, taking turns: how long the guest stands still, how long it all
# takes, the room on the disk, and how long a restore takes.
#
#   Tests/speed-snapshot.sh [--rounds N]
#
# 50 rounds of taking when not given. "First" is the first snapshot after a start, which is written whole; the others stand on older ones. VITRINE
# names the program; the disk is that of `vitrine demo debian`. VITRINE_KEEP: a folder for what is measured, one number a line.
set -euo pipefail
rounds=50
[ "${1:-}" = --rounds ] && rounds=$2
here=$(cd "$(dirname "$0")/.." && pwd)
vitrine=${VITRINE:-$here/.build/release/vitrine}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vitrine/guests
disk=$cache/debian-i386.img
[ -f "$disk" ] || { echo "speed-snapshot: $disk is not there; 'vitrine demo debian' makes it" >&2; exit 1; }
work=$(mktemp -d)
export VITRINE_HOME=$work/home
qemu=""
finish() {
    "$vitrine" stop --hard deb >/dev/null 2>&1 || true
    [ -z "$qemu" ] || kill "$qemu" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
now() { date +%s%N; }
median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

boots() {
    cp --sparse=always "$disk" "$work/debian.img"
    "$vitrine" create deb --os-type linux --memory 512 --disk "$work/debian.img" >/dev/null
    "$vitrine" start deb --detach
    "$vitrine" wait-for deb 'login: ' 600 >/dev/null
}
# take NAME PREFIX
take() {
    "$vitrine" snapshot take deb "$1" --json >"$work/take.json"
    awk -F'[:,]' '/pause_ms/ { print $2 }' "$work/take.json" >>"$work/$2pauses"
    awk -F'[:,]' '/"seconds"/ { print $2 * 1000 }' "$work/take.json" >>"$work/$2wholes"
    awk -F'[:,]' '/"bytes"/ { print $2 }' "$work/take.json" >>"$work/$2bytes"
}
has_qemu=yes
command -v qemu-system-i386 >/dev/null || { has_qemu=""; echo "speed-snapshot: no qemu-system-i386 here; Vitrine alone"; }
if [ -n "$has_qemu" ]; then
    qemu-img convert -O qcow2 "$disk" "$work/q.qcow2"
    qemu-system-i386 -m 512 -drive file="$work/q.qcow2",if=ide -display none -serial none -monitor unix:"$work/mon",server=on,wait=off -accel tcg &
    qemu=$!
fi
boots
cat >"$work/qemu.py" <<'PY'
import os, socket, statistics, sys, time
path, image, work, pid = sys.argv[1:5]
s = socket.socket(socket.AF_UNIX)
s.connect(path)
def prompt():
    data = b""
    while not data.endswith(b"(qemu) "):
        data += s.recv(65536)
    return data
prompt()
def ask(text):
    begun = time.time()
    s.sendall(text.encode() + b"\n")
    prompt()
    return (time.time() - begun) * 1e3
def screen():
    ask('pmemsave 0xb8000 32768 "%s/vga"' % work)
    return open(work + "/vga", "rb").read()[::2]
def note(name, value):
    with open(work + "/" + name, "a") as f:
        f.write("%.3f\n" % value)
while b"login:" not in screen():
    time.sleep(0.5)
print("ready", flush=True)
for number, line in enumerate(sys.stdin):
    before = os.stat(image).st_blocks * 512
    note("qemu-takes", ask("savevm r%d" % number))
    note("qemu-bytes", os.stat(image).st_blocks * 512 - before)
    note("qemu-restores", ask("loadvm r%d" % number))
    # What is used again has not to be taken from the host anew, which is ten times as slow.
    ask("delvm r%d" % number)
    print("done", flush=True)
PY
if [ -n "$has_qemu" ]; then
    coproc QEMU { python3 "$work/qemu.py" "$work/mon" "$work/q.qcow2" "$work" "$qemu"; }
    read -r _ <&"${QEMU[0]}"
fi
for ((n = 1; n <= rounds; n++)); do
    take "round $n" ""
    if [ -n "$has_qemu" ]; then
        echo >&"${QEMU[1]}"
        read -r _ <&"${QEMU[0]}"
    fi
done
"$vitrine" stop deb --hard
firsts=$((rounds < 5 ? rounds : 5))
for ((n = 1; n <= firsts; n++)); do
    "$vitrine" snapshot restore deb "round $rounds"
    begun=$(now)
    "$vitrine" start deb --detach
    echo $((($(now) - begun) / 1000000)) >>"$work/restores"
    take "first $n" first-
    "$vitrine" stop deb --hard
done
[ -z "${VITRINE_KEEP:-}" ] || cp "$work"/*pauses "$work"/*wholes "$work"/*bytes "$work"/*restores "$work"/*takes "$VITRINE_KEEP"/
echo "| median | the guest stands still, ms | whole, ms | on the disk, MB | restore to running, ms |"
echo "|---|---|---|---|---|"
row() { awk -v a="$2" -v b="$3" -v c="$4" -v d="$5" -v t="$1" 'BEGIN { printf "| %s | %.0f | %.0f | %.1f | %.0f |\n", t, a, b, c / 1e6, d }'; }
row "Vitrine, $rounds in a row" "$(median <"$work/pauses")" "$(median <"$work/wholes")" "$(median <"$work/bytes")" "$(median <"$work/restores")"
row "Vitrine, the first after a start" "$(median <"$work/first-pauses")" "$(median <"$work/first-wholes")" "$(median <"$work/first-bytes")" "$(median <"$work/restores")"
[ -z "$has_qemu" ] || row "QEMU, savevm and loadvm" "$(median <"$work/qemu-takes")" "$(median <"$work/qemu-takes")" "$(head -1 "$work/qemu-bytes")" "$(median <"$work/qemu-restores")"
