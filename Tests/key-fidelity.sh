#!/usr/bin/env bash
# Types into the console in real terminals, xterm and kitty under Xvfb, and compares what the guest's keyboard gets, press by press.
#
#   Tests/key-fidelity.sh [xterm] [kitty]      both when none is named
#
# Needs Xvfb, xdotool and the terminals (Debian: xvfb xdotool xterm kitty), and the test program consoleprobe, which it builds when it is not there.
# Exit status: 0 every key arrived as it should; 1 one did not; 77 a part is not installed, and which one is said; 64 wrong usage.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf 'key-fidelity: %s\n' "$*" >&2; }

terminals=("$@")
[ $# -gt 0 ] || terminals=(xterm kitty)
for name in "${terminals[@]}"; do
    case $name in xterm | kitty) ;; *) say "usage: Tests/key-fidelity.sh [xterm] [kitty]"; exit 64 ;; esac
done
for tool in Xvfb xdotool; do
    command -v $tool >/dev/null || { say "$tool is not installed (Debian: xvfb xdotool); nothing was tested"; exit 77; }
done

probe="${CONSOLEPROBE:-.build/debug/consoleprobe}"
if [ ! -x "$probe" ]; then
    say "building consoleprobe"
    swift build --product consoleprobe >&2
fi
probe=$(readlink -f "$probe")

folder=$(mktemp -d)
pids=()
cleanup() {
    local pid
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf -- "$folder"
}
trap cleanup EXIT

# Xvfb looks for a display number that is free, and writes it.
Xvfb -displayfd 3 -screen 0 1024x768x24 -nolisten tcp 3>"$folder/display" >/dev/null 2>&1 &
pids+=($!)
for _ in $(seq 200); do [ -s "$folder/display" ] && break; sleep 0.05; done
[ -s "$folder/display" ] || { say "Xvfb did not start"; exit 1; }
DISPLAY=:$(cat "$folder/display")
export DISPLAY
unset WAYLAND_DISPLAY TMUX KITTY_WINDOW_ID

failed=0
log=""
taken=0

# What the guest's keyboard got since the last call, on one line.
fresh() { grep -v '^release-all$' "$log" 2>/dev/null | tail -n "+$((taken + 1))" | tr '\n' ' ' | sed 's/ $//'; }

# expect WHAT WANTED: waits until the guest has got that.
expect() {
    local got=""
    for _ in $(seq 100); do
        got=$(fresh)
        [ "$got" = "$2" ] && break
        sleep 0.05
    done
    # What comes late, or too much, belongs to this key.
    sleep 0.15
    got=$(fresh)
    taken=$(grep -vc '^release-all$' "$log" 2>/dev/null || true)
    if [ "$got" = "$2" ]; then
        say "  ok    $1"
    else
        say "  WRONG $1: wanted '$2', got '$got'"
        failed=1
    fi
}

# press KEYS WANTED: down in order, up in the opposite one, as fingers do it. A number is a key code.
press() {
    local keys=() i
    IFS=+ read -ra keys <<<"$1"
    for key in "${keys[@]}"; do xdotool keydown "$key"; done
    for ((i = ${#keys[@]} - 1; i >= 0; i--)); do xdotool keyup "${keys[i]}"; done
    expect "${3:-$1}" "$2"
}

open_terminal() {
    log="$folder/$1.log"
    taken=0
    : >"$log"
    local command=("$probe" --log "$log" --theme dark)
    case $1 in
        xterm) env -u COLORTERM LANG=C.UTF-8 xterm -geometry 80x25 -e "${command[@]}" >/dev/null 2>"$folder/error" & ;;
        kitty)
            env -u COLORTERM LANG=C.UTF-8 LIBGL_ALWAYS_SOFTWARE=1 kitty --config NONE -o update_check_interval=0 -o confirm_os_window_close=0 \
                -o clear_all_shortcuts=yes -o remember_window_size=no -o initial_window_width=80c -o initial_window_height=25c "${command[@]}" >/dev/null 2>"$folder/error" &
            ;;
    esac
    terminal=$!
    pids+=("$terminal")
    local window=""
    for _ in $(seq 400); do
        window=$(xdotool search --onlyvisible --class "$1" 2>/dev/null | head -n 1 || true)
        [ -n "$window" ] && break
        sleep 0.05
    done
    [ -n "$window" ] || { say "$1 shows no window: $(head -c 300 "$folder/error")"; failed=1; return 1; }
    # Without a window manager the keys go to the window under the pointer, or to the one that has the focus.
    xdotool mousemove --window "$window" 200 200
    xdotool windowfocus "$window" 2>/dev/null || true
    # The console is up when a key arrives.
    for _ in $(seq 100); do
        xdotool key space
        sleep 0.1
        [ -s "$log" ] && break
    done
    [ -s "$log" ] || { say "$1: no key arrives"; failed=1; return 1; }
    sleep 0.5
    taken=$(grep -vc '^release-all$' "$log" || true)
}

# Chords, the same everywhere.
chords() {
    press a "+a -a"
    press shift+b "+leftShift +b -b -leftShift"
    press ctrl+c "+leftCtrl +c -c -leftCtrl"
    press alt+x "+leftAlt +x -x -leftAlt"
    press Tab "+tab -tab"
    press ctrl+i "+leftCtrl +i -i -leftCtrl"
    press Return "+enter -enter"
    press ctrl+Return "+leftCtrl +enter -enter -leftCtrl"
    press Escape "+esc -esc"
    press BackSpace "+backspace -backspace"
    press F1 "+f1 -f1"
    press F12 "+f12 -f12"
    press shift+F3 "+leftShift +f3 -f3 -leftShift"
    press ctrl+F5 "+leftCtrl +f5 -f5 -leftCtrl"
    press alt+F4 "+leftAlt +f4 -f4 -leftAlt"
    press Up "+up -up"
    press ctrl+Left "+leftCtrl +left -left -leftCtrl"
    press Home "+home -home"
    press Page_Up "+pageUp -pageUp"
    press Insert "+insert -insert"
    press Delete "+delete -delete"
    press ctrl+alt+Delete "+leftCtrl +leftAlt +delete -delete -leftAlt -leftCtrl"
    press ctrl+shift+a "+leftCtrl +leftShift +a -a -leftShift -leftCtrl"
    press shift+1 "+leftShift +digit1 -digit1 -leftShift"
    # The host key, then d: Ctrl-Alt-Del; twice: itself.
    xdotool keydown ctrl keydown bracketright keyup bracketright keyup ctrl; sleep 0.1; xdotool key d
    expect "ctrl-] d" "$1+leftCtrl +leftAlt +delete -delete -leftAlt -leftCtrl"
}

# What only a terminal that tells presses and releases can do.
releases() {
    press Control_L "+leftCtrl -leftCtrl"
    press 105 "+rightCtrl -rightCtrl" "Control_R"
    press Alt_L "+leftAlt -leftAlt"
    press 62 "+rightShift -rightShift" "Shift_R"
    press Print "+printScreen -printScreen"
    press 66 "+capsLock -capsLock" "Caps_Lock on"
    press 66 "+capsLock -capsLock" "Caps_Lock off"
    press KP_Add "+kpPlus -kpPlus"
    # Two keys held across each other.
    xdotool keydown a; sleep 0.05; xdotool keydown s; sleep 0.05; xdotool keyup a; sleep 0.05; xdotool keyup s
    expect "a and s held" "+a +s -a -s"
    # A modifier that is held through two keys.
    xdotool keydown Alt_L; xdotool key x; xdotool key y; xdotool keyup Alt_L
    expect "Alt held through x and y" "+leftAlt +x -x +y -y -leftAlt"
}

missing=0
for name in "${terminals[@]}"; do
    command -v "$name" >/dev/null || { say "$name is not installed (Debian: $name); it was not tested"; missing=1; continue; }
    say "$name"
    terminal=0
    if open_terminal "$name"; then
        if [ "$name" = kitty ]; then
            # The modifier of the host key has reached the guest, and is let go of.
            chords "+leftCtrl -leftCtrl "
            releases
        else
            chords ""
            # A bare modifier is nothing that xterm tells of.
            press Control_L ""
        fi
    fi
    [ "$terminal" = 0 ] || kill "$terminal" 2>/dev/null || true
    wait "$terminal" 2>/dev/null || true
done

[ "$failed" = 0 ] || { say "some keys did not arrive as they should"; exit 1; }
[ "$missing" = 0 ] || exit 77
say "every key arrived as it should"
