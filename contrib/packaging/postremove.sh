#!/bin/sh
# After the files are gone. Purging a Debian package removes configuration, state, packet rules and the user, too.
set -e

if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi
[ "${1:-}" = purge ] || exit 0
if command -v nft >/dev/null; then
    nft delete table inet ocsentry_clients 2>/dev/null || true
fi
rm -rf /etc/ocsentry /var/lib/ocsentry /run/ocsentry /opt/ocsentry
rm -f /etc/sysctl.d/60-ocsentry.conf /run/ocsentry-helper.sock /run/ocsentry-pam.sock
if getent passwd ocsentry >/dev/null; then
    userdel ocsentry || true
fi
if getent group ocsentry >/dev/null; then
    groupdel ocsentry || true
fi
