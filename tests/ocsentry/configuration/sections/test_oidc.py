# SPDX-License-Identifier: GPL-3.0-or-later
"""``[auth.oidc]`` and ``[admin.oidc]``."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from ocsentry.configuration.sections.oidc import OidcSection, SignOnSection

WHOLE = {"issuer": "https://idp.example", "client_id": "console", "admins": ["root"]}


def test_a_whole_table():
    section = SignOnSection.model_validate(WHOLE)
    assert section.is_used
    assert (section.label, section.user_claim, section.groups_claim) == (
        "single sign-on",
        "preferred_username",
        "groups",
    )
    assert not SignOnSection.model_validate({}).is_used


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"issuer": ""}, "set issuer, or leave the table out"),
        ({"issuer": "http://idp.example"}, "https:// URL"),
        ({"client_id": ""}, "admin.oidc.client_id is missing"),
        (
            {"client_secret_file": "/s", "client_key_file": "/k"},
            "admin.oidc: set client_secret_file or client_key_file",
        ),
        ({"admins": []}, "set admins, operators or viewers"),
        ({"label": ""}, "label"),
        ({"admin": ["root"]}, "admin"),
    ],
)
def test_what_cannot_be_used_is_named(change, text):
    with pytest.raises(ValidationError, match=text):
        SignOnSection.model_validate({**WHOLE, **change})


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"issuer": "https://idp.example", "client_id": "vpn"}, None),
        ({"client_id": "vpn"}, "auth.oidc.issuer is missing"),
        ({"issuer": "https://idp.example"}, "auth.oidc.client_id is missing"),
    ],
)
def test_the_method_needs_a_provider(given, problem):
    assert OidcSection.model_validate(given).find_problem() == problem


def test_a_secret_and_a_key():
    section = OidcSection(client_secret_file=Path("/s"), client_key_file=Path("/k"))
    assert section.find_problem() == "auth.oidc: set client_secret_file or client_key_file, not both"
