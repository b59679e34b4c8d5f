#!/usr/bin/env bash
# Saves the state of a guest at random points of one run, and lets new processes go on from each of them: at the next point they must have
# the digest that the uninterrupted run had there.
#
#   Tests/state-exactness.sh [--points N] [--seed S] [--batch N] [--end INSTRUCTIONS] -- OPTIONS OF vitrine run
#
# 1,000 points when not given. `--clock virtual`, `--headless` and `--disposable` are always added. VITRINE names the program.
set -euo pipefail

name=state-exactness usage="[--points N] [--seed S] [--batch N] [--end INSTRUCTIONS]" batch=40
own_option() { case $1 in --batch) batch=$2 ;; *) return 1 ;; esac }
. "$(dirname "$0")/Fixtures/exactness.sh"

# Random points in order, from the seed.
awk -v n="$points" -v seed="$seed" -v end="$end" 'BEGIN { srand(seed); for (i = 0; i < n; i++) printf "%.0f\n", 1 + rand() * (end - 1) }' |
    sort -n -u >"$work/points"
echo "state-exactness: seed $seed, $(wc -l <"$work/points") points up to $end"

# The uninterrupted run: digests alone, nothing is saved.
while read -r point; do printf 'wait-instructions %s\ndigest %s\n' "$point" "$work/straight"; done <"$work/points" >"$work/straight.txt"
echo stop >>"$work/straight.txt"
run --script "$work/straight.txt"

good=0 bad=0 last=""
while mapfile -t -n "$batch" group && [ ${#group[@]} -gt 0 ]; do
    # On from the last state of the batch before, itself a restored one.
    { [ -z "$last" ] || echo "restore $last"
      for point in "${group[@]}"; do printf 'wait-instructions %s\nsave %s\n' "$point" "$work/at-$point"; done
      echo stop; } >"$work/saving.txt"
    run --script "$work/saving.txt"
    [ -z "$last" ] || rm -f "$last"
    for index in "${!group[@]}"; do
        point=${group[$index]} next=${group[$((index + 1))]:-}
        [ -n "$next" ] || next=$(awk -v p="$point" '$1 > p { print; exit }' "$work/points")
        [ -n "$next" ] || continue
        printf 'restore %s\nwait-instructions %s\ndigest %s\nstop\n' "$work/at-$point" "$next" "$work/restored" >"$work/one.txt"
        rm -f "$work/restored"
        run --script "$work/one.txt" || true
        if [ -s "$work/restored" ] && grep -qxF "$(cat "$work/restored")" "$work/straight"; then
            good=$((good + 1))
        else
            bad=$((bad + 1))
            echo "state-exactness: saved at $point: at $next the digest differs" >&2
        fi
    done
    last="$work/at-${group[-1]}"
    for point in "${group[@]:0:$((${#group[@]} - 1))}"; do rm -f "$work/at-$point"; done
    echo "state-exactness: $good alike, $bad different"
done <"$work/points"
[ "$bad" = 0 ]
