#!/usr/bin/env bash
# Records a run and sends the machine to random moments of it, back and forth: at each it must have the digest that a run which only goes
# forward has there.
#
#   Tests/travel-exactness.sh [--points N] [--seed S] [--end INSTRUCTIONS] -- OPTIONS OF vitrine run
#
# 1,000 points when not given. `--clock virtual`, `--headless` and `--disposable` are always added. VITRINE names the program.
set -euo pipefail

name=travel-exactness usage="[--points N] [--seed S] [--end INSTRUCTIONS]"
own_option() { return 1; }
. "$(dirname "$0")/Fixtures/exactness.sh"

awk -v n="$points" -v seed="$seed" -v end="$end" \
    'BEGIN { srand(seed); for (i = 0; i < n; i++) printf "%.0f %.9f\n", 1 + rand() * (end - 1), rand() }' >"$work/points"
echo "travel-exactness: seed $seed, $points points up to $end"

# Forward only, and in order.
sort -n -u -k1,1 "$work/points" | while read -r point _; do
    printf 'wait-instructions %s\ndigest %s\n' "$point" "$work/straight"
done >"$work/straight.txt"
echo stop >>"$work/straight.txt"
run --script "$work/straight.txt"

# Recorded to the end, then to the points in any order.
{ echo "wait-instructions $end"
  sort -k2,2 "$work/points" | while read -r point _; do printf 'goto-instruction %s\ndigest %s\n' "$point" "$work/travelled"; done
  echo stop; } >"$work/travel.txt"
began=$(date +%s)
run --record --script "$work/travel.txt"
echo "travel-exactness: recording and going took $(($(date +%s) - began)) s"

sort -u "$work/travelled" | comm -13 <(sort -u "$work/straight") - >"$work/different"
cat "$work/different" >&2
bad=$(wc -l <"$work/different")
went=$(wc -l <"$work/travelled")
echo "travel-exactness: $went moments, $bad of them different"
[ "$bad" = 0 ] && [ "$went" -ge "$(sort -n -u -k1,1 "$work/points" | wc -l)" ]
