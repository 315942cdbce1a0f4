# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual hosts: what each of them sets over the server, as ``[[vpn.host]]`` entries.

A host has the values that ocserv had read above its section, and its own. What belongs to the server or the process is
not a host's to set; what ocserv lets a host set and this server has once only is refused where it differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from admin_api.session_settings.sections import NetworkSection, SessionSection
from ocsentry.configuration.ocserv.rows import switch_of
from ocsentry.configuration.ocserv.target import Note, Outcome, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from vpn_frontend.ocserv.grammar import Entry

# Of the whole server in ocserv: an error in a section.
OF_THE_SERVER = frozenset(
    {
        *("listen-host", "udp-listen-host", "listen-netns", "tcp-port", "udp-port", "run-as-user", "run-as-group"),
        *("socket-file", "occtl-socket-file", "chroot-dir", "pid-file", "sec-mod-scale", "server-stats-reset-time"),
        *("listen-proxy-proto", "rate-limit-ms", "server-drain-ms", "connect-script", "disconnect-script"),
        *("host-update-script", "dtls-psk", "isolate-workers", "use-occtl", "use-utmp", "try-mtu-discovery", "device"),
        *("ping-leases", "auth-timeout", "max-clients", "ban-time", "ban-reset-time", "max-ban-score"),
        *("ban-points-wrong-password", "ban-points-connection", "ban-points-kkdcp", "route-add-cmd", "route-del-cmd"),
    }
)
# A host that sets none has the server's, wherever they stand.
STATIC = frozenset({"auth", "enable-auth", "acct", "server-cert", "server-key", "ca-cert", "dh-params"})
TABLES: dict[str, type[NetworkSection | SessionSection]] = {"network": NetworkSection, "session": SessionSection}
AUTH = {
    "auth.methods": "methods",
    "auth.require": "require",
    "auth.banner": "banner",
    "auth.pam.service": "pam_service",
    "auth.pam.gid_min": "pam_gid_min",
}
FILES = {
    "auth.certificate.ca": "certificate_ca",
    "auth.certificate.crl": "certificate_crl",
    "auth.ocpasswd_file": "ocpasswd_file",
    "auth.oath_file": "oath_file",
}
FOLDERS = tuple(
    f"vpn.{word}" for word in ("user_config_dir", "group_config_dir", "default_user_config", "default_group_config")
)
OF_A_HOST = tuple(
    f"vpn.{word}" for word in ("network.", "session.", "limits.", "bandwidth.", "certificate", "private_key")
)


def entries_of_host(entries: Sequence[Entry], host: str) -> list[Entry]:
    """The entries that make the host: inherited ones, then its own."""
    own = [entry for entry in entries if entry.host == host]
    first = own[0].line
    keys = {entry.key for entry in own}
    inherited = [
        entry
        for entry in entries
        if not entry.host and (entry.line < first or entry.key in STATIC) and not _is_replaced(entry.key, keys)
    ]
    return [*inherited, *own]


def _is_replaced(key: str, own: set[str]) -> bool:
    """Methods, accounting and certificates of a host replace the server's; other lists add up."""
    if key in ("auth", "enable-auth", "acct"):
        return bool(own & {"auth", "enable-auth", "acct"})
    return key in ("server-cert", "server-key") and bool(own & {"server-cert", "server-key"})


def add_hosts(target: Target, entries: Sequence[Entry], translate: Callable[[Sequence[Entry]], Target]) -> None:
    """Puts ``vpn.host`` into the target. ``translate`` makes a target of the entries of one host."""
    hosts = dict.fromkeys(entry.host for entry in entries if entry.host)
    found = []
    for number, name in enumerate(hosts):
        own = [entry for entry in entries if entry.host == name]
        for entry in own:
            if entry.key in OF_THE_SERVER:
                target.refuse(entry, "it belongs to the server: write it above the first section")
        made = translate(entries_of_host(entries, name))
        lines = {entry.line for entry in own}
        _set_for_all(target, made)
        if (without := made.last("no-udp")) is not None and without in own:
            made.set("vpn.session.dtls", not switch_of(made, without), without)
        target.notes += [note for note in made.notes if note.line in lines]
        _refuse_differences(target, made, own)
        found.append(_host(name, target, made))
        target.files.update({file: data for file, data in made.files.items() if file not in target.files})
        target.origins |= {f"vpn.host.{number}": own[0]}
    if found:
        target.set("vpn.host", found, next(entry for entry in entries if entry.host))


def _set_for_all(target: Target, made: Target) -> None:
    """What is set for the whole server, and matters only where a host asks for it."""
    for key in ("auth.totp.required", "auth.certificate.crl_check", "auth.unoffered_groups"):
        if made.get(key) is not None and target.get(key) is None:
            target.set(key, made.get(key), made.origins[key])


def _host(name: str, target: Target, made: Target) -> dict[str, Any]:
    host: dict[str, Any] = {"name": name}
    pair = {"certificate": made.get("vpn.certificate"), "private_key": made.get("vpn.private_key")}
    if (password := made.get("vpn.private_key_password_file")) is not None:
        pair["password_file"] = password
    if pair["certificate"] != target.get("vpn.certificate"):
        host["certificates"] = [pair, *made.get("vpn.certificates", [])]
    if made.get("auth.groups") != target.get("auth.groups"):
        host["groups"] = made.get("auth.groups", [])
    auth = {word: made.get(key, [] if word == "require" else None) for key, word in AUTH.items()}
    auth = {word: value for word, value in auth.items() if value is not None and value != _same(target, word)}
    auth |= {word: made.get(key) for key, word in FILES.items() if made.get(key) not in (None, target.get(key))}
    if auth:
        host["auth"] = auth
    for key in FOLDERS:
        if made.get(key) not in (None, target.get(key)):
            host[key.removeprefix("vpn.")] = made.get(key)
    for table, section in TABLES.items():
        changed = dict(_changes(target.get(f"vpn.{table}", {}), made.get(f"vpn.{table}", {}), section))
        if changed:
            host[table] = changed
    for table in ("bandwidth", "limits"):
        ours, theirs = target.get(f"vpn.{table}", {}), made.get(f"vpn.{table}", {})
        changed = {key: value for key, value in theirs.items() if ours.get(key) != value and key != "max_clients"}
        if changed:
            host[table] = changed
    return host


def _same(target: Target, word: str) -> object:
    key = next(key for key, name in AUTH.items() if name == word)
    return target.get(key, [] if word == "require" else None)


def _changes(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], section: type[NetworkSection | SessionSection]
) -> Iterator[tuple[str, object]]:
    """What a host has instead of the server's. A key that it lacks has its default."""
    for key in {**ours, **theirs}:
        if key == "device":
            continue
        value = theirs[key] if key in theirs else section.model_fields[key].default
        if value != ours.get(key, section.model_fields[key].default):
            yield key, value


def _refuse_differences(target: Target, made: Target, own: Sequence[Entry]) -> None:
    """What the server has once, and the host would have in another way, is refused at the host's line."""
    for key, entry in made.origins.items():
        if (
            entry in own
            and entry.key not in OF_THE_SERVER
            and not _is_of_a_host(key)
            and made.get(key) != target.get(key)
        ):
            text = f"{key} is of the whole server: the host {entry.host} cannot have its own"
            target.notes.append(Note(Outcome.REFUSED, entry.line, entry.key, text))


def _is_of_a_host(key: str) -> bool:
    return key in AUTH or key in FILES or key in FOLDERS or key == "auth.groups" or key.startswith(OF_A_HOST)
