#!/bin/sh
# Makes the artefacts of a release into .build/release: wheel, source archive, packages, bill of materials, SHA256SUMS.
#
# Refuses a checkout with changes, a commit without the tag vVERSION, and a version without a section in CHANGELOG.md.
# Everything is built twice, and has to be equal. The version is in pyproject.toml alone.
set -eu
cd "$(dirname "$0")/../.."
fail() { echo "release: $*" >&2; exit 1; }
version=$(.venv/bin/python -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')
[ -z "$(git status --porcelain)" ] || fail "the checkout has changes"
[ "$(git describe --tags --exact-match HEAD 2>/dev/null)" = "v$version" ] || fail "this commit is not tagged v$version"
grep -q "^## \[$version\]" CHANGELOG.md || fail "CHANGELOG.md has no section [$version]"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

# setuptools packs the times at which files were written here, in the folder's order.
pack_again() {
    unpacked=$(mktemp -d)
    tar -C "$unpacked" -xf "$1"
    tar -C "$unpacked" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -cf - "ocsentry-$version" |
        gzip -9n >"$1"
    rm -rf "$unpacked"
}

# All artefacts but the sums, into a folder.
build() {
    rm -rf "$1" .build/dist
    mkdir -p "$1"
    cp "$(contrib/packaging/wheel.sh "$2")" "$1/"
    cp "$(contrib/packaging/engine.sh "$2")" "$1/"
    .venv/bin/python -W ignore -c 'from setuptools import setup; setup()' --quiet sdist --dist-dir "$1"
    pack_again "$1/ocsentry-$version.tar.gz"
    contrib/packaging/build.sh deb rpm apk -- "$1"/ocsentry-*.whl
    cp .build/dist/*.deb .build/dist/*.rpm .build/dist/*.apk "$1/"
    make --quiet sbom >/dev/null
    cp .build/sbom.json "$1/ocsentry-$version.cdx.json"
}

release=$PWD/.build/release
build "$release" --try
build "$release.again" ""
diff -r "$release" "$release.again" || fail "two builds differ"
rm -rf "$release.again"
(cd "$release" && sha256sum -- * >SHA256SUMS && cat SHA256SUMS)
