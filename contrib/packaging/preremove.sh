#!/bin/sh
# Before the files go: at a removal, not at an upgrade (deb: upgrade, rpm: 1, apk: none of these words).
set -e

case "${1:-remove}" in
upgrade | 1) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
    systemctl disable --now ocsentry.service ocsentry-network.service ocsentry-helper.socket ocsentry-pam.socket \
        ocsentry-acme.timer || true
fi
for tool in occtl ocpasswd; do
    if [ "$(readlink /usr/bin/$tool || true)" = /opt/ocsentry/bin/ocsentry ]; then
        rm -f /usr/bin/$tool
        if [ "$(readlink /usr/share/man/man8/$tool.8.gz || true)" = ocsentry-$tool.8.gz ]; then
            rm -f /usr/share/man/man8/$tool.8.gz
        fi
    fi
done
rm -rf /opt/ocsentry/releases
find /opt/ocsentry -name __pycache__ -type d -prune -exec rm -rf {} + || true
