#!/bin/sh
# Builds the wheel of the engine alone (sentry_engine) into .build/dist, for Python 3.11 and later. Prints the file.
#
#   contrib/packaging/engine.sh [--try]     --try: also install it with its dependencies into an empty environment, and decide
#
# Needs a C compiler, and no wolfSSL. auditwheel names the oldest C library that fits. Versions and dependencies are those of pyproject.toml.
set -eu
cd "$(dirname "$0")/../.."
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || echo 0)}"
export SOURCE_DATE_EPOCH OCSENTRY_ABI3=1
tools=$(contrib/packaging/tools.sh)
quiet='--disable-pip-version-check --quiet'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p .build/dist "$work/source"
cp -R sentry_engine LICENSE "$work/source/"
cp docs/engine.md "$work/source/README.md"
find "$work/source" \( -name '*.so' -o -name __pycache__ \) -prune -exec rm -rf {} +
.venv/bin/python - contrib/packaging/engine.toml "$work/source/pyproject.toml" <<'PYTHON'
import json, pathlib, re, sys, tomllib

project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]
needed = [text for text in project["dependencies"] if re.match(r"(cffi|maxminddb|pydantic)\b(?!-)", text)]
template = pathlib.Path(sys.argv[1]).read_text()
made = template.replace("@VERSION@", project["version"]).replace("@DEPENDENCIES@", json.dumps(needed)[1:-1])
pathlib.Path(sys.argv[2]).write_text(made)
PYTHON
# shellcheck disable=SC2086  # a list of words
.venv/bin/python -m pip $quiet wheel --no-deps --no-build-isolation --config-settings=--build-option=--py-limited-api=cp311 \
    --wheel-dir "$work" "$work/source" >&2
PATH=$tools/bin:$PATH auditwheel repair --strip --wheel-dir "$work/repaired" "$work"/sentry_engine-*.whl >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    exit 1
}
name=$(basename "$work"/repaired/sentry_engine-*.whl)
mv "$work/repaired/$name" .build/dist/

if [ "${1:-}" = --try ]; then
    .venv/bin/python -m venv "$work/empty"
    # shellcheck disable=SC2086
    "$work/empty/bin/python" -m pip $quiet install ".build/dist/$name" >&2
    (cd "$work" && "$work/empty/bin/python" - >&2 <<'PYTHON'
from sentry_engine import Engine, Policy

rule = {"id": "no", "type": "blacklist", "remote_addr": "192.0.2.0/24"}
engine = Engine(Policy.from_document({"wolfsentry": {"version": "1.6.3", "rules": [rule]}}))
assert engine.decide("connect", "192.0.2.7").rule_id == "no"
assert engine.decide("connect", "198.51.100.7").action == "accept"
PYTHON
    )
fi
echo ".build/dist/$name"
