#!/bin/sh
# Builds native cores twice from clean copies in two folders of different depth, and compares the bytes.
#
#   tests/native/reproducible.sh [CORE...]     sentry_engine, vpn_frontend; default: both
#
# Prints the SHA-256 of each library. Exits 1 and keeps both copies if two differ.
set -eu
cd "$(dirname "$0")/../.."
cores=${*:-sentry_engine vpn_frontend}
export OCSENTRY_CORES="$cores" OCSENTRY_WOLFSENTRY=
case $cores in *vpn_frontend*) OCSENTRY_WOLFSSL=$(vpn_frontend/native/wolfssl.sh); export OCSENTRY_WOLFSSL ;; esac
python=$PWD/.venv/bin/python
work=$(mktemp -d "${TMPDIR:-/tmp}/reproducible.XXXXXX")

build() {                                # build FOLDER: a copy of the sources, built in place
    mkdir -p "$1"
    # shellcheck disable=SC2086  # a list of words
    tar -cf - --exclude='*.so' --exclude=__pycache__ pyproject.toml README.md LICENSE sentry_engine vpn_frontend | tar -xf - -C "$1"
    (cd "$1" && "$python" -W ignore -c 'from setuptools import setup; setup()' --quiet build_ext --inplace >&2)
}

first=$work/a second=$work/another/and-deeper
build "$first"
build "$second"
same=0
for core in $cores; do
    for file in "$first/$core"/*.so; do
        name=$core/$(basename "$file")
        if cmp "$file" "$second/$name"; then
            printf '%s  %s\n' "$(sha256sum "$file" | cut -d' ' -f1)" "$name"
        else
            same=1
        fi
    done
done
[ $same -eq 0 ] && rm -rf "$work" || printf 'kept: %s\n' "$work" >&2
exit $same
