# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenLDAP's slapd on a port of loopback, with an authority of its own, people and groups.

dc=example,dc=org
    ou=people   uid=alice, uid=bob, ...
    ou=groups   cn=staff ⊃ cn=ops ⊃ alice
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lab.timeouts import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.namespaces import Namespace

BASE = "dc=example,dc=org"
PEOPLE = f"ou=people,{BASE}"
GROUPS = f"ou=groups,{BASE}"
HOST = "localhost"  # in the certificate
PORT, SECURE_PORT = 3389, 3636
SERVICE_DN = f"cn=vpn,{BASE}"
SERVICE_PASSWORD = "service secret"
PASSWORD = "correct horse battery staple"

# Loopback addresses of this process alone, so that the ports need no search.
_addresses = (f"127.{n}.{os.getpid() // 256 % 256}.{os.getpid() % 256}" for n in count(64))

_CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
pidfile {folder}/slapd.pid
TLSCACertificateFile {authority}
TLSCertificateFile {chain}
TLSCertificateKeyFile {key}
sizelimit 500
database mdb
suffix "{base}"
rootdn "cn=admin,{base}"
rootpw admin
directory {folder}/data
overlay ppolicy
ppolicy_default "cn=policy,{base}"
ppolicy_use_lockout
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="cn=vpn,{base}" read by self read by * none
"""

_ENTRIES = f"""
dn: {BASE}
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: {PEOPLE}
objectClass: organizationalUnit
ou: people

dn: {GROUPS}
objectClass: organizationalUnit
ou: groups

dn: {SERVICE_DN}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: vpn
userPassword: {SERVICE_PASSWORD}

dn: cn=policy,{BASE}
objectClass: pwdPolicy
objectClass: device
cn: policy
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxFailure: 3
pwdMaxAge: 315360000
pwdMustChange: TRUE
pwdGraceAuthnLimit: 0
"""


class DirectoryServer:
    """A running slapd at ``address``. ``authority`` is the PEM file of its authority."""

    def __init__(self, folder: Path, entries: str = "", namespace: Namespace | None = None) -> None:
        """In a ``namespace`` the address is 127.0.0.1, which the name of the certificate has there."""
        self.authority = make_authority(folder, HOST)
        (folder / "data").mkdir()
        configuration = folder / "slapd.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                folder=folder,
                base=BASE,
                authority=self.authority,
                chain=folder / "directory.crt",
                key=folder / "directory.key",
            )
        )
        subprocess.run(
            ["slapadd", "-f", configuration],
            input=_ENTRIES + "\n" + entries,
            text=True,
            check=True,
            capture_output=True,
        )
        self.address = next(_addresses) if namespace is None else "127.0.0.1"
        self._inside = nullcontext if namespace is None else namespace.entered
        self._log = (folder / "slapd.log").open("w+")
        addresses = f"ldap://{self.address}:{PORT} ldaps://{self.address}:{SECURE_PORT}"
        with self._inside():
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", "slapd", "-f", configuration, "-h", addresses, "-d", "0"],
                stdout=self._log,
                stderr=self._log,
            )
        try:
            self._await_start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(TIMEOUT)
        finally:
            self._log.close()

    def _await_start(self) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not self._listens():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("slapd does not start: " + Path(self._log.name).read_text())
            time.sleep(0.05)

    def _listens(self) -> bool:
        with self._inside(), suppress(OSError):
            socket.create_connection((self.address, PORT)).close()
            return True
        return False


def person(name: str, password: str = PASSWORD, *more: str, uid: str = "") -> str:
    """The LDIF of one person; ``more`` are lines of further attributes."""
    lines = [f"dn: uid={name},{PEOPLE}", "objectClass: inetOrgPerson", f"uid: {uid or name}", f"cn: {name}", "sn: x"]
    return "\n".join([*lines, *([f"userPassword: {password}"] if password else []), *more]) + "\n\n"


def group(name: str, *members: str) -> str:
    """The LDIF of one group with the DNs of its members."""
    lines = [f"dn: cn={name},{GROUPS}", "objectClass: groupOfNames", f"cn: {name}"]
    return "\n".join([*lines, *[f"member: {dn}" for dn in members or (f"cn=none,{GROUPS}",)]]) + "\n\n"


def make_authority(folder: Path, host: str) -> Path:
    """Writes ``authority.crt``, and ``directory.crt`` with its key for ``host``. Returns the first."""
    signer, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "directory authority")])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)

    def build(name: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(public)
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=30))

    authority = build(issuer, signer.public_key()).add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
    alternative = x509.SubjectAlternativeName([x509.DNSName(host)])
    leaf = build(subject, key.public_key()).add_extension(alternative, False)
    for name, builder in (("authority", authority), ("directory", leaf)):
        signed = builder.sign(signer, hashes.SHA256())
        (folder / f"{name}.crt").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "directory.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "authority.crt"


@contextmanager
def running(folder: Path, entries: str, namespace: Namespace | None = None) -> Iterator[DirectoryServer]:
    """A server that is stopped at the end of the block."""
    server = DirectoryServer(folder, entries, namespace)
    try:
        yield server
    finally:
        server.stop()
