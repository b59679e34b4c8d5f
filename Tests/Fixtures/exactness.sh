# What the exactness scripts share; sourced. They set `name`, `usage`, their own options with defaults, and `own_option` for those that are
# theirs alone.
#
# Reads --points, --seed, --end and, after --, options of `vitrine run` into `options`; gives `vitrine`, `work` (a folder that goes) and `run`.

refuse() {
    echo "usage: Tests/$name.sh $usage -- OPTIONS" >&2
    exit 64
}

points=1000 seed=$RANDOM end=4000000000
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    [ $# -ge 2 ] || refuse
    case $1 in
        --points) points=$2 ;;
        --seed) seed=$2 ;;
        --end) end=$2 ;;
        *) own_option "$1" "$2" || refuse ;;
    esac
    shift 2
done
[ $# -eq 0 ] || shift
options=("$@")
here=$(cd "$(dirname "$0")/.." && pwd)
vitrine=${VITRINE:-$here/.build/release/vitrine}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
run() { "$vitrine" run "${options[@]}" --headless --clock virtual --disposable "$@"; }
