#!/bin/sh
# Once all files are there and those of an earlier version are gone: has a running server replaced by this version.
# deb, apk: the end of postinstall.sh. rpm: after the transaction, as that removes old files late.
set -e

# The service may write no file, so its byte code is made here.
find /opt/ocsentry/lib -name __pycache__ -type d -prune -exec rm -rf {} +
/opt/ocsentry/bin/python -m compileall -q -j 0 /opt/ocsentry/lib >/dev/null || true

# A running server imports some modules late. So that these are of its own version, its unit mounts hard links to the files
# over /opt/ocsentry. An upgrade replaces the files, then the link `current`, then the process.
releases=/opt/ocsentry/releases
install -d -m 0755 "$releases"
release=$(mktemp -d "$releases/XXXXXX")
chmod 0755 "$release"
for part in bin lib lib64 pyvenv.cfg share; do
    [ ! -e "/opt/ocsentry/$part" ] || cp -al "/opt/ocsentry/$part" "$release/"
done
ln -s "${release##*/}" "$release.link"
mv -fT "$release.link" "$releases/current"

if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    # A running server is replaced by the new version. `init` and the operator decide about the first start.
    if systemctl --quiet is-active ocsentry.service; then
        if ! /opt/ocsentry/bin/ocsentry serve --check --config /etc/ocsentry/ocsentry.toml >/dev/null; then
            echo "ocsentry: the version before goes on running, as this one would not start. Then: systemctl restart ocsentry" >&2
            exit 0
        fi
        invoke=$(command -v deb-systemd-invoke || echo systemctl)    # which asks Debian's policy-rc.d
        "$invoke" try-restart ocsentry.service || true
    fi
fi
find "$releases" -mindepth 1 -maxdepth 1 -type d ! -path "$release" -exec rm -rf {} +
