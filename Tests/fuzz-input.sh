#!/usr/bin/env bash
# Random files as disk, floppy, CD, kernel and BIOS: never a trap, never a hang. Half an hour; CI runs 40 of each.
#
#   Tests/fuzz-input.sh [COUNT] [SEED]     COUNT of each kind, 1000 when not given, from SEED on, 1 when not given;
#                                          VITRINE_FUZZ_KINDS=cdrom,kernel takes some kinds only
#
# A file that brought the process down is left in the temporary folder, named vitrine-noise-PID-KIND-SEED.
set -euo pipefail
cd "$(dirname "$0")/.."
VITRINE_FUZZ=${1:-1000} VITRINE_SEED=${2:-1} swift test --filter BadInputRandomTests
