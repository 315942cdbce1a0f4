# SPDX-License-Identifier: GPL-3.0-or-later
"""Every key of text is listed as shown, reduced to a server's address, or hidden. A new one is hidden at first."""

from __future__ import annotations

import inspect
import json
from typing import get_args

from ocsentry.configuration.fields import Section
from ocsentry.configuration.model import Config, load_config
from ocsentry.setup.support.shown_settings import SERVERS, SHOWN, URLS, admits_text, hidden_texts, show_configuration
from tests.ocsentry.setup.support.seeded import SEED, write_seeded

# Words of the operator's own, or secrets. A new key of text belongs here, or into one of the lists of shown ones.
HIDDEN = {
    "auth.banner",
    "auth.bearer.required_claims",
    "auth.pre_login_banner",
    "groups.banner",
    "groups.profile",
    "vpn.camouflage.secret",
    "vpn.hooks.connect",
    "vpn.hooks.disconnect",
    "vpn.hooks.host_update",
    "vpn.hooks.route_add",
    "vpn.hooks.route_del",
    "vpn.host.auth.banner",
    "vpn.profile",
}


def tables_in(annotation):
    if inspect.isclass(annotation) and issubclass(annotation, Section):
        return [annotation]
    return [table for inner in get_args(annotation) for table in tables_in(inner)]


def keys_of_text(table, path=""):
    for name, field in table.model_fields.items():
        tables = tables_in(field.annotation)
        for inner in tables:
            yield from keys_of_text(inner, f"{path}{name}.")
        if not tables and admits_text(field.annotation):
            yield f"{path}{name}"


def test_every_key_of_text_is_decided():
    assert set(keys_of_text(Config)) == HIDDEN | SHOWN | URLS | SERVERS
    assert len(SHOWN) + len(URLS) + len(SERVERS) + len(HIDDEN) == len(SHOWN | URLS | SERVERS | HIDDEN)


def test_what_is_shown_and_what_is_hidden_are_the_whole(tmp_path):
    """The hidden texts have every secret of the file, and none of them is shown."""
    secrets = write_seeded(tmp_path)
    values = load_config(tmp_path / "ocsentry.toml").values
    shown, hidden = json.dumps(show_configuration(values)), "\n".join(hidden_texts(values))
    in_file = {secret for secret in secrets if secret in (tmp_path / "ocsentry.toml").read_text()} | {f"{SEED}profile"}
    assert SEED not in shown
    assert len(in_file) > 12
    assert all(secret in hidden for secret in in_file)
