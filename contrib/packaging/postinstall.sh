#!/bin/sh
# After the files are there: user, folders, tools. Asks nothing. Then activate.sh has its turn.
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

# These tools are ocserv's: they are given, with their manual pages, where that program is not installed.
for tool in occtl ocpasswd; do
    if [ ! -e /usr/bin/$tool ] && [ ! -L /usr/bin/$tool ]; then
        ln -s /opt/ocsentry/bin/ocsentry /usr/bin/$tool
        [ ! -e /usr/share/man/man8/ocsentry-$tool.8.gz ] || ln -sf ocsentry-$tool.8.gz /usr/share/man/man8/$tool.8.gz
    fi
done
