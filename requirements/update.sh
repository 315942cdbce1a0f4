#!/bin/sh
# Writes the lock files beside it from pyproject.toml: every dependency, direct or not, with the hashes of all its files.
#
#   requirements/update.sh [UV OPTION...]        make lock, or make lock UPGRADE=1 for --upgrade
#
#   build.lock      what builds the native cores      dev.lock        extra "dev": tests, ruff, mypy
#   server.lock     what the server imports           bench.lock, fuzz.lock, postgres.lock, gssapi.lock: extras of those names
#   package.lock    extra "package": nfpm, for make deb, rpm and apk
#   gssapi-build.lock  what builds gssapi, beside build.lock
#   docs.lock       extra "docs": make docs           ansible.lock    extra "ansible": make package-test
#   lock.lock       extra "lock": what runs here                    supply.lock     extra "supply": make sbom, make audit
#
# One resolution serves Python 3.11 and newer on every platform. Without --upgrade, pins that still fit stay.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
tools=.build/lock-tools

# uv does not read pip's configuration: an index that is set there is handed on, and never written to a lock file.
index=$("$python" -m pip config get global.index-url 2>/dev/null) && export UV_DEFAULT_INDEX="$index"

[ -x "$tools/bin/uv" ] || {
    "$python" -m venv "$tools"
    [ ! -e requirements/lock.lock ] || hashes="--require-hashes --requirement requirements/lock.lock"
    # shellcheck disable=SC2086  # a list of words
    "$tools/bin/python" -m pip --disable-pip-version-check --quiet install ${hashes:-uv}
}

# The entries of pyproject.toml at KEY.KEY..., one a line.
declared() {
    "$python" -c 'import functools, sys, tomllib
table = tomllib.load(open("pyproject.toml", "rb"))
print(*functools.reduce(dict.__getitem__, sys.argv[1].split("."), table), sep="\n")' "$1"
}

lock() {                                 # lock NAME KEY [UV OPTION...]
    name=$1 key=$2
    shift 2
    declared "$key" | "$tools/bin/uv" pip compile - --output-file "requirements/$name.lock" --quiet \
        --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
        --custom-compile-command 'make lock' "$@"
}

lock server project.dependencies "$@"
lock build build-system.requires --constraint requirements/server.lock "$@"
for extra in ansible dev bench docs fuzz gssapi gssapi-build package postgres lock supply; do
    lock "$extra" "project.optional-dependencies.$extra" \
        --constraint requirements/server.lock --constraint requirements/build.lock "$@"
done

# Each file must install on each Python; of what has no wheel, the source is built with build.lock.
for version in 3.11 3.12 3.13; do
    for file in requirements/*.lock; do
        "$tools/bin/uv" pip install --dry-run --quiet --target "$tools/none" --python-version "$version" \
            --only-binary :all: --no-binary pytricia --no-binary gssapi --no-deps --require-hashes --requirement "$file"
    done
done
