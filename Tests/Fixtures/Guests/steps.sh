# Sourced by the scripts that run whole guests: the program, which steps are wanted, one guest's run and its report.
# The script sets `words` (names or parts of them; none: all) before.

failed=0
skipped=0
work=$(mktemp -d)
vitrine=${VITRINE:-}
if [ -z "$vitrine" ]; then
    swift build -c release --product vitrine >&2
    vitrine="$(swift build -c release --show-bin-path)/vitrine"
fi

wanted() {
    [ ${#words[@]} -gt 0 ] || return 0
    local word
    for word in "${words[@]}"; do [[ $1 == *"$word"* ]] && return 0; done
    return 1
}

report() { printf '%-6s %-24s %s\n' "$1" "$2" "$3"; }

skip() {
    report skip "$1" "$2"
    skipped=$((skipped + 1))
}

# guest NAME OPTIONS... <script: passes when the run ends with 0 by the script's `stop` or by a power-off.
guest() {
    local name=$1 began=$SECONDS status=0 outcome
    shift
    cat >"$work/$name.script"
    "$vitrine" run --headless --clock virtual --script "$work/$name.script" --screen-text "$work/$name.screen" --stats "$work/$name.stats" \
        "$@" >"$work/$name.log" 2>&1 || status=$?
    outcome=$(sed -n 's/.*"outcome" : "\(.*\)".*/\1/p' "$work/$name.stats" 2>/dev/null || true)
    if [ "$status" = 0 ] && { [ "$outcome" = script-stop ] || [ "$outcome" = power-off ]; }; then
        report pass "$name" "$outcome, $((SECONDS - began)) s, $(sed -n 's/.*"instructions" : \([0-9]*\).*/\1/p' "$work/$name.stats") instructions"
    else
        report FAIL "$name" "status $status ($outcome), see $work/$name.*"
        failed=$((failed + 1))
    fi
}

# The script's last word.
finish() {
    printf '%d failed, %d skipped\n' "$failed" "$skipped"
    if [ "$failed" = 0 ]; then rm -rf -- "$work"; fi
    [ "$failed" = 0 ]
}
