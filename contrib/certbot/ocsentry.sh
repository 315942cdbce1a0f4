#!/bin/sh
# A deploy hook of certbot: the server reads renewed certificates. It is called once for each renewed certificate, with its
# folder in RENEWED_LINEAGE. The helper opens the files with its privileges, so owners and modes stay as certbot made them.
#
#   /etc/letsencrypt/renewal-hooks/deploy/ocsentry
set -eu
exec ocsentry reload
