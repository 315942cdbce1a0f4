# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that AnyConnect fetches between login and tunnel. A 404 for one of them ends its attempt.

Each file is the smallest valid one that offers no download and no profile.
"""

from __future__ import annotations

from vpn_frontend.protocol.http import HttpResponse

_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
_MANIFEST = ("text/xml", f'{_XML}<vpn rev="1.0">\n</vpn>\n')
_PAGE = ("text/html", "<html></html>\n")
_FILES = {
    "/1/index.html": _PAGE,
    "/svc": _PAGE,  # ocserv has it in any case; of a server for IP phones it is the login
    "/1/VPNManifest.xml": _MANIFEST,
    "/VPNManifest.xml": _MANIFEST,
    "/+CSCOT+/translation-table": _MANIFEST,
    "/+CSCOT+/oem-customization": _MANIFEST,
    "/1/binaries/update.txt": ("text/plain", "0,0,0000\n"),
    "/1/binaries/vpndownloader.sh": ("application/x-shellscript", "#!/bin/sh\nexit 0\n"),
    **{f"/1/{platform}": _PAGE for platform in ("Linux", "Linux_64", "Windows", "Windows_ARM64", "Darwin_i386")},
}


def stub_response(path: str) -> HttpResponse | None:
    """The response to a GET of ``path``; ``None``: no such file."""
    found = _FILES.get(path)
    if found is None:
        return None
    kind, text = found
    return HttpResponse(200, "OK", (("Content-Type", kind), ("X-Transcend-Version", "1")), text.encode())
