#!/bin/sh
# Before the files go: at a removal, not at an upgrade (deb: upgrade, rpm: 1, apk: none of these words).
set -e

case "${1:-remove}" in
upgrade | 1) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
    systemctl disable --now ocsentry.service ocsentry-network.service ocsentry-helper.socket ocsentry-pam.socket || true
fi
if [ "$(readlink /usr/bin/occtl || true)" = /opt/ocsentry/bin/ocsentry ]; then
    rm -f /usr/bin/occtl
fi
find /opt/ocsentry -name __pycache__ -type d -prune -exec rm -rf {} + || true
