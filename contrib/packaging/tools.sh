#!/bin/sh
# Makes the environment of the tools that build packages (auditwheel, nfpm; requirements/package.lock). Prints its folder.
set -eu
cd "$(dirname "$0")/../.."
tools=$PWD/.build/package-tools
if ! cmp -s requirements/package.lock "$tools/package.lock"; then
    .venv/bin/python -m venv --clear "$tools"
    "$tools/bin/python" -m pip --disable-pip-version-check --quiet install --require-hashes --no-deps -r requirements/package.lock >&2
    cp requirements/package.lock "$tools/"
fi
echo "$tools"
