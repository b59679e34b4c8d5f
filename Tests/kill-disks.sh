#!/usr/bin/env bash
# Kills guests that write to their disks, and works on disk images, at random moments (SIGKILL); then every image must open, be sound and hold
# what it should. Not part of CI.
#
#   Tests/kill-disks.sh [COUNT]      how many kills, 100 when not given
#
# VITRINE names a binary to use instead of a release build made here.
#
# Needs: nasm, python3.
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:-100}
if [ -z "${VITRINE:-}" ]; then
    swift build -c release --product vitrine >&2
    VITRINE=$(swift build -c release --show-bin-path)/vitrine
fi
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
nasm -f bin -o "$work/writer.img" Tests/Fixtures/Disks/writer.asm
RANDOM=${SEED:-1}

fail() { echo "kill: $*" >&2; exit 1; }
# Runs a command and kills it after some milliseconds.
killed() {
    local milliseconds=$1
    shift
    "$@" >"$work/output" 2>&1 &
    local process=$!
    sleep "$(printf '%d.%03d' $((milliseconds / 1000)) $((milliseconds % 1000)))"
    kill -KILL "$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || true
}
# Every sector is zeros or what the guest has written there.
cat >"$work/sectors.py" <<'PY'
import struct, sys
data = open(sys.argv[1], "rb").read()
used = 0
for number in range(len(data) // 512):
    sector = data[number * 512:number * 512 + 512]
    if sector == bytes(512):
        continue
    used += 1
    if sector[:4] != struct.pack("<I", number) or sector != sector[:8] * 64:
        sys.exit(f"sector {number} holds something else")
print(used)
PY

kinds=(disk.img disk.vdi disk.qcow2 disk.vmdk disk.vhd child.vdi child.qcow2 child.vmdk child.vhd)
sectors=0
guests=$((count / 2))
for ((i = 0; i < guests; i++)); do
    kind=${kinds[i % ${#kinds[@]}]}
    # The same image is killed again and again; now and then a new one.
    folder=$work/$kind.d
    [ $((i / ${#kinds[@]} % 8)) != 0 ] || rm -rf "$folder"
    if [ ! -d "$folder" ]; then
        mkdir "$folder"
        "$VITRINE" disk create "$folder/disk.${kind#*.}" --size 20M >"$work/output"
        case $kind in child.*) "$VITRINE" disk create "$folder/$kind" --parent "$folder/disk.${kind#*.}" >"$work/output" ;; esac
    fi
    killed $((400 + RANDOM % 900)) "$VITRINE" run --headless --floppy "$work/writer.img" --boot a --disk "$folder/$kind" --memory 8
    # Opening it for writing makes right what can be; then it must be sound.
    "$VITRINE" disk resize "$folder/$kind" 20M >"$work/output" || fail "guest $i: $kind does not open: $(cat "$work/output")"
    "$VITRINE" disk check "$folder/$kind" >"$work/output" || fail "guest $i: $kind is not sound: $(cat "$work/output")"
    "$VITRINE" disk convert "$folder/$kind" "$work/all.img" --format raw >"$work/output" || fail "guest $i: $kind cannot be read"
    used=$(python3 "$work/sectors.py" "$work/all.img") || fail "guest $i: $kind"
    sectors=$((sectors + used))
    rm -f "$work/all.img"
done
echo "kill: $guests guests killed, $sectors sectors looked at, every image opens and is sound"

# Chains of three, whose contents are kept raw beside them.
python3 - "$work" <<'PY'
import random, sys
random.seed(7)
for number in range(3):
    with open(f"{sys.argv[1]}/fill{number}.img", "wb") as f:
        f.truncate(48 << 20)
        for _ in range(40):
            f.seek(random.randrange(0, (47 << 20) // 512) * 512)
            f.write(random.randbytes(random.randrange(1, 400) * 512))
PY
ended=0
for ((i = guests; i < count; i++)); do
    extensions=(vdi qcow2 vmdk vhd)
    extension=${extensions[RANDOM % 4]}
    folder=$work/chain
    rm -rf "$folder"
    mkdir "$folder"
    base=$folder/a.$extension top=$folder/b.$extension
    "$VITRINE" disk convert "$work/fill0.img" "$base" >"$work/output"
    "$VITRINE" disk create "$top" --parent "$base" >"$work/output"
    killed $((400 + RANDOM % 300)) "$VITRINE" run --headless --floppy "$work/writer.img" --boot a --disk "$top" --memory 8
    "$VITRINE" disk convert "$top" "$folder/expected.img" --format raw >"$work/output"
    limit=$((2 + RANDOM % 120))
    case $((RANDOM % 5)) in
        0) killed $limit "$VITRINE" disk merge "$top" ;;
        1) killed $limit "$VITRINE" disk merge "$top" --into child ;;
        2) killed $limit "$VITRINE" disk compact "$top" ;;
        3) killed $limit "$VITRINE" disk convert "$top" "$folder/new.qcow2" ;;
        4) killed $limit "$VITRINE" disk compact "$base" ;;
    esac
    # A merge that was decided has made the parent what the child was.
    "$VITRINE" disk info "$base" >"$work/output" || fail "work $i: $(cat "$work/output")"
    [ -e "$top" ] || { ended=$((ended + 1)); top=$base; }
    "$VITRINE" disk compare "$top" "$folder/expected.img" >"$work/output" || fail "work $i, $extension: $(cat "$work/output")"
    "$VITRINE" disk check "$top" --repair >"$work/output" || fail "work $i, $extension: $(cat "$work/output")"
    "$VITRINE" disk compare "$top" "$folder/expected.img" >"$work/output" || fail "work $i, $extension, repaired: $(cat "$work/output")"
    [ ! -e "$folder/new.qcow2" ] || "$VITRINE" disk compare "$folder/new.qcow2" "$folder/expected.img" >"$work/output" || fail "work $i: half a copy"
done
echo "kill: $((count - guests)) works killed ($ended merges ended), every disk shows what it did"
