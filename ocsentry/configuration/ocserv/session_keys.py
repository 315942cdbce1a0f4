# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of sessions: limits, times, DTLS, files of users and groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocsentry.configuration.ocserv.rows import (
    YEAR,
    Row,
    assembled,
    differs,
    ignored,
    mapped,
    number,
    path,
    switch,
    switch_of,
    text,
)

if TYPE_CHECKING:
    from ocsentry.configuration.ocserv.rows import Read
    from ocsentry.configuration.ocserv.target import Target
    from vpn_frontend.ocserv.grammar import Entry

MAX_SESSIONS = 65_536
DAY = 86_400


def _without_dtls_mode(mode: str) -> Read:
    """A switch that takes a way to key DTLS away where it is off."""

    def read(target: Target, entries: tuple[Entry, ...]) -> None:
        if not switch_of(target, entries[-1]):
            left = [one for one in target.get("vpn.dtls_modes", ["certificate", "psk", "resumption"]) if one != mode]
            target.set("vpn.dtls_modes", left, entries[-1])

    return read


def _read_persistent(target: Target, entries: tuple[Entry, ...]) -> None:
    if switch_of(target, entries[-1]):
        target.set("vpn.session.disconnect_grace", target.get("vpn.session.cookie_timeout", 300), entries[-1])


def _read_folder(key: str) -> Read:
    """A folder of files in which a user may have any address and any network behind its client, as in ocserv."""

    def read(target: Target, entries: tuple[Entry, ...]) -> None:
        path(key)(target, entries)
        for within in ("vpn.iroutes_within", "vpn.addresses_within"):
            target.set(within, ["0.0.0.0/0", "::/0"])

    return read


def _session(key: str, *, high: int = YEAR, low: int = 0, zero: int | None = None) -> Read:
    return number(f"vpn.session.{key}", low=low, high=high, zero=zero)


SESSION_KEYS: tuple[Row, ...] = (
    mapped(
        "max-clients",
        "vpn.limits.max_clients",
        number("vpn.limits.max_clients", low=1, high=MAX_SESSIONS, zero=MAX_SESSIONS),
        "0: 65536.",
    ),
    mapped(
        "max-same-clients",
        "vpn.limits.max_same_clients",
        number("vpn.limits.max_same_clients", high=MAX_SESSIONS),
        "Counted at the login, in one step.",
    ),
    mapped("cookie-timeout", "vpn.session.cookie_timeout", _session("cookie_timeout", low=1)),
    mapped(
        "persistent-cookies",
        "vpn.session.disconnect_grace",
        _read_persistent,
        "On: a client that disconnected may come back for cookie-timeout. A logout ends the cookie at once.",
    ),
    mapped("deny-roaming", "vpn.session.deny_roaming", switch("vpn.session.deny_roaming")),
    ignored("session-control", "ocserv has removed it."),
    mapped("idle-timeout", "vpn.session.idle_timeout", _session("idle_timeout")),
    mapped("mobile-idle-timeout", "vpn.session.mobile_idle_timeout", _session("mobile_idle_timeout")),
    mapped("session-timeout", "vpn.session.session_timeout", _session("session_timeout")),
    mapped("keepalive", "vpn.session.keepalive", _session("keepalive")),
    mapped("dpd", "vpn.session.dpd", _session("dpd", high=DAY)),
    mapped("mobile-dpd", "vpn.session.mobile_dpd", assembled, "0: as dpd."),
    ignored("switch-to-tcp-timeout", "A silent DTLS channel falls back to TLS by the server's own measure."),
    mapped("rekey-time", "vpn.session.rekey_time", _session("rekey_time")),
    mapped("rekey-method", "vpn.session.rekey_method", text("vpn.session.rekey_method")),
    mapped("stats-report-time", "accounting.interim", number("accounting.interim", high=DAY)),
    mapped("dtls-legacy", "vpn.dtls_modes", _without_dtls_mode("resumption")),
    mapped("dtls-psk", "vpn.dtls_modes", _without_dtls_mode("psk")),
    mapped("no-udp", "vpn.dtls", assembled),
    mapped("user-profile", "vpn.profile", path("vpn.profile")),
    mapped("config-per-user", "vpn.user_config_dir", _read_folder("vpn.user_config_dir")),
    mapped("config-per-group", "vpn.group_config_dir", _read_folder("vpn.group_config_dir")),
    mapped("default-user-config", "vpn.default_user_config", path("vpn.default_user_config")),
    mapped("default-group-config", "vpn.default_group_config", path("vpn.default_group_config")),
    mapped("append-routes", "vpn.network.append_routes", switch("vpn.network.append_routes")),
    mapped(
        "expose-iroutes",
        "vpn.network.expose_iroutes",
        switch("vpn.network.expose_iroutes"),
        "Clients get the networks of the clients that are connected when they connect themselves.",
    ),
    mapped("cisco-svc-client-compat", "vpn.ip_phones", switch("vpn.ip_phones")),
    differs(
        "cisco-client-compat",
        "auth.certificate.at_connect",
        "A tunnel may come without the certificate of its login. TLS 1.3 and DTLS for old clients are on anyway.",
        assembled,
    ),
    differs(
        "always-require-cert",
        "auth.certificate.at_connect",
        "Off: as cisco-client-compat.",
        assembled,
    ),
)
