#!/bin/sh
# Builds packages from a checkout: a virtual environment for /opt/ocsentry with everything of requirements/server.lock and
# requirements/postgres.lock, and what belongs around it.
#
#   contrib/packaging/build.sh FORMAT... [-- WHEEL]     deb, rpm, apk; into .build/dist. Without WHEEL it is built here
#
# PYTHON is the interpreter of the system that installs the package (/usr/bin/python3): the environment refers to it.
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-/usr/bin/python3}
formats='' wheel=''
for word; do
    case $word in
    --) wheel=next ;;
    *) [ "$wheel" = next ] && wheel=$word || formats="$formats $word" ;;
    esac
done
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || echo 0)}"
export SOURCE_DATE_EPOCH PYTHONDONTWRITEBYTECODE=1
work=$PWD/.build/dist
STAGE=$work/stage
rm -rf "$STAGE"
mkdir -p "$STAGE/opt" "$STAGE/units" "$STAGE/man" "$STAGE/completions"

[ -n "$wheel" ] || wheel=$(contrib/packaging/wheel.sh)

# The environment is made where it is packed from; then its paths become those of the installed one.
environment=$STAGE/opt/ocsentry
"$python" -m venv "$environment"
install="$environment/bin/python -m pip --disable-pip-version-check --quiet install --no-compile --no-deps"
$install --require-hashes --no-build-isolation -r requirements/build.lock
$install --require-hashes --no-build-isolation -r requirements/server.lock -r requirements/postgres.lock
$install "$wheel"
rm -f "$environment"/lib/python3.*/site-packages/ocsentry-*.dist-info/direct_url.json    # the path of the build
sed -i '/direct_url.json/d' "$environment"/lib/python3.*/site-packages/ocsentry-*.dist-info/RECORD
"$environment/bin/python" -m pip --quiet uninstall --yes setuptools pip
rm -rf "$environment"/bin/activate* "$environment"/bin/Activate* "$environment"/include
find "$environment" -name __pycache__ -type d -prune -exec rm -rf {} +
grep -rIl --null "$environment" "$environment" | xargs -0 -r sed -i "s|$environment|/opt/ocsentry|g"

cp ocsentry/starter/*.service ocsentry/starter/*.socket ocsentry/starter/*.timer "$STAGE/units/"
.venv/bin/python -m ocsentry.cli.manual "$STAGE/man/ocsentry.1" && gzip -9n "$STAGE/man/ocsentry.1"
.venv/bin/python -m ocsentry.cli.tool_manuals "$STAGE/man" && gzip -9n "$STAGE/man/occtl.8" "$STAGE/man/ocpasswd.8"
for shell in bash zsh fish; do
    case $shell in zsh) name=_ocsentry ;; *) name=ocsentry.$shell ;; esac
    _OCSENTRY_COMPLETE=source_$shell .venv/bin/ocsentry >"$STAGE/completions/$name"
done
gzip -9nc CHANGELOG.md >"$STAGE/changelog.gz"

cat contrib/packaging/postinstall.sh >"$STAGE/postinstall.sh"
sed 1d contrib/packaging/activate.sh >>"$STAGE/postinstall.sh"

VERSION=$(.venv/bin/python -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')
# The interpreter's minor version, and the one after it, which has another folder for packages.
PYTHON_MINOR=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
PYTHON_NEXT=$("$python" -c 'import sys; print("%d.%d" % (sys.version_info[0], sys.version_info[1] + 1))')
ARCH=$(dpkg --print-architecture 2>/dev/null || uname -m)
find "$STAGE" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
sed "s|@STAGE@|$STAGE|; s|@VERSION@|$VERSION|; s|@ARCH@|$ARCH|; s|@PYTHON@|$PYTHON_MINOR|; s|@PYTHON_NEXT@|$PYTHON_NEXT|" \
    contrib/packaging/nfpm.yaml >"$work/nfpm.yaml"
for format in $formats; do
    "$(contrib/packaging/tools.sh)/bin/nfpm" package --config "$work/nfpm.yaml" --packager "$format" --target "$work/"
done
