#!/bin/sh
# Builds the native cores with AddressSanitizer and UBSan into .build/sanitized and runs tests against that build.
#
#   tests/native/sanitized.sh [PYTEST ARGUMENTS]     default: the tests of both cores
#
# OCSENTRY_CORES limits what is built, as in build_ext.py; OCSENTRY_SANITIZE chooses other sanitizers.
set -eu
cd "$(dirname "$0")/../.."
library=$PWD/.build/sanitized/lib
: "${OCSENTRY_SANITIZE:=address,undefined}"
: "${OCSENTRY_CORES:=sentry_engine vpn_frontend}"
export OCSENTRY_SANITIZE OCSENTRY_CORES OCSENTRY_TESTED_BUILD="$library"

case $OCSENTRY_CORES in *vpn_frontend*) OCSENTRY_WOLFSSL=$(vpn_frontend/native/wolfssl.sh); export OCSENTRY_WOLFSSL ;; esac
mkdir -p "$library"
flock .build/.sanitized-lock .venv/bin/python -W ignore -c 'from setuptools import setup; setup()' --quiet \
    build --build-lib "$library" --build-temp .build/sanitized/temp

# Python itself is not instrumented, so the runtime has to be there first; what the interpreter leaks is not ours to judge.
runtime="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
export LD_PRELOAD="$runtime" PYTHONPATH="$library" PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1

if [ $# -eq 0 ]; then
    set -- -m 'not netns'
    case $OCSENTRY_CORES in *sentry_engine*)
        set -- "$@" tests/sentry_engine/test_core.py tests/sentry_engine/test_native_*.py tests/sentry_engine/native ;; esac
    case $OCSENTRY_CORES in *vpn_frontend*) set -- "$@" tests/vpn_frontend/native ;; esac
fi
# pytest puts the project in front of PYTHONPATH (pyproject.toml), and there the plain build is; tests/conftest.py makes sure.
exec .venv/bin/pytest -q -p no:cacheprovider -o pythonpath="$library ." "$@"
