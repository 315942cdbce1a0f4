#!/bin/sh
# Builds the wheel for Python 3.11 and later (abi3) into .build/dist: wolfSSL is inside, and the C library is the only other one
# that it needs (auditwheel checks that and names the oldest that fits). Prints the file.
#
#   contrib/packaging/wheel.sh [--try [PYTHON...]]     --try: also install it into an empty environment without a compiler, and
#                                                      run it: of each PYTHON, or of the one that has built it
set -eu
cd "$(dirname "$0")/../.."
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || echo 0)}"
export SOURCE_DATE_EPOCH
tools=$(contrib/packaging/tools.sh)
quiet='--disable-pip-version-check --quiet'

mkdir -p .build/dist
rm -rf build/lib* build/bdist*            # of builds for one Python, which would be packed, too
raw=$(mktemp -d)
trap 'rm -rf "$raw"' EXIT
# shellcheck disable=SC2086
OCSENTRY_ABI3=1 OCSENTRY_WOLFSSL=$(vpn_frontend/native/wolfssl.sh) .venv/bin/python -m pip $quiet wheel \
    --config-settings=--build-option=--py-limited-api=cp311 --no-deps --no-build-isolation --wheel-dir "$raw" . >&2
PATH=$tools/bin:$PATH auditwheel --verbose repair --strip --wheel-dir "$raw/repaired" "$raw"/ocsentry-*.whl >"$raw/log" 2>&1 || {
    cat "$raw/log" >&2
    exit 1
}
if .venv/bin/python -m zipfile -l "$raw"/repaired/ocsentry-*.whl | grep "\.cpython-.*\.so" >&2; then
    echo "wheel.sh: these are for one Python alone" >&2
    exit 1
fi
name=$(basename "$raw"/repaired/ocsentry-*.whl)
mv "$raw/repaired/$name" .build/dist/

if [ "${1:-}" = --try ]; then
    shift
    for python in "${@:-.venv/bin/python}"; do
        rm -rf "$raw/empty" "$raw/server"
        "$python" -m venv "$raw/empty"
        # shellcheck disable=SC2086
        CC=false "$raw/empty/bin/python" -m pip $quiet install --require-hashes --no-deps --only-binary :all: \
            -r requirements/server.lock >&2
        # shellcheck disable=SC2086
        "$raw/empty/bin/python" -m pip $quiet install --no-deps --only-binary :all: ".build/dist/$name" >&2
        (cd "$raw" && "$raw/empty/bin/ocsentry" init --dir "$raw/server" --name vpn.example.org >/dev/null &&
            "$raw/empty/bin/ocsentry" serve --check --config "$raw/server/ocsentry.toml" >&2)
    done
fi
echo ".build/dist/$name"
