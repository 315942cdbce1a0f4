#!/bin/sh
# Builds the native cores with sanitizers into .build/ and runs tests against that build.
#
#   tests/native/sanitized.sh [PYTEST ARGUMENTS]     default: the tests of both cores
#
# OCSENTRY_SANITIZE chooses: address,undefined (the default) or thread. OCSENTRY_CORES limits what is built, as in
# build_ext.py.
set -eu
cd "$(dirname "$0")/../.."
: "${OCSENTRY_SANITIZE:=address,undefined}"
: "${OCSENTRY_CORES:=sentry_engine vpn_frontend}"
build=$PWD/.build/sanitized-$OCSENTRY_SANITIZE
library=$build/lib
export OCSENTRY_SANITIZE OCSENTRY_CORES OCSENTRY_TESTED_BUILD="$library"

case $OCSENTRY_CORES in *vpn_frontend*) OCSENTRY_WOLFSSL=$(vpn_frontend/native/wolfssl.sh); export OCSENTRY_WOLFSSL ;; esac
mkdir -p "$library"
flock .build/.sanitized-lock .venv/bin/python -W ignore -c 'from setuptools import setup; setup()' --quiet \
    build --build-lib "$library" --build-temp "$build/temp"

if [ $# -eq 0 ]; then
    set -- -n 2 -m 'not netns'
    case $OCSENTRY_CORES in *sentry_engine*)
        set -- "$@" tests/sentry_engine/cores tests/sentry_engine/native ;; esac
    case $OCSENTRY_CORES in *vpn_frontend*) set -- "$@" tests/vpn_frontend/native ;; esac
fi

# Python itself is not instrumented, so the sanitizers' runtime is preloaded. Only leaks and races of memory that a core allocated
# are reported: allocations keep two frames, and the second is the caller of malloc.
case $OCSENTRY_SANITIZE in
    thread) runtime=$(gcc -print-file-name=libtsan.so) ;;
    *) runtime="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" ;;
esac
export LD_PRELOAD="$runtime" PYTHONPATH="$library" PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1
# Leaks are searched with OCSENTRY_LEAKS=1 only: the search stops all threads by ptrace, which some machines do not permit.
export ASAN_OPTIONS=detect_leaks=${OCSENTRY_LEAKS:-0}:malloc_context_size=2:abort_on_error=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
export LSAN_OPTIONS=suppressions=$PWD/tests/native/leaks.supp:print_suppressions=0
export TSAN_OPTIONS=suppressions=$PWD/tests/native/races.supp:ignore_noninstrumented_modules=1:second_deadlock_stack=1
# pyproject.toml lets pytest put the project with the plain build first; this puts the sanitized one first. tests/conftest.py checks.
exec .venv/bin/pytest -q -p no:cacheprovider -o pythonpath="$library ." "$@"
