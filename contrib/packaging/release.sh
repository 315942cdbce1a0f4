#!/bin/sh
# Makes the artefacts of a release into .build/release: wheel, source archive, packages, bill of materials, SHA256SUMS.
#
# Refuses a checkout with changes, a commit without the tag vVERSION, and a version without a section in CHANGELOG.md. The
# wheel is built twice, and both have to be equal. The version is in pyproject.toml alone.
set -eu
cd "$(dirname "$0")/../.."
fail() { echo "release: $*" >&2; exit 1; }
version=$(.venv/bin/python -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')
[ -z "$(git status --porcelain)" ] || fail "the checkout has changes"
[ "$(git describe --tags --exact-match HEAD 2>/dev/null)" = "v$version" ] || fail "this commit is not tagged v$version"
grep -q "^## \[$version\]" CHANGELOG.md || fail "CHANGELOG.md has no section [$version]"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

release=$PWD/.build/release
rm -rf "$release" .build/dist
mkdir -p "$release"
cp "$(contrib/packaging/wheel.sh)" "$release/"
cmp "$(contrib/packaging/wheel.sh --try)" "$release"/*.whl || fail "two builds of the wheel differ"
engine=$(contrib/packaging/engine.sh --try)
.venv/bin/python -W ignore -c 'from setuptools import setup; setup()' --quiet sdist --dist-dir "$release"
contrib/packaging/build.sh deb rpm apk -- "$release"/ocsentry-*.whl
cp "$engine" "$release/"
cp .build/dist/*.deb .build/dist/*.rpm .build/dist/*.apk "$release/"
make --quiet sbom >/dev/null
cp .build/sbom.json "$release/ocsentry-$version.cdx.json"
(cd "$release" && sha256sum -- * >SHA256SUMS && cat SHA256SUMS)
