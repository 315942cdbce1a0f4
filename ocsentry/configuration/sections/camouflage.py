# SPDX-License-Identifier: GPL-3.0-or-later
"""``[vpn.camouflage]``: the VPN answers only clients that know a word in its URL."""

from __future__ import annotations

from admin_api.session_settings.sections import VPN
from ocsentry.configuration.fields import Section, field


class CamouflageSection(Section):
    secret: str = field(
        VPN.camouflage.secret,
        "Clients connect to `https://HOST/?SECRET`. Others get the answers of a web server without a VPN. Empty: off.",
        pattern=r"^[A-Za-z0-9._~-]*$",
        max_length=128,
    )
    realm: str = field(
        VPN.camouflage.realm,
        "Others are asked for a password of this realm (401). Empty: they get 404.",
        pattern=r"^[A-Za-z0-9 ._-]*$",
        max_length=64,
    )
