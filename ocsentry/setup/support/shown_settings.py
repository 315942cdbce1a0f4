# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration as the support archive shows it. Numbers, switches, addresses, file names and closed lists of words
are shown. Text is shown for the keys of ``SHOWN`` only, and addresses of servers without what logs in there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time, timedelta
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import SecretStr

from admin_api.session_settings.fields import as_toml
from admin_api.session_settings.sections import (
    BandwidthSection,
    LimitsSection,
    NetworkSection,
    QuotaSection,
    SessionSection,
)
from ocsentry.configuration.fields import Section
from ocsentry.setup.support.redaction import MASK
from vpn_frontend.http_headers import Header
from vpn_frontend.settings import Endpoint, PortRule

if TYPE_CHECKING:
    from collections.abc import Iterator

# Keys of text, without names of groups and places in lists. Any other text may be a secret, or somebody's own words.
SHOWN = frozenset(
    {f"vpn.{key}" for key in ("listen_netns", "hooks.user", "host.name", "host.groups", "kdc_proxy.realm")}
    | {"vpn.kdc_proxy.path", "vpn.camouflage.realm", "vpn.host.auth.pam_service", "groups.label"}
    | {f"vpn.network.{key}" for key in ("device", "default_domain", "split_dns", "dynamic_include", "dynamic_exclude")}
    | {"auth.groups", "auth.no_group_label", "auth.certificate.user_field", "auth.certificate.group_field"}
    | {"auth.gssapi.realms", "auth.gssapi.service", "auth.pam.service", "auth.totp.required", "auth.totp.issuer"}
    | {f"auth.ldap.{key}" for key in ("bind_dn", "base", "filter", "group_base", "group_filter")}
    | {"auth.radius.nas_identifier", "auth.radius.default_realm", "accounting.pam_service"}
    | {f"auth.oidc.{key}" for key in ("client_id", "client_key_id", "scopes", "user_claim", "groups_claim")}
    | {f"auth.bearer.{key}" for key in ("audience", "user_claim", "groups_claim")}
    | {f"admin.oidc.{key}" for key in ("client_id", "client_key_id", "scopes", "user_claim", "groups_claim", "label")}
    | {"admin.oidc.admins", "admin.oidc.operators", "admin.oidc.viewers"}
    | {"admin.hosts", "admin.webhook.kinds", "fleet.name", "process.user"}
    | {"store.retention.sessions", "store.retention.audit", "store.retention.decisions"}
)
# Shown without user, password, query and fragment; of a webhook and a database only scheme and host, or the file.
URLS = frozenset(
    {"vpn.network.proxy_pac_url", "auth.ldap.url", "auth.oidc.issuer", "auth.bearer.configuration_url"}
    | {"admin.oidc.issuer", "fleet.peer_url"}
)
SERVERS = frozenset({"admin.webhook.url", "store.url"})

# Tables that groups and virtual hosts set in part. Their keys are those of the table itself.
_PARTS: dict[str, type[Section]] = {
    "network": NetworkSection,
    "bandwidth": BandwidthSection,
    "quota": QuotaSection,
    "limits": LimitsSection,
    "session": SessionSection,
}
_PLAIN = (bool, int, float, Enum, date, time, timedelta, Path, Endpoint, PortRule)
_ADDRESSES = (IPv4Address, IPv6Address, IPv4Network, IPv6Network)


def show_configuration(section: Section, path: str = "") -> dict[str, Any]:
    """Returns the keys and values of a table as JSON; hidden ones are masked, and empty text stays empty."""
    return {
        name: _show(getattr(section, name), key, is_text=is_text)
        for name, key, is_text in _keys_of(type(section), path)
    }


def hidden_texts(section: Section, path: str = "") -> Iterator[str]:
    """Yields what ``show_configuration`` hides of a table, to be masked elsewhere too."""
    for name, key, is_text in _keys_of(type(section), path):
        yield from _hidden(getattr(section, name), key, is_text=is_text)


def admits_text(annotation: Any) -> bool:  # noqa: ANN401 - any type
    """True if any text is a value of the type; a closed list of words is no such type."""
    if annotation is str or annotation is SecretStr:
        return True
    return get_origin(annotation) is not Literal and any(map(admits_text, get_args(annotation)))


def _keys_of(table: type[Section], path: str) -> Iterator[tuple[str, str, bool]]:
    """Yields each key's name, its path, and whether any text is a value."""
    for name, field in table.model_fields.items():
        yield name, f"{path}{name}", admits_text(field.annotation)


def _members(table: Mapping[str, object], path: str) -> Iterator[tuple[str, object, str, bool]]:
    """Yields each name, value and path, and whether any text is a value, of a table without a model."""
    part = path.rpartition(".")[2]
    known = {name: is_text for name, _, is_text in _keys_of(_PARTS[part], "")} if part in _PARTS else {}
    for name, value in table.items():
        if name in known:
            yield name, value, f"vpn.{part}.{name}", known[name]
        else:
            yield name, value, path if isinstance(value, Section) else f"{path}.{name}", True


def _show(value: object, path: str, *, is_text: bool) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, Section):
        return show_configuration(value, f"{path}.")
    if isinstance(value, Mapping):
        return {name: _show(one, key, is_text=free) for name, one, key, free in _members(value, path)}
    if isinstance(value, list | tuple | set | frozenset):
        return [_show(one, path, is_text=is_text) for one in value]
    if isinstance(value, SecretStr | str):
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        return text if not text or not is_text else _show_text(text, path)
    if value is None or isinstance(value, _PLAIN + _ADDRESSES):
        return value if isinstance(value, bool | int | float) else as_toml(value)
    return f"{value.name}: {MASK}" if isinstance(value, Header) else MASK


def _show_text(text: str, path: str) -> str:
    if path in SHOWN:
        return text
    if path not in URLS | SERVERS:
        return MASK
    try:
        url = urlsplit(text)
        port = f":{url.port}" if url.port else ""
    except ValueError:
        return MASK
    if path in SERVERS and url.scheme == "sqlite":
        return text
    shown = f"{url.scheme}://{url.hostname or ''}{port}"
    return f"{shown}/{MASK}" if path in SERVERS else f"{shown}{url.path}"


def _hidden(value: object, path: str, *, is_text: bool) -> Iterator[str]:
    if isinstance(value, Section):
        yield from hidden_texts(value, f"{path}.")
    elif isinstance(value, Mapping):
        for _, one, key, free in _members(value, path):
            yield from _hidden(one, key, is_text=free)
    elif isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from _hidden(one, path, is_text=is_text)
    elif isinstance(value, Header):
        yield value.value
    elif isinstance(value, SecretStr | str) and is_text:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if path in URLS | SERVERS:
            yield from _parts_hidden(text, path)
        elif path not in SHOWN:
            yield text


def _parts_hidden(text: str, path: str) -> Iterator[str]:
    """The parts of a URL that are not shown."""
    try:
        url = urlsplit(text)
    except ValueError:
        yield text
        return
    if path in SERVERS and url.scheme == "sqlite":
        return
    yield from filter(None, (url.password, url.query, url.fragment))
    if path in SERVERS and url.path.strip("/"):
        yield url.path.strip("/")
