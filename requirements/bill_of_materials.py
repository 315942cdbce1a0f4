# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the bill of materials (CycloneDX 1.6, JSON) of the locked dependencies and of wolfSSL to standard output.

`make sbom` runs it. The same commit gives the same bytes: the serial number is derived from the content, and the time
is that of the commit (``SOURCE_DATE_EPOCH``, seconds since 1970).
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
import uuid
from datetime import UTC, datetime
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType, Patch, PatchClassification, Pedigree
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from lock_files import FOLDER, Pin, pins
from packageurl import PackageURL

ROOT = FOLDER.parent
SCOPES = {  # of each lock file that reaches a build or a server
    "server": ComponentScope.REQUIRED,
    "postgres": ComponentScope.OPTIONAL,
    "gssapi": ComponentScope.OPTIONAL,
    "build": ComponentScope.EXCLUDED,
}
UNNUMBERED = uuid.UUID(int=0)  # of a bill whose serial number is not yet derived from it
PATCH = (
    "Leaves out the draw of a random explicit nonce per TLS and DTLS 1.2 record for AEAD ciphers. AES-GCM replaces it "
    "by its own counter (RFC 5288, section 3). See SECURITY.md."
)


def package(pin: Pin, scope: ComponentScope) -> Component:
    properties = [Property(name="marker", value=pin.marker)] if pin.marker else []
    return Component(
        type=ComponentType.LIBRARY,
        name=pin.name,
        version=pin.version,
        bom_ref=f"{pin.name}=={pin.version}",
        purl=PackageURL("pypi", None, pin.name, pin.version),
        scope=scope,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in pin.sha256],
        properties=properties,
    )


def wolfssl() -> Component:
    """The pinned release; the hash is that of its tarball."""
    script = (ROOT / "vpn_frontend/native/wolfssl.sh").read_text("utf-8")
    version, sha256 = (_default(script, name) for name in ("WOLFSSL_VERSION", "WOLFSSL_SHA256"))
    return Component(
        type=ComponentType.LIBRARY,
        name="wolfssl",
        version=version,
        bom_ref=f"wolfssl=={version}",
        purl=PackageURL("github", "wolfssl", "wolfssl", f"v{version}-stable"),
        cpe=f"cpe:2.3:a:wolfssl:wolfssl:{version}:*:*:*:*:*:*:*",
        scope=ComponentScope.REQUIRED,
        licenses=[LicenseExpression("GPL-3.0-or-later")],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
        pedigree=Pedigree(patches=[Patch(type=PatchClassification.UNOFFICIAL)], notes=PATCH),
    )


def bill(now: datetime) -> Bom:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    itself = Component(
        type=ComponentType.APPLICATION,
        name=project["name"],
        version=project["version"],
        bom_ref=project["name"],
        licenses=[LicenseExpression(project["license"])],
    )
    components: dict[str, Component] = {}
    for lock, scope in SCOPES.items():
        for pin in pins(lock):
            components.setdefault(pin.name, package(pin, scope))  # the first lock file has the stronger scope
    found = [*components.values(), wolfssl()]
    bom = Bom(components=found, serial_number=UNNUMBERED)
    bom.metadata.component = itself
    bom.metadata.timestamp = now
    bom.register_dependency(itself, [each for each in found if each.scope is not ComponentScope.EXCLUDED])
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_OID, JsonV1Dot6(bom).output_as_string())
    return bom


def _default(script: str, variable: str) -> str:
    found = re.search(rf"{variable}:-([\w.]+)}}", script)
    if found is None:
        raise ValueError(f"wolfssl.sh has no default for {variable}")
    return found[1]


def main() -> int:
    now = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    text = JsonV1Dot6(bill(now)).output_as_string(indent=2)
    if problem := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        print(f"not a valid CycloneDX document: {problem}", file=sys.stderr)
        return 1
    print(text)
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.exit(main())
