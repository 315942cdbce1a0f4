# SPDX-License-Identifier: GPL-3.0-or-later
"""A configuration with a secret in every place that can hold one, and a reader of support archives."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

CONFIGURATION = """
[vpn]
listen = "127.0.0.1:1"
certificate = "server.crt"
private_key = "server.key"
private_key_password_file = "key.password"
http_headers = ["X-Frame: SECRET-header"]
extra_headers = ["X-Extra: SECRET-extra"]
profile = "profile.xml"
[vpn.network]
proxy_pac_url = "https://pac:SECRET-pac@wpad.example.org/wpad.dat?SECRET-query"
[vpn.camouflage]
secret = "SECRET-camouflage"
[vpn.hooks]
connect = ["/usr/bin/hook", "--token=SECRET-hook"]
[[vpn.host]]
name = "b.example.org"
[vpn.host.network]
proxy_pac_url = "https://pac:SECRET-hostpac@wpad.example.org/wpad.dat"
[groups.staff]
label = "Staff"
banner = "SECRET-banner"
[groups.staff.network]
proxy_pac_url = "https://pac:SECRET-grouppac@wpad.example.org/wpad.dat"
[auth]
methods = ["ldap", "oidc"]
banner = "SECRET-welcome"
[auth.totp]
key_file = "totp.key"
[auth.radius]
servers = [{ address = "127.0.0.1:1", secret_file = "radius.secret" }]
[auth.ldap]
url = ["ldaps://127.0.0.1:1"]
bind_dn = "cn=vpn,dc=example,dc=org"
password_file = "ldap.password"
base = "dc=example,dc=org"
[auth.oidc]
issuer = "https://127.0.0.1:1"
client_id = "vpn"
client_secret_file = "oidc.secret"
[auth.bearer]
configuration_url = "https://127.0.0.1:1/.well-known?key=SECRET-bearer"
audience = "vpn"
required_claims = { entitlement = "SECRET-claim" }
[admin]
listen = ""
[[admin.webhook]]
url = "https://127.0.0.1:1/services/SECRET-path"
secret_file = "webhook.secret"
[store]
url = "postgresql+psycopg://vpn:SECRET-database@127.0.0.1:1/vpn"
[fleet]
name = "a"
secret_file = "fleet.secret"
"""
SEED = "s3cr3t-of-"
_FILES = re.compile(r'_file = "([\w.-]+)"')  # each gets a secret
_WORDS = re.compile(r"SECRET-(\w+)")


def write_seeded(folder: Path) -> set[str]:
    """Writes the configuration and the files that it names into ``folder``. Returns the secrets."""
    secrets = {f"{SEED}{word}" for word in _WORDS.findall(CONFIGURATION)}
    for name in _FILES.findall(CONFIGURATION):
        secret = f"{SEED}{name.replace('.', '-')}"
        secrets.add(secret)
        (folder / name).write_text(f"{secret}\n")
        (folder / name).chmod(0o600)
    (folder / "profile.xml").write_text(f"<AnyConnectProfile><!-- {SEED}profile --></AnyConnectProfile>")
    (folder / "ocsentry.toml").write_text(_WORDS.sub(rf"{SEED}\1", CONFIGURATION))
    return secrets | {f"{SEED}profile"}


def read_archive(path: Path) -> dict[str, str]:
    """Returns the text of every file by its name, without the archive's folder."""
    with tarfile.open(path) as archive:
        members = [(member, archive.extractfile(member)) for member in archive]
        assert {member.mode for member, _ in members} == {0o600}
        return {member.name.partition("/")[2]: file.read().decode() for member, file in members if file is not None}
