# SPDX-License-Identifier: GPL-3.0-or-later
"""The JSON file of ``oidc[config=FILE]``: whose bearer tokens count, and what they have to say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from vpn_frontend.auth.oidc.claims import file_of_url, is_secure_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocsentry.configuration.ocserv.target import Target
    from vpn_frontend.ocserv.grammar import Entry

NEEDED = ("openid_configuration_url", "required_claims", "user_name_claim")  # ocserv does not start without them
REFRESH = "minimum_jwk_refresh_time"


def read_bearer(target: Target, entry: Entry, options: Mapping[str, str]) -> None:
    """Sets ``auth.bearer``, or reports why the file cannot be used."""
    named = options.get("config") or options.get("")
    if not named:
        target.refuse(entry, "name the file of the provider: oidc[config=FILE]")
        return
    try:
        document = json.loads(target.around.look_into(Path(target.file(entry, named))))
    except (OSError, ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        target.refuse(entry, f"{named} cannot be read, or is no JSON object")
        return
    missing = [key for key in NEEDED if not document.get(key)]
    claims = document.get("required_claims")
    if missing or not isinstance(claims, dict):
        target.refuse(entry, f"{named}: {', '.join(missing) or 'required_claims'} is missing")
        return
    audience, url = claims.get("aud"), document["openid_configuration_url"]
    if not isinstance(audience, str) or not audience:
        target.refuse(entry, f"{named}: name aud in required_claims: a token for any other service would log in here")
        return
    if not isinstance(url, str) or not (is_secure_url(url) or file_of_url(url)):
        target.refuse(entry, f"{named}: openid_configuration_url is no https:// or file:// URL")
        return
    target.set("auth.bearer.configuration_url", url, entry)
    target.set("auth.bearer.audience", audience, entry)
    target.set("auth.bearer.user_claim", str(document["user_name_claim"]), entry)
    target.set("auth.bearer.require_times", True, entry)
    others = {name: value for name, value in claims.items() if name != "aud"}
    if others:
        target.set("auth.bearer.required_claims", others, entry)
    if REFRESH in document:
        target.differs(entry, f"{REFRESH} has no effect: keys are fetched again at most once a minute")
