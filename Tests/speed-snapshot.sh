#!/usr/bin/env bash
# A Debian guest with 512 MiB, snapshots beside QEMU's savevm and loadvm in one run: how long the guest stands still, how long it all
# takes, the room on the disk, and how long a restore takes.
#
#   Tests/speed-snapshot.sh [--rounds N]
#
# 50 rounds of taking when not given. VITRINE names the program; the disk is that of `vitrine demo debian`.
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

cp --sparse=always "$disk" "$work/debian.img"
"$vitrine" create deb --os-type linux --memory 512 --disk "$work/debian.img" >/dev/null
"$vitrine" start deb --detach
"$vitrine" wait-for deb 'login: ' 300 >/dev/null
for ((n = 1; n <= rounds; n++)); do
    "$vitrine" snapshot take deb "round $n" --json >"$work/take.json"
    awk -F'[:,]' '/pause_ms/ { print $2 }' "$work/take.json" >>"$work/pauses"
    awk -F'[:,]' '/"seconds"/ { print $2 }' "$work/take.json" >>"$work/wholes"
    awk -F'[:,]' '/"bytes"/ { print $2 }' "$work/take.json" >>"$work/bytes"
    "$vitrine" snapshot delete deb "round $n"
done
"$vitrine" snapshot take deb last >/dev/null
"$vitrine" stop deb --hard
for n in 1 2 3 4 5; do
    "$vitrine" snapshot restore deb last
    begun=$(now)
    "$vitrine" start deb --detach
    echo $((($(now) - begun) / 1000000)) >>"$work/restores"
    "$vitrine" stop deb --hard
done
echo "Vitrine: pause at take $(median <"$work/pauses") ms, whole $(median <"$work/wholes") s, $(median <"$work/bytes") bytes, restore to running $(median <"$work/restores") ms"

command -v qemu-system-i386 >/dev/null || { echo "speed-snapshot: no qemu-system-i386 here"; exit 0; }
qemu-img convert -O qcow2 "$work/debian.img" "$work/q.qcow2"
qemu-system-i386 -m 512 -drive file="$work/q.qcow2",if=ide -display none -serial none -monitor unix:"$work/mon",server=on,wait=off -accel tcg &
qemu=$!
python3 - "$work/mon" "$work/q.qcow2" "$rounds" <<'PY'
import os, socket, statistics, sys, time
path, image, rounds = sys.argv[1], sys.argv[2], min(int(sys.argv[3]), 10)
for _ in range(100):
    if os.path.exists(path):
        break
    time.sleep(0.1)
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
    return time.time() - begun
time.sleep(60)  # its boot; the screen is not read
takes, restores, sizes = [], [], []
for n in range(rounds):
    before = os.stat(image).st_blocks * 512
    takes.append(ask("savevm r%d" % n))
    sizes.append(os.stat(image).st_blocks * 512 - before)
    restores.append(ask("loadvm r%d" % n))
    ask("delvm r%d" % n)
print("QEMU:    savevm (the guest stands still) %.0f ms, first %d bytes, loadvm %.0f ms" % (statistics.median(takes) * 1e3, sizes[0], statistics.median(restores) * 1e3))
PY
