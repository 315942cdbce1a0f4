#!/bin/sh
# Builds the native cores so that they count what runs, runs their tests, and prints which share of lines and branches ran.
#
#   tests/native/coverage.sh [PYTEST ARGUMENTS]     default: the tests of both cores
#
# .build/coverage/missed.txt lists what did not run. Exits with 1 below the bounds that coverage_report.py names.
set -eu
cd "$(dirname "$0")/../.."
folder=$PWD/.build/coverage
library=$folder/lib
rm -rf "$folder"
mkdir -p "$library" "$folder/bin"
printf '#!/bin/sh\nexec /usr/bin/python3 -I "%s" "$@"\n' "$PWD/tests/native/coverage_compiler.py" >"$folder/bin/gcc"
chmod +x "$folder/bin/gcc"
OCSENTRY_WOLFSSL=$(vpn_frontend/native/wolfssl.sh)
export OCSENTRY_WOLFSSL OCSENTRY_COVERAGE="$folder" OCSENTRY_CORES="sentry_engine vpn_frontend" OCSENTRY_TESTED_BUILD="$library"
export OCSENTRY_FAULT_STEP="${OCSENTRY_FAULT_STEP:-1}"  # every allocation and call fails
export PATH="$folder/bin:$PATH" CC=gcc PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1
.venv/bin/python -W ignore -c 'from setuptools import setup; setup()' --quiet \
    build --build-lib "$library" --build-temp "$folder/temp"
run() { PYTHONPATH="$library" .venv/bin/pytest -q -p no:cacheprovider -o pythonpath="$library ." --basetemp="$folder/tmp-$$-$#" "$@"; }
# Two processes of their own: those of pytest-xdist may be killed at their end, before they have written their counters.
if [ $# -gt 0 ]; then
    run "$@"
else
    run tests/sentry_engine/cores tests/sentry_engine/native tests/sentry_engine/engine >"$folder/engine.log" 2>&1 & engine=$!
    run tests/vpn_frontend/native
    wait $engine || { cat "$folder/engine.log"; exit 1; }
fi
exec .venv/bin/python tests/native/coverage_report.py "$folder"
