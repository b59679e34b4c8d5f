#!/usr/bin/env bash
# Runs a guest once with either engine and compares their state digests at random moments; not part of CI.
#
#   Tests/engine-digests.sh [--points N] [--seed S] [--end INSTRUCTIONS] -- OPTIONS OF vitrine run
#
# 1,000 points when not given. `--clock virtual`, `--headless` and `--disposable` are always added. VITRINE names the program.
# `--engine lockstep` compares more often, but does not see what only a whole digest shows.
set -euo pipefail
name=engine-digests usage="[--points N] [--seed S] [--end INSTRUCTIONS]"
own_option() { return 1; }
. "$(dirname "$0")/Fixtures/exactness.sh"

awk -v n="$points" -v seed="$seed" -v end="$end" 'BEGIN { srand(seed); for (i = 0; i < n; i++) printf "%.0f\n", 1 + rand() * (end - 1) }' |
    sort -n -u >"$work/points"
echo "engine-digests: seed $seed, $(wc -l <"$work/points") points up to $end"
for engine in interpreter translator; do
    while read -r point; do printf 'wait-instructions %s\ndigest %s\n' "$point" "$work/$engine"; done <"$work/points" >"$work/$engine.txt"
    echo stop >>"$work/$engine.txt"
    run --engine "$engine" --script "$work/$engine.txt"
done
bad=$(diff "$work/interpreter" "$work/translator" | grep -c '^>' || true)
went=$(wc -l <"$work/translator")
diff "$work/interpreter" "$work/translator" | head -5 >&2 || true
echo "engine-digests: $went moments, $bad of them different"
[ "$bad" = 0 ] && [ "$went" -ge "$(wc -l <"$work/points")" ]
