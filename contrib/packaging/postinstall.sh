#!/bin/sh
# After the files are there. Asks nothing, and starts nothing before there is a configuration.
set -e

if ! getent passwd ocsentry >/dev/null; then
    if command -v systemd-sysusers >/dev/null; then
        systemd-sysusers ocsentry.conf
    elif command -v useradd >/dev/null; then
        useradd --system --home-dir /var/lib/ocsentry --shell /usr/sbin/nologin ocsentry
    else
        addgroup -S ocsentry && adduser -S -D -H -h /var/lib/ocsentry -s /sbin/nologin -G ocsentry ocsentry
    fi
fi
install -d -m 0750 -o root -g ocsentry /etc/ocsentry
install -d -m 0700 -o ocsentry -g ocsentry /var/lib/ocsentry

# occtl is ocserv's: it is given where that program is not installed.
[ -e /usr/bin/occtl ] || [ -L /usr/bin/occtl ] || ln -s /opt/ocsentry/bin/ocsentry /usr/bin/occtl

if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    # A running server is replaced by the new version. `init` and the operator decide about the first start.
    systemctl try-restart ocsentry.service ocsentry-network.service || true
fi
