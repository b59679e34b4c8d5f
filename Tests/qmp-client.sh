#!/usr/bin/env bash
# Installs Python's qemu.qmp, the client library of QEMU's own project, for the tests of the control socket: in a virtual environment in the
# cache, nothing else is touched. Without Python, its venv module or a package index the test is left out; this says why.
set -euo pipefail
folder="${XDG_CACHE_HOME:-$HOME/.cache}/vitrine/qmp-client"
say() { printf 'qmp-client: %s\n' "$*" >&2; }

python3 -c 'import qemu.qmp' 2>/dev/null && exit 0
[ -x "$folder/bin/python3" ] && "$folder/bin/python3" -c 'import qemu.qmp' 2>/dev/null && exit 0
command -v python3 >/dev/null || { say "python3 is not installed"; exit 1; }
rm -rf -- "$folder"
python3 -m venv "$folder" >/dev/null 2>&1 || { say "python3 has no venv module (Debian: python3-venv)"; rm -rf -- "$folder"; exit 1; }
"$folder/bin/pip" install --quiet --disable-pip-version-check qemu.qmp >&2 || { say "pip could not fetch qemu.qmp"; rm -rf -- "$folder"; exit 1; }
