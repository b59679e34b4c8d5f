#!/usr/bin/env bash
# Compares the state digests of both engines at many points of a guest's boot; not part of CI.
#
#   Tests/engine-digests.sh [--points N] [--last INSTRUCTIONS] [-- OPTIONS OF vitrine run]
#
# Each point is a run of its own with either engine, ended after so many instructions. Without options the guest is the Linux that
# Tests/guests.sh builds. VITRINE names a binary to use instead of a release build made here. `--engine lockstep` compares more often, but
# does not see what only a whole digest shows.
set -euo pipefail
cd "$(dirname "$0")/.."

points=20 last=2600000000
while [ $# -gt 0 ]; do
    case $1 in
    --points) points=$2; shift 2 ;;
    --last) last=$2; shift 2 ;;
    --) shift; break ;;
    *) echo "engine-digests: '$1' is no option; see the head of this script" >&2; exit 64 ;;
    esac
done
guests=${XDG_CACHE_HOME:-$HOME/.cache}/vitrine/guests
if [ $# -eq 0 ]; then
    [ -s "$guests/initrd.img" ] || Tests/guests.sh "$guests"
    set -- --kernel "$guests/vmlinuz" --initrd "$guests/initrd.img" --append "quiet console=ttyS0"
fi
if [ -z "${VITRINE:-}" ]; then
    swift build -c release --product vitrine >&2
    VITRINE=$(swift build -c release --show-bin-path)/vitrine
fi
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
different=0
for ((n = 1; n <= points; n++)); do
    # Not at round numbers.
    count=$((last / points * n - n * 7919 % 4096))
    for engine in interpreter translator; do
        "$VITRINE" run --engine "$engine" --clock virtual --disposable --headless --max-instructions "$count" --stats "$work/$engine" "$@" >/dev/null
        sed -n 's/.*"state_digest" : "\(.*\)".*/\1/p' "$work/$engine" >"$work/$engine.digest"
    done
    if ! cmp -s "$work/interpreter.digest" "$work/translator.digest"; then
        echo "engine-digests: the engines differ at instruction $count: $(cat "$work/interpreter.digest"), $(cat "$work/translator.digest")" >&2
        different=1
    fi
done
[ "$different" -eq 0 ] && echo "engine-digests: $points points alike, to instruction $last"
exit "$different"
